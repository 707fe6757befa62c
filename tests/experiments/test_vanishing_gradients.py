import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinynet as tn
from tinynet.experiments import vanishing_gradients
from tinynet.experiments.gradients import (
    GradientSettings,
    MeanFieldSettings,
    mean_field_rate,
    squared_gradients,
    vanishing_index,
)
from tinynet.experiments.runs import RunSettings
from tinynet.experiments.vanishing_gradients import EXPERIMENT


def geometric(factor: float, layers: int) -> dict[str, Any]:
    """Return a result whose squared gradient changes by exactly this factor per layer toward the input."""
    squared = [factor ** (layers - 1 - k) for k in range(layers)]
    return {"squared": squared, "gradient_rms": [math.sqrt(s) for s in squared]}


def results(plain: list[float], normalized: list[float], relu: float = 1.5) -> dict[Any, dict[str, Any]]:
    """Return made-up results of 30 layers, one factor a seed."""
    made: dict[Any, dict[str, Any]] = {}
    for seed, pair in enumerate(zip(plain, normalized, strict=True)):
        for norm, factor in zip((None, "batch"), pair, strict=True):
            for activation, init in vanishing_gradients.NETWORKS:
                f = factor if activation == "sigmoid" else relu
                s = GradientSettings(depth=30, activation=activation, init=init, norm=norm, seed=seed)  # type: ignore[arg-type]
                made[s] = geometric(f, 30)
    return made


def test_the_mean_field_rate_is_the_published_one() -> None:
    assert mean_field_rate("relu", 10**7) == pytest.approx(math.pi / (math.pi - 1), rel=1e-5)
    assert mean_field_rate("linear", 5) == 3 / 2
    assert mean_field_rate("linear", 10**7) == pytest.approx(1)
    assert mean_field_rate("relu", 16) > mean_field_rate("relu", 128) > math.pi / (math.pi - 1)


def test_the_published_factor_of_the_sigmoid_is_its_mean_squared_slope() -> None:
    # q, the variance of a layer's sums, settles where q = E[sigmoid(sqrt(q) z)^2] for z normal: Gauss-Hermite
    z, w = np.polynomial.hermite_e.hermegauss(40)
    w /= w.sum()
    q = 1.0
    for _ in range(50):
        q = float(w @ (1 / (1 + np.exp(-math.sqrt(q) * z))) ** 2)
    y = 1 / (1 + np.exp(-math.sqrt(q) * z))
    published = vanishing_gradients.THEORY["sigmoid", "lecun_normal"]
    assert float(w @ (y * (1 - y)) ** 2) == pytest.approx(published, abs=0.001)


def test_the_index_of_a_geometric_sequence_is_its_factor() -> None:
    assert vanishing_index(geometric(0.25, 20)["squared"]) == pytest.approx((0.25, 0.25, 0.25))


def test_the_first_and_last_layers_do_not_count() -> None:
    squared = geometric(0.25, 20)["squared"]
    squared[0] = squared[-1] = 1e9
    assert vanishing_index(squared)[0] == pytest.approx(0.25)


def test_the_interval_of_a_fit_covers_the_factor_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        noisy = np.array(geometric(0.5, 40)["squared"]) * np.exp(rng.normal(0, 0.3, 40))
        _, low, high = vanishing_index(noisy.tolist())
        covered.append(low < 0.5 < high)
    assert 0.9 < np.mean(covered) < 0.98


@pytest.mark.parametrize("squared", [[1.0, 2.0], [0.0] * 30, [math.nan] * 30, [math.inf] * 30, []])
def test_without_enough_gradients_there_is_no_index(squared: list[float]) -> None:
    assert all(math.isnan(number) for number in vanishing_index(squared))


def test_the_squared_gradient_is_that_of_the_activations_inputs() -> None:
    net = tn.mlp(3, [4, 5], 2, activation="tanh", seed=0, dtype="float64")
    x, y = np.random.default_rng(0).normal(size=(6, 3)), np.array([0, 1, 0, 1, 0, 1])
    loss = tn.SoftmaxCrossEntropy()
    _, dy = loss(net.forward(x, training=True), y)
    # by hand: dy (1 - tanh^2), layer after layer
    h1, h2 = net.values["tanh_1"].copy(), net.values["tanh_2"].copy()
    d2 = (dy @ net.params["dense_3.weight"].T) * (1 - h2**2)
    d1 = (d2 @ net.params["dense_2.weight"].T) * (1 - h1**2)
    measured = squared_gradients(net, dy, after=tn.layers.Activation)
    assert measured == pytest.approx([np.sum(d1**2), np.sum(d2**2)])
    np.testing.assert_allclose(net.grads["dense_1.weight"], x.T @ d1)


def test_a_run_measures_every_hidden_layer_of_both_arms_on_the_same_batch(idx_folder: Path) -> None:
    for norm in (None, "batch"):
        s = GradientSettings(depth=8, activation="sigmoid", init="lecun_normal", norm=norm, data=str(idx_folder))
        result = s.run()
        assert result == s.run()
        assert [len(result[name]) for name in ("gradient_rms", "squared")] == [8, 8]
        factor = vanishing_index(result["squared"])[0]
        assert (factor < 0.08) == (norm is None)


def test_runs_are_paired_and_measure_both_forms() -> None:
    for quick, depth in ((True, 30), (False, 50)):
        runs = EXPERIMENT.runs(quick)
        deep = [s for s in runs if isinstance(s, GradientSettings) and s.depth == depth]
        assert {(s.seed, s.norm) for s in deep} >= {(seed, norm) for seed in range(3) for norm in (None, "batch")}
        assert {s.batch_size for s in runs if isinstance(s, MeanFieldSettings)} >= {16, 32, 64, 128}
        assert len(set(runs)) == len(runs)


def test_the_claim_holds_if_batch_norm_is_nearer_to_1_for_every_seed() -> None:
    verdict = EXPERIMENT.verdict(results([0.05, 0.06, 0.07], [1.1, 1.2, 0.9]))
    assert verdict.outcome == "holds"
    assert "1.1 (range 0.9 to 1.2 over 3 seeds) with batch norm" in verdict.sentence
    assert "0.06 (range 0.05 to 0.07 over 3 seeds) without" in verdict.sentence
    assert "a factor of 1.5 (range 1.5 to 1.5 over 3 seeds) per layer (theory 1.49)" in verdict.sentence
    assert "10^5.1" in verdict.sentence, "29 log10(1.5)"


@pytest.mark.parametrize(("relu", "said"), [(1.5, "explosion"), (1.01, "no explosion"), (0.7, "vanishing")])
def test_whether_it_explodes_is_told_by_the_runs(relu: float, said: str) -> None:
    sentence = EXPERIMENT.verdict(results([0.05, 0.06, 0.07], [1.1, 1.2, 0.9], relu)).sentence
    assert f"in all: {'an ' if said == 'explosion' else ''}{said}." in sentence


def test_an_explosion_worse_than_the_vanishing_speaks_against_the_claim() -> None:
    assert EXPERIMENT.verdict(results([0.5, 0.6, 0.7], [2.1, 2.2, 2.3])).outcome == "does not hold"


def test_mixed_or_missing_runs_show_nothing() -> None:
    assert EXPERIMENT.verdict(results([0.5, 0.6, 0.7], [2.1, 1.2, 2.3])).outcome == "not shown"
    assert EXPERIMENT.verdict(results([0.05, 0.06], [1.1, 1.2])).outcome == "not shown"
    assert EXPERIMENT.verdict({}).outcome == "not shown"


def test_gradients_that_are_lost_or_not_finite_are_left_out_of_the_fit_but_nothing_falls_over() -> None:
    made = results([0.05, 0.06, 0.07], [1.1, 1.2, 0.9])
    for k, s in enumerate(list(made)[:8]):
        made[s] = {"squared": [(0.0, math.nan, math.inf)[k % 3]] * 30, "gradient_rms": [(0.0, math.nan)[k % 2]] * 30}
    assert EXPERIMENT.verdict(made).outcome == "not shown", "two pairs are left"
    assert EXPERIMENT.table(made)
    assert EXPERIMENT.draw(made)


def test_the_distance_from_theory_is_that_of_the_mean_over_seeds() -> None:
    rate = mean_field_rate("relu", 32)
    made: dict[Any, dict[str, Any]] = {
        MeanFieldSettings(activation="relu", batch_size=32, seed=k): geometric(rate * f, 30)
        for k, f in enumerate((0.99, 1.01, 1.03))
    }
    assert vanishing_gradients.distance_from_theory(made) == pytest.approx(0.01)
    assert EXPERIMENT.verdict(made | results([0.05] * 3, [1.1] * 3)).sentence.endswith("met within 1.0%.")
    made = {MeanFieldSettings(activation="relu", batch_size=32): geometric(1.03 * rate, 30)}
    assert EXPERIMENT.verdict(made | results([0.05] * 3, [1.1] * 3)).sentence.endswith("missed by up to 3.0%.")


def test_the_table_has_the_measured_factor_beside_the_theory() -> None:
    made = results([0.05, 0.06, 0.07], [1.1, 1.2, 0.9])
    made[MeanFieldSettings(activation="linear", batch_size=16)] = geometric(1.07, 30)
    header, *rows = EXPERIMENT.table(made)
    assert all(len(row) == len(header) for row in rows)
    first, second = rows[:2]
    assert first[3:5] + first[6:] == ["plain", "0.06 (range 0.05 to 0.07 over 3 seeds)", "0.056"]
    assert second[-1] == "", "no theory is quoted for sigmoid with batch norm"
    assert rows[-1][2:] == ["16", "batch norm", "1.0700", "+- 0.0%", f"{14 / 13:.4f}"]


def test_figures_say_what_is_on_the_axes() -> None:
    made = results([0.05, 0.06, 0.07], [1.1, 1.2, 0.9])
    made[MeanFieldSettings(activation="relu", batch_size=16)] = geometric(1.5, 30)
    probe = {"steps": [0, 20], "values": {"mean": {"sigmoid_1": [0.5, 0.1]}}}
    made[RunSettings(norm="batch")] = {"probe": probe}
    figures = EXPERIMENT.draw(made)
    assert set(figures) == set(EXPERIMENT.captions)
    for figure in figures.values():
        (ax,) = figure.axes
        assert ax.get_xlabel()
        assert ax.get_ylabel()
        assert ax.get_title()
        legend = ax.get_legend()
        assert legend is not None
        assert "seed" in legend.get_texts()[-1].get_text()
    assert EXPERIMENT.draw({}) == {}


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "linear"])
def test_the_mean_field_rate_is_met(activation: Any) -> None:
    """Within 2 %: a run's factor has a standard deviation below 0.7 %, the mean of three 0.4 %, which is 5 of them."""
    runs = [MeanFieldSettings(activation=activation, batch_size=32, depth=20, seed=seed) for seed in range(3)]
    measured = statistics.fmean(vanishing_index(s.run()["squared"])[0] for s in runs)
    assert measured == pytest.approx(mean_field_rate(activation, 32), rel=0.02)


def test_saturation_is_the_last_hidden_layers_mean_output_over_training() -> None:
    def trained(norm: Any, seed: int, last: list[float]) -> tuple[RunSettings, dict[str, Any]]:
        values = {"mean": {"sigmoid_1": [0.5] * len(last), "sigmoid_2": last}}
        return RunSettings(norm=norm, seed=seed), {"probe": {"steps": [0, 20, 40][: len(last)], "values": values}}

    found = dict(
        [trained(None, 0, [0.5, 0.1, 0.05]), trained(None, 1, [0.4, 0.2]), trained("batch", 0, [0.5, 0.5, 0.5])]
    )
    steps, rows = vanishing_gradients.last_outputs(found, "plain")
    assert steps == [0, 20, 40]
    np.testing.assert_array_equal(rows, [[0.5, 0.1, 0.05], [0.4, 0.2, np.nan]])  # one diverged
    (ax,) = EXPERIMENT.draw(found)["saturation"].axes
    assert "mean output" in ax.get_ylabel()
    assert vanishing_gradients.last_outputs({}, "plain")[0] == []
