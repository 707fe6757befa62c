import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

import tinynet as tn
from tinynet.experiments import compare, results
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
    assert diverged.differences() == [-math.inf] * 3, "it is worse than any accuracy, and no number of points"
    assert diverged.verdict() == (
        "Does not hold: Batch norm is less accurate in all 3 paired seeds (batch norm diverged in 3 of 3; a diverged "
        "run has no accuracy and counts as worse than any)."
    )
    assert diverged.table()[2][-1] == "3 of 3"
    assert diverged.table()[2][1] == "none"


def test_points_are_told_of_the_pairs_in_which_neither_run_diverged() -> None:
    runs = [result(None, 0, [0.5]), *(result(None, k, [0.5, 0.098], diverged=True) for k in (1, 2))]
    runs += [result("batch", k, [0.9]) for k in range(3)]
    made = Comparison(runs)
    assert made.accuracies("plain")[0] == 0.5
    assert all(map(math.isnan, made.accuracies("plain")[1:])), "whatever the network of nan answers"
    assert made.differences() == [pytest.approx(0.4), math.inf, math.inf]
    assert made.verdict() == (
        "Holds: Batch norm is more accurate in all 3 paired seeds (median difference +40.0 points of test accuracy, "
        "range +40.0 to +40.0; plain diverged in 2 of 3; a diverged run has no accuracy and counts as worse than any)."
    )


def test_where_both_runs_of_each_pair_diverged_nothing_is_shown() -> None:
    runs = [result(norm, k, [math.nan], diverged=True) for norm in (None, "batch") for k in range(3)]
    assert all(map(math.isnan, Comparison(runs).differences()))
    assert Comparison(runs).verdict().startswith("Not shown: Batch norm is more accurate in 0 of 3")


def test_a_gradient_ratio_of_nothing_is_none_and_one_run_does_not_hide_the_others() -> None:
    made = comparison([0.1] * 3, [0.9] * 3)
    made.results[0].probe.values["gradient_rms"] = {f"dense_{k}": [0.0] for k in range(1, 5)}
    assert made.gradient_ratio("plain") == pytest.approx(1e-6)
    for r in made.results[:3]:
        r.probe.values["gradient_rms"] = {f"dense_{k}": [0.0] for k in range(1, 5)}
    assert math.isnan(made.gradient_ratio("plain"))
    assert made.table()[1][4] == "none"


def test_the_inside_of_both_arms_is_drawn_of_one_seed_on_one_scale_and_says_where_it_diverged() -> None:
    runs = [result(None, k, [0.5, math.nan], diverged=True) for k in range(2)]
    runs[0].probe.steps.clear()  # its first loss was not finite
    runs += [result("batch", k, [0.9, 0.9, 0.9]) for k in range(2)]
    for r in runs[2:]:
        r.probe.steps.append(20)
        for layers in r.probe.values.values():
            for values in layers.values():
                values.append(1.0)
    made = Comparison(runs)
    assert {name: r.settings.seed for name, r in compare.shown(made).items()} == {"plain": 1, "batch norm": 1}
    for name in ("gradient_over_training", "activation_percentiles"):
        left, right = compare.draw(made)[name].axes
        assert left.get_xlim() == right.get_xlim() == (0, 20)
        assert (left.get_title(), right.get_title()) == ("Plain (diverged)", "Batch norm")
        assert "diverged at step 20" in [text.get_text() for text in left.get_legend().get_texts()]
        assert "diverged at step 20" not in [text.get_text() for text in right.get_legend().get_texts()]


def test_where_every_gradient_is_zero_the_page_is_written_all_the_same(tmp_path: Path) -> None:
    made = comparison([0.1] * 3, [0.1] * 3)
    for r in made.results:
        r.probe.values["gradient_rms"] = {f"dense_{k}": [0.0] for k in range(1, 5)}
    asked = compare.identity(BASE, "batch", 3)
    results.write(made, tmp_path, "tinynet compare", asked)
    assert (tmp_path / "report.html").exists()
    figures = compare.draw(made)
    for ax in (*figures["gradient_by_layer"].axes, *figures["gradient_over_training"].axes):
        assert [text.get_text() for text in ax.texts] == ["nothing above zero to draw"]


# -- where it goes --------------------------------------------------------------------------------------------


def test_comparisons_of_other_settings_are_kept_apart_and_one_of_the_same_takes_its_own_place(tmp_path: Path) -> None:
    first, second = compare.identity(BASE, "batch", 3), compare.identity(dataclasses.replace(BASE, lr=0.3), "batch", 3)
    third = compare.identity(BASE, "batch", 1)
    made = comparison([0.1] * 3, [0.9] * 3)
    assert results.place(tmp_path / "new", first) == tmp_path / "new"
    results.write(made, tmp_path, "first", first)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert results.place(tmp_path, second) == tmp_path / "2"
    results.write(comparison([0.2], [0.3]), tmp_path / "2", "second", second)
    assert [results.place(tmp_path, asked) for asked in (first, second, third)] == [
        tmp_path,
        tmp_path / "2",
        tmp_path / "3",
    ]
    assert {path: path.read_bytes() for path in before} == before
    results.write(made, tmp_path, "first", first)
    assert {path: path.read_bytes() for path in before} == before, "the same bits"


@pytest.mark.parametrize("name", ["report.html", "results.json", "curves.csv", "runs"])
def test_what_another_program_left_in_the_folder_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir() if name == "runs" else (tmp_path / name).write_text('{"comparison": 1}')
    assert results.place(tmp_path, compare.identity(BASE, "batch", 3)) == tmp_path / "2"


def test_what_is_not_written_again_of_the_same_comparison_is_removed(tmp_path: Path) -> None:
    asked = compare.identity(BASE, "batch", 2)
    results.write(comparison([0.1] * 2, [0.9] * 2), tmp_path, "whole", asked)
    (tmp_path / "runs" / "mine-seed1.csv").write_text("mine")
    at_once = result(None, 0, [math.nan], diverged=True)
    at_once.probe.steps.clear()
    results.write(Comparison([at_once]), tmp_path, "interrupted", asked)
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {
        "plain-seed0.csv",
        "plain-seed0-probe.csv",
        "mine-seed1.csv",
    }
    assert not (tmp_path / "gradient_by_layer.png").exists()


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
