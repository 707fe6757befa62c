import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from tinynet.experiments import prediction_cost
from tinynet.experiments.arms import Results
from tinynet.experiments.prediction_cost import EXPERIMENT, NETWORKS, PredictionSettings


def result(ratio: float, folded: float = 1.0, difference: float = 1e-7) -> dict[str, Any]:
    ratios = dict(zip(NETWORKS, (1.0, ratio, folded), strict=True))
    return {
        "seconds": {name: [0.9e-4 * r, 1e-4 * r, 1.2e-4 * r] for name, r in ratios.items()},
        "ratio": {name: [0.9 * r, r, 1.2 * r] for name, r in ratios.items()},
        "difference": difference,
    }


def results(*by_seed: list[float], sizes: tuple[int, ...] = (1, 10, 100), **others: float) -> Results:
    return {
        PredictionSettings(batch_size=size, seed=seed): result(ratio, **others)
        for seed, ratios in enumerate(by_seed)
        for size, ratio in zip(sizes, ratios, strict=True)
    }


def test_both_forms_have_three_seeds_at_every_batch_size() -> None:
    assert {s.batch_size for s in EXPERIMENT.runs(True)} == {1, 16, 60, 1024}
    full = EXPERIMENT.runs(False)
    assert [s.batch_size for s in full if s.seed == 0][::4] == [1, 16, 256, 4096]
    for quick in (True, False):
        runs = EXPERIMENT.runs(quick)
        assert {s.seed for s in runs} == {0, 1, 2}
        assert len(set(runs)) == len(runs) == 3 * len({s.batch_size for s in runs})


def test_the_claim_holds_if_batch_norm_is_slower_in_every_seed() -> None:
    verdict = EXPERIMENT.verdict(results([1.5, 1.2, 1.1], [1.4, 1.3, 1.0], [1.6, 1.1, 1.0]))
    assert verdict.outcome == "holds"
    assert verdict.sentence == (
        "At the median over batch sizes 1 to 100, a prediction with batch norm takes 1.20 (range 1.10 to 1.30 over "
        "3 seeds) times as long as without, and 1.00 (range 1.00 to 1.00 over 3 seeds) times once folded. "
        "At batch size 1 alone, 1.50 (range 1.40 to 1.60 over 3 seeds) and 1.00 (range 1.00 to 1.00 over 3 seeds) "
        "times. Folded and unfolded outputs differ by at most 1e-07 of their size: the same function."
    )


def test_the_claim_does_not_hold_if_batch_norm_is_faster_in_every_seed() -> None:
    assert EXPERIMENT.verdict(results(*[[1.5, 0.9, 0.8]] * 3)).outcome == "does not hold"


def test_mixed_or_few_seeds_show_nothing() -> None:
    assert EXPERIMENT.verdict(results([1.1] * 3, [0.9] * 3, [1.1] * 3)).outcome == "not shown"
    assert EXPERIMENT.verdict(results([1.1] * 3, [1.1] * 3)).outcome == "not shown"
    assert EXPERIMENT.verdict({}).outcome == "not shown"


def test_a_seed_without_a_batch_size_is_not_compared_with_whole_ones() -> None:
    missing = dict(results([9.0, 1.1, 1.1], *[[1.5, 1.2, 1.1]] * 3))
    del missing[PredictionSettings(batch_size=10)]
    verdict = EXPERIMENT.verdict(missing)
    assert verdict.outcome == "holds"
    assert "1.20 (range 1.20 to 1.20 over 3 seeds)" in verdict.sentence
    assert len(EXPERIMENT.table(missing)) == 1 + 3 * 3
    assert set(EXPERIMENT.draw(missing)) == set(EXPERIMENT.captions)


def test_the_verdict_says_if_folding_changed_the_function() -> None:
    assert "not the same function" in EXPERIMENT.verdict(results(*[[1.2] * 3] * 3, difference=1e-3)).sentence


def test_the_table_has_time_and_throughput() -> None:
    header, plain, *_ = EXPERIMENT.table(results([1.5], [1.5], [1.5], sizes=(100,)))
    assert header[:2] == ["batch size", "network"]
    assert plain == ["100", "plain", "100.0 (90.0 to 120.0)", "1,000,000", "1.00"]


def test_figures_have_labels_with_units() -> None:
    figures = EXPERIMENT.draw(results([1.5, 1.2, 1.1], [1.4, 1.3, 1.0], [1.6, 1.1, 1.0]))
    assert list(figures) == list(EXPERIMENT.captions)
    (ax,) = figures["time"].axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("batch size, examples a call", "time per example, µs")
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [100, 10, 1])  # 100 µs a call, whatever the batch size
    (ax,) = figures["ratio"].axes
    assert ax.get_ylabel() == "time, over the plain network's"
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [1.5, 1.2, 1.0])
    assert EXPERIMENT.draw({}) == {}


def test_calls_are_timed_in_turns() -> None:
    order: list[str] = []
    calls: list[Callable[[], object]] = [partial(_busy, order, name, 1e-3) for name in "ABC"]
    times = prediction_cost.in_turns(calls, rounds=4)
    assert "".join(order[-12:]) == "ABCABCABCABC"
    assert times.shape == (3, 4)
    assert (times >= 1e-3).all()


def _busy(order: list[str], name: str, seconds: float) -> None:
    order.append(name)
    end = prediction_cost.CLOCK() + seconds
    while prediction_cost.CLOCK() < end:
        pass


def test_the_networks_share_weights_and_folding_has_something_to_do() -> None:
    nets = PredictionSettings(batch_size=1, depth=2, width=8).networks()
    plain, normalized, folded = (nets[name].params for name in NETWORKS)
    np.testing.assert_array_equal(plain["dense_1.weight"], normalized["dense_1.weight"])
    assert plain.keys() == folded.keys(), "the folded network has the plain one's shape"
    assert np.abs(folded["dense_1.weight"] - plain["dense_1.weight"]).max() > 0.01


def test_folded_and_unfolded_outputs_agree_with_the_formula_in_double() -> None:
    nets = PredictionSettings(batch_size=1, depth=1, width=8).networks()
    net = nets["batch norm"]
    x = np.random.default_rng(0).random((5, 784))
    p = {name: value.astype(np.float64) for name, value in {**net.params, **net.state}.items()}
    h = x @ p["dense_1.weight"] - p["batch_norm_1.running_mean"]
    h *= p["batch_norm_1.gamma"] / np.sqrt(p["batch_norm_1.running_var"] + 1e-5)
    y = np.maximum(h + p["batch_norm_1.beta"], 0) @ p["dense_2.weight"] + p["dense_2.bias"]
    for name in ("batch norm", "folded"):
        np.testing.assert_allclose(nets[name].forward(x), y, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_real_run_gives_ordered_quartiles_and_the_same_function() -> None:
    settings = PredictionSettings(batch_size=4, rounds=9)
    measured = settings.run()
    for name in NETWORKS:
        q1, median, q3 = measured["seconds"][name]
        assert 0 < q1 <= median <= q3 < 1
    assert measured["ratio"]["plain"] == [1, 1, 1]
    assert 0 < measured["difference"] < prediction_cost.TOLERANCE
    seeds = {dataclasses.replace(settings, seed=seed): measured for seed in range(3)}
    assert not math.isnan(prediction_cost.ratios(seeds, "folded")[0])
