import dataclasses
import math
from typing import Any, Literal

import numpy as np
import pytest

from tinynet.experiments import initialization
from tinynet.experiments.arms import accuracy
from tinynet.experiments.initialization import EXPERIMENT, ActivationSettings, width
from tinynet.experiments.runs import RunSettings
from tinynet.experiments.sweep import execute

GRID = (0.001, 0.01, 0.1, 1.0)
PEAK = {0.001: 0.1, 0.01: 0.5, 0.1: 0.9, 1.0: 0.5}
LEVEL = {0.001: 0.89, 0.01: 0.9, 0.1: 0.9, 1.0: 0.89}


def trained(accuracy: float) -> dict[str, Any]:
    return {"diverged": math.isnan(accuracy), "validation_accuracy": [accuracy]}


def results(plain: dict[float, float], normalized: dict[float, float], seeds: int = 3) -> dict[Any, dict[str, Any]]:
    """Made-up runs: every seed of an arm alike."""
    arms: dict[Literal["batch"] | None, dict[float, float]] = {None: plain, "batch": normalized}
    return {
        RunSettings(norm=norm, init=f"normal({scale:g})", lr=0.1, steps=200, seed=seed): trained(accuracy)
        for seed in range(seeds)
        for norm, arm in arms.items()
        for scale, accuracy in arm.items()
    }


def with_histograms(runs: dict[Any, dict[str, Any]]) -> dict[Any, dict[str, Any]]:
    made = {s: {"edges": [-1.0, 0.0, 1.0], "counts": [[3, 1], [0, 0]]} for s in EXPERIMENT.runs(True)}
    return runs | {s: r for s, r in made.items() if isinstance(s, ActivationSettings)}


def test_runs_are_paired_over_twelve_scales_or_more_and_three_seeds() -> None:
    for quick in (True, False):
        curve = list(initialization.over_scale({s: {} for s in EXPERIMENT.runs(quick)}))
        plain, normalized = ([s for s in curve if s.norm == norm] for norm in (None, "batch"))
        assert [dataclasses.replace(s, norm="batch") for s in plain] == normalized
        scales = sorted({initialization.scale_of(s) for s in curve})
        assert (scales[0], scales[-1]) == (1e-4, 5.0)
        assert len(scales) >= 12
        assert len({s.seed for s in curve}) >= 3
        np.testing.assert_allclose(np.diff(np.log(scales)), np.log(5e4) / (len(scales) - 1), rtol=0.02)


def test_only_the_full_form_has_the_map() -> None:
    assert not initialization.over_map({s: {} for s in EXPERIMENT.runs(True)})
    mapped = initialization.over_map({s: {} for s in EXPERIMENT.runs(False)})
    assert len(mapped) == 2 * 3 * 13 * 9


def test_the_width_of_a_triangle_is_known() -> None:
    # from 0.9 to 0.5 one decade away: 0.02 lower after a twentieth of a decade, on either side
    assert width(PEAK) == pytest.approx(2 * 0.05)


def test_the_width_of_a_level_curve_is_that_of_the_grid() -> None:
    assert width(LEVEL) == pytest.approx(3.0)


def test_only_the_stretch_about_the_best_scale_counts() -> None:
    assert width({0.001: 0.9, 0.01: 0.1, 0.1: 0.9, 1.0: 0.91}) == pytest.approx(1 + 0.01 / 0.8)


def test_a_diverged_run_counts_as_no_accuracy() -> None:
    assert width({0.1: 0.9, 1.0: math.nan}) == pytest.approx(0.02 / 0.9)
    assert width({0.1: math.nan}) == 0


def test_an_arm_level_at_chance_is_not_insensitive() -> None:
    assert width(dict.fromkeys(GRID, 0.1)) == 0
    assert width({}) == 0


def test_the_claim_holds_if_batch_norm_is_wider_in_every_seed() -> None:
    verdict = EXPERIMENT.verdict(results(PEAK, LEVEL))
    assert verdict.outcome == "holds"
    assert verdict.sentence == (
        "Accuracy stays within 2 points of its best over 3.0 (range 3.0 to 3.0 over 3 seeds) factors of ten of the "
        "weight scale with batch norm, over 0.1 (range 0.1 to 0.1 over 3 seeds) without; the difference, pair by "
        "pair, is +2.9 (range +2.9 to +2.9 over 3 seeds)."
    )


def test_it_does_not_hold_if_batch_norm_is_nowhere_wider() -> None:
    assert EXPERIMENT.verdict(results(LEVEL, PEAK)).outcome == "does not hold"
    assert EXPERIMENT.verdict(results(LEVEL, LEVEL)).outcome == "does not hold"


def test_it_is_not_shown_by_seeds_that_differ_or_are_few() -> None:
    mixed = results(PEAK, LEVEL) | {s: r for s, r in results(LEVEL, PEAK).items() if s.seed == 1}
    assert EXPERIMENT.verdict(mixed).outcome == "not shown"
    assert EXPERIMENT.verdict(results(PEAK, LEVEL, seeds=2)).outcome == "not shown"
    assert EXPERIMENT.verdict({}).outcome == "not shown"


def test_a_seed_with_a_missing_run_is_left_out() -> None:
    runs = results(PEAK, LEVEL)
    del runs[next(s for s in runs if s.seed == 1)]
    assert list(initialization.widths(runs)) == [0, 2]
    assert EXPERIMENT.verdict(runs).outcome == "not shown"


def test_at_the_best_rate_of_each_scale_a_rate_that_diverges_does_no_harm() -> None:
    runs = results(PEAK, LEVEL)
    faster = {dataclasses.replace(s, lr=1.0): trained(math.nan if s.norm else 0.88) for s in runs}
    mapped = initialization.over_map(runs | faster)
    assert initialization.widths(mapped)[0] == pytest.approx({"plain": 3.0, "batch norm": 3.0})
    assert EXPERIMENT.verdict(runs | faster).sentence.endswith(
        "At each scale's best learning rate, 200 steps: 3.0 (range 3.0 to 3.0 over 3 seeds) with, "
        "3.0 (range 3.0 to 3.0 over 3 seeds) without."
    )


def test_the_table_counts_diverged_runs() -> None:
    header, plain, normalized = EXPERIMENT.table(results({0.1: math.nan, 1.0: math.nan}, {0.1: 0.9, 1.0: math.nan}))
    assert dict(zip(header, plain, strict=True)) == {
        "arm": "plain",
        "best accuracy": "none",
        "at scale": "none",
        "worst accuracy": "none",
        "width in decades": "0.0 (range 0.0 to 0.0 over 3 seeds)",
        "at best rates": "no run",
        "diverged": "6 of 6",
    }
    assert (normalized[1], normalized[2], normalized[-1]) == ("90.0%", "0.1", "3 of 6")


@pytest.mark.parametrize(
    "runs",
    [
        with_histograms(results(PEAK, LEVEL)),
        with_histograms(results(dict.fromkeys(GRID, math.nan), {**LEVEL, 1.0: math.nan})),
        results(PEAK, LEVEL) | {dataclasses.replace(s, lr=1.0): trained(math.nan) for s in results(PEAK, {0.1: 0.9})},
        dict(list(results(PEAK, LEVEL).items())[:5]),
        {},
    ],
    ids=["whole", "diverged", "map", "missing", "none"],
)
def test_every_figure_has_labels_and_a_caption(runs: dict[Any, dict[str, Any]]) -> None:
    figures = EXPERIMENT.draw(runs)
    assert set(figures) <= set(EXPERIMENT.captions)
    for name, figure in figures.items():
        assert figure.axes[0].get_xlabel(), name
        assert figure.axes[0].get_ylabel(), name
        assert figure.axes[0].get_title(), name


def test_every_caption_has_its_figure_in_the_full_form() -> None:
    runs = with_histograms(results(PEAK, LEVEL))
    runs |= {dataclasses.replace(s, lr=1.0): r for s, r in runs.items() if isinstance(s, RunSettings)}
    assert set(EXPERIMENT.draw(runs)) == set(EXPERIMENT.captions)


def test_diverged_runs_are_drawn() -> None:
    ax = EXPERIMENT.draw(results({0.1: 0.9, 1.0: math.nan}, LEVEL))["accuracy"].axes[0]
    assert "plain: 3 of 6 runs diverged" in ax.get_legend_handles_labels()[1]


def test_histograms_count_every_unit_on_every_example() -> None:
    settings = ActivationSettings(depth=2, width=7, batch_size=50, scale=0.1)
    result = settings.run()
    assert [sum(counts) for counts in result["counts"]] == [350, 350]
    assert len(result["edges"]) == settings.bins + 1


def test_the_scale_moves_the_activations_without_batch_norm_only() -> None:
    def saturated(settings: ActivationSettings) -> float:
        last: list[int] = execute(settings)["counts"][-1]
        return (last[0] + last[-1]) / sum(last)

    small, large = (ActivationSettings(depth=3, batch_size=200, scale=scale) for scale in (0.01, 1.0))
    assert saturated(small) == 0
    assert saturated(large) > 0.5
    normalized = [saturated(dataclasses.replace(s, norm="batch")) for s in (small, large)]
    # tanh is past 1 - 2/41 where a standard normal is past 1.84: in 6.6 % of cases
    assert normalized == pytest.approx([0.066, 0.066], abs=0.02)


@pytest.mark.slow
def test_a_tiny_real_run_trains_at_a_scale_that_is_too_small_with_batch_norm_only() -> None:
    few = [
        s for s in EXPERIMENT.runs(True) if isinstance(s, RunSettings) and s.init == "normal(0.0224)" and not s.seed
    ]
    plain, normalized = (accuracy(execute(s)) for s in few)
    assert plain < 0.2
    assert normalized > 0.8
