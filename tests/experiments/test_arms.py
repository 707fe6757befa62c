"""Arms: one meaning of diverged, seeds in pairs, and numbers in words."""

import math

import pytest

from tinynet.experiments.arms import (
    accuracy,
    by_arm,
    by_seed,
    by_step,
    by_value,
    counted,
    decide,
    difference,
    diverged,
    history,
    in_words,
    paired,
    rows_by_seed,
    select,
)
from tinynet.experiments.gradients import GradientSettings
from tinynet.experiments.runs import RunSettings


def test_several_values_are_their_median_and_range() -> None:
    assert in_words([3.0, 1.0, 2.0]) == "2 (range 1 to 3 over 3 seeds)"
    assert in_words([0.5], "{:.0%}") == "50%"
    assert in_words([]) == "no run"


def test_a_decision_needs_three_seeds_that_agree() -> None:
    assert decide([True] * 3) == "holds"
    assert decide([False] * 3) == "does not hold"
    assert decide([True, True, False]) == decide([True, True]) == decide([]) == "not shown"


def test_runs_that_diverged_are_counted_and_in_no_number() -> None:
    nan = float("nan")
    assert in_words([3.0, nan, 1.0]) == "2 (range 1 to 3 over 2 seeds; 1 diverged)"
    assert in_words([nan, 3.0]) == "3 (1 diverged)"
    assert in_words([nan, nan]) == "none (2 diverged)"


def test_a_diverged_run_has_no_accuracy_and_counts_as_0_for_a_rule_alone() -> None:
    lost = {"diverged": True, "validation_accuracy": [0.9, 0.098]}
    assert str(accuracy(lost)) == "nan"
    assert counted(accuracy(lost)) == 0
    assert counted(accuracy({"diverged": False, "validation_accuracy": [0.1, 0.9]})) == 0.9


def test_runs_are_put_side_by_side_by_their_own_steps() -> None:
    steps, rows = by_step([([0, 10, 20], [1.0, 2.0, 3.0]), ([0, 7], [4.0, 5.0])])
    nan = float("nan")
    assert steps == [0, 7, 10, 20]
    assert str(rows) == str([[1.0, nan, 2.0, 3.0], [4.0, 5.0, nan, nan]])
    assert by_step([]) == ([], [])


def test_an_accuracy_is_the_one_that_the_run_says_or_that_of_its_last_record() -> None:
    made = {"diverged": False, "validation_accuracy": [0.1, 0.9]}
    assert accuracy(made) == 0.9
    assert accuracy(made | {"accuracy": 0.95}) == 0.95
    assert math.isnan(accuracy(made | {"accuracy": 0.95, "diverged": True}))


def test_a_diverged_run_is_worse_than_any_and_by_no_number_of_points() -> None:
    assert difference(0.5, 0.9) == pytest.approx(0.4)
    assert difference(math.nan, 0.0) == math.inf
    assert difference(0.0, math.nan) == -math.inf
    assert math.isnan(difference(math.nan, math.nan))


def test_runs_are_found_by_their_settings_seed_by_seed() -> None:
    results = {
        RunSettings(norm=norm, seed=seed): {"is": (norm, seed)} for seed in (2, 0, 1) for norm in (None, "batch")
    } | {GradientSettings(seed=0): {"is": "another kind"}}
    assert list(by_seed(results, RunSettings, norm="batch").items()) == [(k, {"is": ("batch", k)}) for k in range(3)]
    assert list(by_seed(results, GradientSettings)) == [0]
    assert by_seed(results, RunSettings, norm="layer") == {}
    assert list(select(results, RunSettings, seed=2).values()) == [{"is": (norm, 2)} for norm in (None, "batch")]
    assert [*by_arm(results, RunSettings)] == ["plain", "batch norm"]
    assert by_arm(results, RunSettings)["batch norm"] == by_seed(results, RunSettings, norm="batch")
    assert by_arm(results, GradientSettings)["batch norm"] == {}
    assert list(by_value(results, "seed", RunSettings, norm="batch").items()) == [
        (k, {k: {"is": ("batch", k)}}) for k in range(3)
    ]


def test_a_seed_that_one_arm_lacks_has_no_pair() -> None:
    assert paired({2: "a", 0: "b", 1: "c"}, {0: "B", 2: "A", 5: "E"}) == {0: ("b", "B"), 2: ("a", "A")}
    assert str(rows_by_seed([{0: 1.0, 1: 2.0}, {1: 3.0}])) == "[[1.0, nan], [2.0, 3.0]]"


def test_a_result_has_its_history_in_it() -> None:
    made = {name: [1.0] for name in ("train_loss", "validation_loss", "validation_accuracy", "lr")}
    found = history({"steps": [10], **made, "diverged": True, "probe": {}})
    assert (found.steps, found.lr, found.diverged) == ([10], [1.0], True)
    assert diverged([{"diverged": True}, {"diverged": False}]) == "1 of 2"
