import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

from tinynet.experiments import learning_rate
from tinynet.experiments.arms import accuracy
from tinynet.experiments.learning_rate import EXPERIMENT, LargestRate, best_rate, ratios, steps_text
from tinynet.experiments.runs import RunSettings

CURVE = RunSettings(depth=5, activation="relu", init="he_normal", steps=300, probed=False)


def meters(plain: list[float], normalized: list[float], depth: int = 5) -> dict[Any, dict[str, Any]]:
    """Return made-up results of the meter, one rate a seed."""
    arms: Any = ((None, plain), ("batch", normalized))
    return {
        LargestRate(depth=depth, norm=norm, seed=seed): {"rate": rate, "tried": []}
        for norm, rates in arms
        for seed, rate in enumerate(rates)
    }


def training(accuracies: list[float], *, diverged: bool = False) -> dict[str, Any]:
    """Return a made-up history, a record every 100 steps."""
    n = len(accuracies)
    other = {name: [1.0] * n for name in ("train_loss", "validation_loss", "lr")}
    steps = [100 * (k + 1) for k in range(n)]
    return {"steps": steps, "validation_accuracy": accuracies, "diverged": diverged, **other}


def curves(by_arm: dict[Any, dict[float, list[float]]]) -> dict[Any, dict[str, Any]]:
    """Return made-up runs from final accuracies by arm, rate and seed; nan for one that diverged."""
    return {
        dataclasses.replace(CURVE, norm=norm, lr=lr, seed=seed): training([0.3, a], diverged=a != a)
        for norm, by_rate in by_arm.items()
        for lr, accuracies in by_rate.items()
        for seed, a in enumerate(accuracies)
    }


@pytest.mark.parametrize("border", [0.013, 0.5, 1.0, 7.7, 99.0])
def test_the_meter_finds_the_border_to_a_factor_of_1_08(border: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LargestRate, "trains", lambda self, rate: 0.001 < rate <= border)
    result = LargestRate().run()
    assert border / 1.08 < result["rate"] <= border
    assert len(result["tried"]) <= 13


def test_a_rate_too_small_to_train_does_not_mislead_the_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LargestRate, "trains", lambda self, rate: 0.3 < rate < 3)
    assert LargestRate().run()["rate"] == pytest.approx(3, rel=0.08)


def test_the_meter_stays_within_its_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LargestRate, "trains", lambda self, rate: True)
    assert LargestRate().run() == {"rate": 100.0, "tried": [[100.0, True]]}
    monkeypatch.setattr(LargestRate, "trains", lambda self, rate: False)
    assert LargestRate().run()["rate"] == 0


def test_what_trains_is_told_from_what_does_not(idx_folder: Path) -> None:
    meter = LargestRate(depth=2, width=20, steps=30, batch_size=30, data=str(idx_folder))
    assert meter.trains(0.1)
    assert not meter.trains(1e-6), "nothing is learned"
    assert not meter.trains(1e6), "diverges"


def test_the_ratio_is_taken_pair_by_pair() -> None:
    assert ratios(meters([0.1, 0.5], [1.0, 1.0]), 5) == pytest.approx([10, 2])
    assert ratios(meters([0.0, 0.0], [1.0, 0.0]), 5) == [math.inf], "where neither trains there is no ratio"
    assert ratios(meters([0.1, 0.2, 0.3], [1.0]), 5) == pytest.approx([10]), "a missing run leaves its pair out"


def test_the_claim_holds_if_every_pair_says_so() -> None:
    verdict = EXPERIMENT.verdict(meters([0.5, 0.5, 0.5], [5.0, 4.0, 6.0]))
    assert verdict.outcome == "holds"
    assert "10.0 (range 8.0 to 12.0 over 3 seeds) times as large" in verdict.sentence
    assert "5 (range 4 to 6 over 3 seeds) against 0.5" in verdict.sentence


def test_it_does_not_hold_if_no_rate_is_larger() -> None:
    assert EXPERIMENT.verdict(meters([0.5, 0.5, 0.5], [0.5, 0.4, 0.1])).outcome == "does not hold"


def test_mixed_or_missing_runs_show_nothing() -> None:
    assert EXPERIMENT.verdict(meters([0.5, 0.5, 0.5], [5.0, 0.4, 5.0])).outcome == "not shown"
    assert EXPERIMENT.verdict(meters([0.5, 0.5], [5.0, 5.0])).outcome == "not shown"
    assert EXPERIMENT.verdict({}).outcome == "not shown"
    assert EXPERIMENT.verdict(meters([], [5.0, 5.0, 5.0])).outcome == "not shown"


def test_each_arm_is_shown_at_its_own_best_rate() -> None:
    made = curves(
        {
            None: {0.1: [0.94, 0.96, 0.93], 1.0: [math.nan, 0.99, math.nan]},
            "batch": {0.1: [0.95, 0.95, 0.95], 1.0: [0.97, 0.98, 0.96]},
        }
    )
    assert best_rate(made, "plain") == 0.1, "a rate at which most runs diverge is not the best"
    assert best_rate(made, "batch norm") == 1.0
    sentence = EXPERIMENT.verdict(made | meters([0.5] * 3, [5.0] * 3)).sentence
    assert "plain has 94.0% (rate 0.1; steps to 95 %: 200 in 1 of 3 runs)" in sentence
    assert "batch norm has 97.0% (rate 1; steps to 95 %: 200)" in sentence


def test_a_diverged_run_counts_as_no_accuracy_at_all_and_is_counted() -> None:
    assert math.isnan(accuracy(training([0.9, 0.098], diverged=True)))
    made = curves({None: {0.1: [0.9] * 3, 1.0: [math.nan] * 3}, "batch": {0.1: [0.9] * 3, 1.0: [0.1] * 3}})
    rows = {row[0]: row[1:3] for row in EXPERIMENT.table(made)}
    assert rows["runs diverged, all rates"] == ["3 of 6", "0 of 6"]
    assert rows["runs below 50 %, all rates"] == ["3 of 6", "3 of 6"]
    lost = curves({None: {0.1: [math.nan] * 3}, "batch": {0.1: [0.9, 0.8, math.nan]}})
    rows = {row[0]: row[1:3] for row in EXPERIMENT.table(lost)}
    assert rows["test accuracy there"] == [
        "none (3 diverged)",
        "85.00% (range 80.00% to 90.00% over 2 seeds; 1 diverged)",
    ]
    assert (
        "plain has no accuracy (rate 0.1; steps to 95 %: not reached; 3 diverged)"
        in EXPERIMENT.verdict(lost | meters([0.5] * 3, [5.0] * 3)).sentence
    )


def test_steps_to_a_target_say_how_many_runs_reached_it() -> None:
    fast, slow, never = training([0.96, 0.97]), training([0.5, 0.95]), training([0.5, 0.6])
    assert steps_text([fast, slow, slow], 0.95) == "200 (range 100 to 200)"
    assert steps_text([fast, fast, never], 0.95) == "100 in 2 of 3 runs"
    assert steps_text([never], 0.95) == "not reached"
    assert steps_text([], 0.95) == "not reached"


def test_every_row_of_the_table_has_a_cell_a_column_with_or_without_runs() -> None:
    made = curves({None: {0.1: [0.9] * 3}}) | meters([0.5] * 3, [5.0] * 3) | meters([0.1] * 3, [5.0] * 3, depth=20)
    for results in (made, {}):
        header, *rows = EXPERIMENT.table(results)
        assert header == ["", "plain", "batch norm", "with / without"]
        assert all(len(row) == 4 for row in rows)
    rows = EXPERIMENT.table(made)
    assert rows[2][0] == "largest rate that trains, 20 layers"
    assert rows[2][3] == "50.0 (range 50.0 to 50.0 over 3 seeds)"


def test_figures_say_what_is_on_the_axes_and_draw_what_diverged() -> None:
    made = curves({None: {0.1: [0.9] * 3, 1.0: [math.nan] * 2}, "batch": {0.1: [0.95] * 3, 1.0: [0.96] * 3}})
    assert list(EXPERIMENT.draw(made | meters([0.5] * 3, [5.0] * 3))) == ["accuracy"], "one depth is not a curve"
    made |= meters([0.5] * 3, [5.0] * 3) | meters([0.0, 0.1], [5.0] * 3, depth=20)
    figures = EXPERIMENT.draw(made)
    assert set(figures) == set(EXPERIMENT.captions)
    for figure in figures.values():
        (ax,) = figure.axes
        assert ax.get_xlabel()
        assert ax.get_ylabel()
        assert ax.get_title()
    legend = figures["accuracy"].axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "plain (line: median, band: all of up to 3 seeds)",
        "batch norm (line: median, band: all 3 seeds)",
        "plain: 2 of 5 runs diverged",
    ]
    assert figures["accuracy"].axes[0].get_xscale() == "log"
    assert EXPERIMENT.draw({}) == {}


def test_runs_are_paired_and_cover_the_rates() -> None:
    for quick, rates in ((True, 9), (False, 13)):
        runs = EXPERIMENT.runs(quick)
        curve = [s for s in runs if isinstance(s, RunSettings)]
        assert len({s.lr for s in curve}) == rates
        assert (min(s.lr for s in curve), max(s.lr for s in curve)) == (0.001, 30)
        pairs = {(s.norm, s.seed) for s in curve}
        assert pairs >= {(norm, seed) for norm in (None, "batch") for seed in range(3)}
        assert pairs == {(s.norm, s.seed) for s in runs if isinstance(s, LargestRate)}
    assert learning_rate.depths({s: {} for s in EXPERIMENT.runs(False)}) == [2, 5, 10, 20]


@pytest.mark.slow
def test_batch_norm_trains_at_a_larger_rate_on_mnist() -> None:
    plain, normalized = (LargestRate(norm=norm, steps=30).run()["rate"] for norm in learning_rate.ARMS.values())
    assert 0.05 < plain < normalized < 100
