import dataclasses
import math
from typing import Any

import pytest

import tinynet as tn
from tinynet.experiments import compare
from tinynet.experiments.compare import Comparison
from tinynet.experiments.runs import RunResult, RunSettings

BASE = RunSettings(depth=3, steps=20)


def result(
    norm: Any, seed: int, accuracies: list[float], *, diverged: bool = False, stopped: bool = False
) -> RunResult:
    history = tn.History()
    for k, accuracy in enumerate(accuracies):
        history.append(10 * (k + 1), 1.0, 1.0, accuracy, 0.1)
    history.diverged = diverged
    probe = tn.Probe()
    probe.steps = [0]
    scale = 1e-3 if norm is None else 0.5
    probe.values = {
        "gradient_rms": {f"dense_{k + 1}": [2.0 * scale ** (3 - k)] for k in range(4)},
        **{f"input_{p}": {"sigmoid_3": [v]} for p, v in (("p15", -1.0), ("p50", 0.0), ("p85", 1.0))},
    }
    return RunResult(dataclasses.replace(BASE, norm=norm, seed=seed), history, probe, interrupted=stopped)


def comparison(plain: list[float], normalized: list[float]) -> Comparison:
    runs = [result(norm, k, [a]) for norm, arm in ((None, plain), ("batch", normalized)) for k, a in enumerate(arm)]
    return Comparison(runs)


def test_arms_are_paired_seed_by_seed() -> None:
    pairs = [(s.norm, s.seed) for s in compare.arms(BASE, "layer", 2)]
    assert pairs == [(None, 0), ("layer", 0), (None, 1), ("layer", 1)]


def test_the_difference_is_taken_pair_by_pair() -> None:
    assert comparison([0.1, 0.5], [0.9, 0.6]).differences() == pytest.approx([0.8, 0.1])


def test_a_verdict_holds_only_if_every_pair_says_so() -> None:
    assert comparison([0.1, 0.2, 0.3], [0.2, 0.4, 0.5]).verdict() == (
        "Holds: Batch norm is more accurate in all 3 paired seeds "
        "(median difference +20.0 points of test accuracy, range +10.0 to +20.0)."
    )
    assert comparison([0.2, 0.4, 0.5], [0.1, 0.2, 0.3]).verdict().startswith("Does not hold: Batch norm is less")
    mixed = comparison([0.2, 0.4, 0.5], [0.3, 0.3, 0.6]).verdict()
    assert mixed.startswith("Not shown: Batch norm is more accurate in 2 of 3 paired seeds only")


def test_two_seeds_show_nothing() -> None:
    assert comparison([0.1, 0.1], [0.9, 0.9]).verdict().startswith("Not shown: 2 paired seeds are too few")


def test_a_diverged_run_counts_as_no_accuracy_at_all() -> None:
    runs = [result(None, k, [0.5]) for k in range(3)]
    runs += [result("batch", k, [0.9, math.nan], diverged=True) for k in range(3)]
    diverged = Comparison(runs)
    assert diverged.differences() == pytest.approx([-0.5] * 3)
    assert diverged.verdict().startswith("Does not hold")
    assert diverged.table()[2][-1] == "3 of 3"
    assert diverged.table()[2][1] == "none"


def test_an_interrupted_comparison_shows_nothing() -> None:
    runs = [result(norm, k, [0.5], stopped=True) for norm in (None, "batch") for k in range(3)]
    assert "interrupted" in Comparison(runs).verdict()
    assert "interrupted" in Comparison(runs[:3]).verdict(), "one arm only"


def test_the_table_has_medians_and_ranges() -> None:
    header, plain, normalized = comparison([0.1, 0.2, 0.3], [0.91, 0.96, 0.93]).table()
    assert header == ["arm", "test accuracy", "steps to 90%", "steps to 95%", "gradient first/last", "diverged"]
    assert plain == ["plain", "20.00% (10.00% to 30.00%)", "not reached", "not reached", "1e-06", "0 of 3"]
    assert normalized == ["batch norm", "93.00% (91.00% to 96.00%)", "10", "10 (1 of 3 runs)", "0.25", "0 of 3"]


def test_the_gradient_ratio_is_first_over_last_hidden_layer() -> None:
    assert comparison([0.1], [0.9]).gradient_ratio("plain") == pytest.approx(1e-6)


def test_a_run_that_diverged_at_once_has_no_gradient() -> None:
    runs = [result(None, 0, [math.nan], diverged=True), result("batch", 0, [0.9])]
    runs[0].probe.steps.clear()
    runs[0].probe.values.clear()
    at_once = Comparison(runs)
    assert math.isnan(at_once.gradient_ratio("plain"))
    assert set(compare.draw(at_once)) == set(compare.CAPTIONS)


def test_without_any_gradient_only_the_curves_are_drawn() -> None:
    runs = [result(None, 0, [math.nan], diverged=True)]
    runs[0].probe.steps.clear()
    assert list(compare.draw(Comparison(runs))) == ["convergence"]


def test_every_figure_has_labels_with_what_is_on_the_axes() -> None:
    for name, figure in compare.draw(comparison([0.1, 0.2, 0.3], [0.9, 0.8, 0.95])).items():
        for ax in figure.axes:
            assert ax.get_xlabel(), name
            assert ax.get_title(), name
        assert figure.axes[0].get_ylabel(), name
