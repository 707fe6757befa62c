import csv
import math

import numpy as np
import pytest

import tinynet as tn
from tinynet.probes import ACTIVATION_MEASURES, WEIGHT_MEASURES, activation_by_layer, gradient_by_layer, rms

DATA = tn.Dataset(np.random.default_rng(0).normal(size=(40, 4)), np.arange(40) % 3)


def network(**settings):
    return tn.mlp(4, [6, 5], 3, **{"activation": "sigmoid", "seed": 0, "dtype": "float64"} | settings)


def fit(net, *callbacks, lr=0.5, steps=7, **settings):
    return tn.fit(net, DATA, optimizer=tn.SGD(lr, **settings), steps=steps, batch_size=8, seed=1, callbacks=callbacks)


class Recorder(tn.Callback):
    """Copies of what a probe measures, taken by hand."""

    def __init__(self):
        self.gradients, self.weights, self.values = [], [], []

    def on_backward(self, run):
        layers = ("dense_1", "dense_2", "dense_3")
        self.gradients.append({name: run.net.grads[f"{name}.weight"].copy() for name in layers})
        self.weights.append({name: run.net.params[f"{name}.weight"].copy() for name in layers})
        self.values.append({name: y.copy() for name, y in run.net.values.items()})


def test_rms_is_the_root_of_the_mean_square_in_double():
    assert rms(np.array([3.0, -4.0, 0.0, 0.0])) == 2.5
    assert rms(np.full(10, 1e30, "float32")) == pytest.approx(1e30, rel=1e-6)  # its square is no float32
    assert rms(np.full(10, 1e-30, "float32")) == pytest.approx(1e-30, rel=1e-6)


def test_gradient_rms_is_per_weight():
    probe, recorder, net = tn.Probe(every=1), Recorder(), network()
    fit(net, recorder, probe)
    for name in ("dense_1", "dense_2", "dense_3"):
        expected = [math.sqrt(np.sum(g[name] ** 2) / g[name].size) for g in recorder.gradients]
        assert probe.values["gradient_rms"][name] == pytest.approx(expected, rel=1e-14)
    assert gradient_by_layer(net)["dense_2"] == probe.values["gradient_rms"]["dense_2"][-1]


def test_activations_are_described_by_mean_deviation_and_percentiles_of_output_and_input():
    probe, recorder = tn.Probe(every=1), Recorder()
    fit(network(norm="batch"), recorder, probe)
    assert list(probe.values["mean"]) == ["sigmoid_1", "sigmoid_2"]
    for k in (1, 2):
        for step, values in enumerate(recorder.values):
            y, x = values[f"sigmoid_{k}"], values[f"batch_norm_{k}"]
            expected = {
                "mean": y.sum() / y.size,
                "std": math.sqrt(((y - y.mean()) ** 2).sum() / y.size),
                **{f"p{q}": np.percentile(y.ravel(), q) for q in (15, 50, 85)},
                **{f"input_p{q}": np.percentile(x.ravel(), q) for q in (15, 50, 85)},
            }
            for measure, value in expected.items():
                assert probe.values[measure][f"sigmoid_{k}"][step] == pytest.approx(value, rel=1e-13, abs=1e-14)


def described(activation, x):
    """What is said of one activation layer that reads exactly x."""
    net = tn.Sequential([activation], inputs=x.shape[1], dtype="float64")
    net.forward(x, training=True)
    (measured,) = activation_by_layer(net).values()
    return measured


def test_a_sigmoid_is_saturated_where_its_slope_is_below_5_percent_of_a_quarter():
    # y (1 - y) = 0.05 / 4 at |x| = 4.3567
    x = np.array([[0.0, 4.3, -4.3, 4.4], [-4.4, 30.0, 1.0, -1.0]])
    assert described(tn.Sigmoid(), x)["saturated"] == 3 / 8
    assert described(tn.Sigmoid(), x)["dead"] == 0


def test_a_tanh_is_saturated_where_its_slope_is_below_5_percent_of_1():
    # 1 - tanh(x)^2 = 0.05 at |x| = 2.1784
    x = np.array([[0.0, 2.1, -2.1, 2.2], [-2.2, 30.0, 1.0, -1.0]])
    assert described(tn.Tanh(), x)["saturated"] == 3 / 8


def test_a_relu_unit_is_dead_if_no_example_of_the_batch_is_positive():
    x = np.array([[-1.0, -1.0, 1.0, -2.0], [-1.0, 3.0, 1.0, -0.1]])
    measured = described(tn.ReLU(), x)
    assert measured["dead"] == 2 / 4
    assert measured["saturated"] == 5 / 8
    assert described(tn.LeakyReLU(), x)["dead"] == 0


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_the_update_ratio_of_plain_sgd_is_lr_times_step_over_weight(weight_decay):
    probe, recorder, lr = tn.Probe(every=1), Recorder(), 0.5
    fit(network(), recorder, probe, lr=lr, weight_decay=weight_decay)
    for name in ("dense_1", "dense_2", "dense_3"):
        expected = [
            lr * np.linalg.norm(g[name] + weight_decay * w[name]) / np.linalg.norm(w[name])
            for g, w in zip(recorder.gradients, recorder.weights, strict=True)
        ]
        assert probe.values["update_ratio"][name] == pytest.approx(expected, rel=1e-11)


def test_of_weights_that_are_all_zero_the_update_ratio_is_infinite():
    probe = tn.Probe(every=1)
    fit(network(init="constant(0)"), probe, steps=1)
    assert probe.values["update_ratio"]["dense_3"] == [math.inf]


def test_it_measures_at_step_0_and_every_so_many_steps():
    probe = tn.Probe(every=3)
    fit(network(), probe, steps=8)
    assert probe.steps == [0, 3, 6]
    for layers in probe.values.values():
        assert {len(values) for values in layers.values()} == {3}


def test_the_measurement_at_step_0_is_of_the_initial_weights():
    probe, net = tn.Probe(every=100), network()
    w = net.params["dense_3.weight"].copy()
    fit(net, probe)
    moved = probe.values["update_ratio"]["dense_3"][0] * rms(w)
    assert moved == pytest.approx(0.5 * probe.values["gradient_rms"]["dense_3"][0], rel=1e-11)


@pytest.mark.parametrize("activation", ["sigmoid", "relu", "gelu"])
def test_probing_does_not_change_training(activation):
    nets = [network(activation=activation, norm="batch", dropout=0.3, dtype="float32") for _ in range(2)]
    histories = [fit(nets[0], steps=20), fit(nets[1], tn.Probe(every=1), steps=20)]
    assert histories[0].train_loss == histories[1].train_loss
    for role in ("params", "state", "grads"):
        for name, array in getattr(nets[0], role).items():
            np.testing.assert_array_equal(array, getattr(nets[1], role)[name])


def test_measures_all_have_a_name_that_is_known():
    probe = tn.Probe(every=1)
    fit(network(), probe, steps=1)
    assert set(probe.values) == {*WEIGHT_MEASURES, *ACTIVATION_MEASURES}


def test_a_table_is_measurements_by_layers():
    probe = tn.Probe(every=2)
    fit(network(), probe)
    layers, table = probe.table("gradient_rms")
    assert layers == ["dense_1", "dense_2", "dense_3"]
    assert table.shape == (4, 3)
    np.testing.assert_array_equal(table[:, 1], probe.values["gradient_rms"]["dense_2"])


def test_an_unknown_measure_suggests_the_near_one():
    with pytest.raises(tn.InputError, match="unknown measure 'gradient'; did you mean 'gradient_rms'"):
        tn.Probe().table("gradient")


def test_csv_has_a_row_a_number(tmp_path):
    probe = tn.Probe(every=3)
    fit(network(), probe)
    probe.to_csv(tmp_path / "p.csv")
    with (tmp_path / "p.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    read = {}
    for row in rows:
        read.setdefault(row["measure"], {}).setdefault(row["layer"], []).append(float(row["value"]))
    assert read == probe.values
    assert {int(row["step"]) for row in rows} == {0, 3, 6}


def test_a_run_that_diverges_is_probed_to_its_end_without_a_warning():
    probe, net = tn.Probe(every=1), network(activation="relu", dtype="float32")
    history = fit(net, probe, lr=1e20, steps=50)
    assert history.diverged
    assert probe.steps == list(range(history.steps[-1]))
    assert all(len(values) == len(probe.steps) for layers in probe.values.values() for values in layers.values())


def test_measuring_less_often_than_every_step_is_all_there_is():
    with pytest.raises(tn.InputError, match="every must be a whole number of at least 1, not 0"):
        tn.Probe(every=0)
