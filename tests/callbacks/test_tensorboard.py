"""TensorBoard's event files, read back by TensorBoard."""

import math
import sys

import numpy as np
import pytest

import tinynet as tn

pytest.importorskip("tensorboard")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

DATA = tn.Dataset(np.random.default_rng(0).normal(size=(40, 4)), np.arange(40) % 3)
FALLING = tn.StepDecay(0.5, every=6, factor=0.1)
TAGS = {
    "loss/train": "train_loss",
    "loss/validation": "validation_loss",
    "accuracy/validation": "validation_accuracy",
    "learning_rate": "lr",
}


def network(**settings):
    return tn.mlp(4, [6, 5], 3, **{"activation": "sigmoid", "norm": "batch", "seed": 0} | settings)


def fit(net, *callbacks, lr=FALLING, **settings):
    settings = {"validation": DATA, "steps": 12, "batch_size": 8, "seed": 1, "validate_every": 3} | settings
    return tn.fit(net, DATA, optimizer=tn.SGD(lr), callbacks=callbacks, **settings)


def read(folder):
    """The folder's run, with all of its records."""
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0}).Reload()


def scalars(folder):
    found = read(folder)
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def as_scalars(history, names=TAGS):
    """What TensorBoard shows of a history: float32."""
    columns = {tag: np.float32(getattr(history, names[tag])).tolist() for tag in names}
    return {tag: list(zip(history.steps, column, strict=True)) for tag, column in columns.items()}


class Recorder(tn.Callback):
    """Copies of what has a histogram, taken by hand at each record."""

    def __init__(self):
        self.records = []

    def on_backward(self, run):
        net = run.net
        self.seen = {f"gradients/{name}": array.copy() for name, array in net.grads.items()}
        self.seen |= {f"activations/{name}": net.values[name].copy() for name in ("sigmoid_1", "sigmoid_2")}
        self.seen |= {f"activation_inputs/sigmoid_{k}": net.values[f"batch_norm_{k}"].copy() for k in (1, 2)}

    def on_record(self, run):
        parameters = {f"parameters/{name}": array.copy() for name, array in run.net.params.items()}
        self.records.append((run.step, self.seen | parameters))


# -- scalars --------------------------------------------------------------------------------------------------


def test_every_record_of_the_history_is_there(tmp_path):
    history = fit(network(), tn.TensorBoard(tmp_path))
    assert history.steps == [3, 6, 9, 12]
    assert scalars(tmp_path) == as_scalars(history)


def test_without_a_validation_set_nothing_is_said_of_it(tmp_path):
    history = fit(network(), tn.TensorBoard(tmp_path), validation=None)
    assert scalars(tmp_path) == as_scalars(history, {tag: TAGS[tag] for tag in ("loss/train", "learning_rate")})


def test_a_loss_beyond_float32_is_infinite(tmp_path):
    net = tn.Sequential([tn.Dense(1)], inputs=4, dtype="float64", seed=0)
    data = tn.Dataset(DATA.x, np.full((40, 1), 1e30))
    history = tn.fit(net, data, steps=1, loss=tn.MeanSquaredError(), callbacks=[tn.TensorBoard(tmp_path)])
    assert 1e59 < history.train_loss[0] < math.inf
    assert scalars(tmp_path)["loss/train"] == [(1, math.inf)]


# -- histograms -----------------------------------------------------------------------------------------------


def test_histograms_are_those_of_parameters_gradients_and_activations(tmp_path):
    recorder = Recorder()
    fit(network(), tn.TensorBoard(tmp_path), recorder)
    found = read(tmp_path)
    assert set(found.Tags()["histograms"]) == set(recorder.records[0][1])
    for tag in found.Tags()["histograms"]:
        events = found.Histograms(tag)
        assert [event.step for event in events] == [3, 6, 9, 12]
        for event, (_, arrays) in zip(events, recorder.records, strict=True):
            array, shown = arrays[tag].astype(np.float64), event.histogram_value
            assert (shown.min, shown.max, shown.num) == (array.min(), array.max(), array.size)
            assert shown.sum == pytest.approx(array.sum(), rel=1e-12, abs=1e-12)
            assert shown.sum_squares == pytest.approx((array**2).sum(), rel=1e-12)
            assert len(shown.bucket) == len(shown.bucket_limit) == 30
            # as many numbers are at most a bucket's limit as there are in the buckets up to it
            limits = np.array(shown.bucket_limit)
            inside = np.abs(array.reshape(-1, 1) - limits).min(axis=0) > 1e-9  # where rounding cannot decide
            below = (array.reshape(-1, 1) < limits).sum(axis=0)
            np.testing.assert_array_equal(np.cumsum(shown.bucket)[inside], below[inside], err_msg=tag)
            assert sum(shown.bucket) == array.size


@pytest.mark.parametrize(("every", "steps"), [(1, [3, 6, 9, 12]), (3, [3, 12]), (4, [3]), (None, [])])
def test_histograms_are_taken_every_so_many_records(tmp_path, every, steps):
    fit(network(), tn.TensorBoard(tmp_path, histogram_every=every))
    found = read(tmp_path)
    assert len(found.Scalars("loss/train")) == 4
    for tag in found.Tags()["histograms"] or ["none"]:
        assert [event.step for event in found.Histograms(tag)] == steps if steps else tag == "none"


def test_numbers_that_are_not_finite_have_no_place_in_a_histogram(tmp_path):
    net = network(norm=None)
    net.params["dense_1.weight"][0, 0] = np.nan  # the first batch's loss is nan, and no gradient was ever written
    history = fit(net, tn.TensorBoard(tmp_path))
    assert history.diverged
    found = read(tmp_path)
    assert found.Histograms("parameters/dense_1.weight")[0].histogram_value.num == 4 * 6 - 1
    assert "activations/sigmoid_2" not in found.Tags()["histograms"]
    assert [event.step for event in found.Scalars("loss/train")] == [0]


def test_a_bucket_takes_what_is_at_its_left_edge_and_the_last_one_both(tmp_path):
    net = tn.mlp(4, [31], 3, dtype="float64", seed=0)
    net.params["dense_1.bias"] = np.arange(1.0, 32.0)
    fit(net, tn.TensorBoard(tmp_path), lr=1e-30, steps=1)
    shown = read(tmp_path).Histograms("parameters/dense_1.bias")[0].histogram_value
    assert shown.bucket_limit == [*range(2, 32)]
    assert shown.bucket == 29 * [1] + [2]


def test_numbers_too_close_together_for_thirty_buckets_have_a_histogram_all_the_same(tmp_path):
    net = network(dtype="float64", norm=None)
    net.params["dense_1.bias"], net.params["dense_2.bias"] = 1 + np.arange(6) % 2 * 2e-16, np.full(5, 3.0)
    fit(net, tn.TensorBoard(tmp_path), lr=1e-30, steps=1)
    found = read(tmp_path)
    close = found.Histograms("parameters/dense_1.bias")[0].histogram_value
    assert (close.min, close.max, sum(close.bucket)) == (1, 1 + 2**-52, 6)
    assert [count for count in close.bucket if count] == [3, 3]
    alike = found.Histograms("parameters/dense_2.bias")[0].histogram_value
    assert (alike.min, alike.max, {*alike.bucket_limit}, sum(alike.bucket)) == (3, 3, {3}, 5)


# -- however a run ends ---------------------------------------------------------------------------------------


class EndsWith(tn.Callback):
    """Ends the run at a step in one way or another."""

    def __init__(self, step, error=None):
        self.step, self.error = step, error

    def on_step(self, run):
        if run.step == self.step:
            run.stop = True
            if self.error:
                raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_all_records_are_there_when_an_error_ends_the_run(tmp_path, error):
    history = tn.History()
    with pytest.raises(error):
        fit(network(), tn.TensorBoard(tmp_path), EndsWith(8, error), history=history)
    assert history.steps == [3, 6]
    assert scalars(tmp_path) == as_scalars(history)


def test_all_records_are_there_when_a_callback_stops_the_run(tmp_path):
    history = fit(network(), EndsWith(8), tn.TensorBoard(tmp_path))
    assert history.steps == [3, 6, 8]
    assert scalars(tmp_path) == as_scalars(history)


def test_all_records_are_there_when_the_run_diverges(tmp_path):
    history = fit(network(activation="relu", norm=None), tn.TensorBoard(tmp_path), lr=1e20, steps=50, validation=None)
    assert history.diverged
    assert not math.isfinite(history.train_loss[-1])
    shown = [(step, repr(value)) for step, value in scalars(tmp_path)["loss/train"]]
    assert shown == [(step, repr(value)) for step, value in as_scalars(history)["loss/train"]]


@pytest.mark.parametrize("seed", [0, 1])
def test_watching_does_not_change_the_run(tmp_path, seed):
    histories = [fit(network(dropout=0.3), *callbacks, seed=seed) for callbacks in ((), (tn.TensorBoard(tmp_path),))]
    assert histories[0] == histories[1]


# -- a folder is a run ----------------------------------------------------------------------------------------


def test_a_resumed_run_goes_on_in_its_folder(tmp_path):
    whole = fit(network())
    checkpoint = {"checkpoint": tmp_path / "run.safetensors", "checkpoint_every": 6}
    with pytest.raises(KeyboardInterrupt):  # after a record which is not in the checkpoint
        fit(network(), tn.TensorBoard(tmp_path / "logs"), EndsWith(10, KeyboardInterrupt), **checkpoint)
    assert [step for step, _ in scalars(tmp_path / "logs")["loss/train"]] == [3, 6, 9]
    tn.resume(tmp_path / "run.safetensors", DATA, validation=DATA, callbacks=[tn.TensorBoard(tmp_path / "logs")])
    assert scalars(tmp_path / "logs") == as_scalars(whole)


@pytest.mark.parametrize("same", [True, False])
def test_a_run_that_starts_anew_takes_the_place_of_the_one_before(tmp_path, same):
    first = tn.TensorBoard(tmp_path)
    fit(network(), first, validate_every=1)
    history = fit(network(seed=5), first if same else tn.TensorBoard(tmp_path), validate_every=4)
    assert scalars(tmp_path) == as_scalars(history)


def test_runs_side_by_side_are_told_by_their_folders(tmp_path):
    histories = {
        name: fit(network(norm=norm), tn.TensorBoard(tmp_path / name))
        for name, norm in (("plain", None), ("batch norm", "batch"))
    }
    assert {name: scalars(tmp_path / name) for name in histories} == {n: as_scalars(h) for n, h in histories.items()}


# -- errors ---------------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_is_refused_before_training(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(tn.InputError, match="file: cannot write there"):
        tn.TensorBoard(tmp_path / "file")


def test_histograms_less_often_than_never_are_refused(tmp_path):
    with pytest.raises(tn.InputError, match="histogram_every must be a whole number of at least 1, not 0"):
        tn.TensorBoard(tmp_path, histogram_every=0)


def test_without_the_package_it_is_said_which(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "tensorboard"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(tn.InputError, match=r"pip install 'tinynet-lab\[tensorboard\]'"):
        tn.TensorBoard(tmp_path / "new")
    assert not (tmp_path / "new").exists()
