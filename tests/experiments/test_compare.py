import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

from tinynet.experiments import compare
from tinynet.experiments import results as files
from tinynet.experiments.experiment import Finding
from tinynet.experiments.runs import RunSettings

BASE = RunSettings(depth=3, steps=20)


def result(accuracies: list[float], norm: Any = None, *, diverged: bool = False) -> dict[str, Any]:
    """Return a made-up run: its last record is at its last step."""
    n, scale = len(accuracies), 1e-3 if norm is None else 0.5
    return {
        "steps": [BASE.steps - 10 * (n - 1 - k) for k in range(n)],
        **{name: [1.0] * n for name in ("train_loss", "validation_loss", "lr")},
        "validation_accuracy": accuracies,
        "diverged": diverged,
        "probe": {
            "steps": [0],
            "values": {
                "gradient_rms": {f"dense_{k + 1}": [2.0 * scale ** (3 - k)] for k in range(4)},
                **{f"input_{p}": {"sigmoid_3": [v]} for p, v in (("p15", -1.0), ("p50", 0.0), ("p85", 1.0))},
            },
        },
    }


def lost(norm: Any = None) -> dict[str, Any]:
    return result([0.5, math.nan], norm, diverged=True)


def at_once() -> dict[str, Any]:
    """Return a run whose very first loss was not finite, so that nothing was measured."""
    return result([math.nan], diverged=True) | {"probe": {"steps": [], "values": {}}}


def both(plain: list[dict[str, Any]], normalized: list[dict[str, Any]]) -> dict[RunSettings, dict[str, Any]]:
    arms: Any = ((None, plain), ("batch", normalized))
    return {dataclasses.replace(BASE, norm=norm, seed=k): r for norm, runs in arms for k, r in enumerate(runs)}


def results(plain: list[float], normalized: list[float]) -> dict[RunSettings, dict[str, Any]]:
    return both([result([a]) for a in plain], [result([a], "batch") for a in normalized])


def found(results: dict[RunSettings, dict[str, Any]], seeds: int = 3) -> Finding:
    return compare.experiment(BASE, "batch", seeds).finding(results)


def test_arms_are_paired_seed_by_seed() -> None:
    pairs = [(s.norm, s.seed) for s in compare.arms(BASE, "layer", 2)]
    assert pairs == [(None, 0), ("layer", 0), (None, 1), ("layer", 1)]


def test_the_difference_is_taken_pair_by_pair() -> None:
    assert compare.differences(results([0.1, 0.5], [0.9, 0.6])) == pytest.approx([0.8, 0.1])


def test_a_verdict_holds_only_if_every_pair_says_so() -> None:
    assert str(compare.verdict(results([0.1, 0.2, 0.3], [0.2, 0.4, 0.5]))) == (
        "Holds: Batch norm is more accurate in all 3 paired seeds "
        "(median difference +20.0 points of test accuracy, range +10.0 to +20.0)."
    )
    assert str(compare.verdict(results([0.2, 0.4, 0.5], [0.1, 0.2, 0.3]))).startswith(
        "Does not hold: Batch norm is less"
    )
    mixed = str(compare.verdict(results([0.2, 0.4, 0.5], [0.3, 0.3, 0.6])))
    assert mixed.startswith("Not shown: Batch norm is more accurate in 2 of 3 paired seeds only")


def test_two_seeds_show_nothing() -> None:
    assert str(compare.verdict(results([0.1, 0.1], [0.9, 0.9]))).startswith("Not shown: 2 paired seeds are too few")


def test_a_diverged_run_counts_as_no_accuracy_at_all() -> None:
    diverged = both([result([0.5])] * 3, [lost("batch")] * 3)
    assert compare.differences(diverged) == [-math.inf] * 3, "it is worse than any accuracy, and no number of points"
    assert str(compare.verdict(diverged)) == (
        "Does not hold: Batch norm is less accurate in all 3 paired seeds (batch norm diverged in 3 of 3; a diverged "
        "run has no accuracy and counts as worse than any)."
    )
    assert compare.table(diverged)[2][-1] == "3 of 3"
    assert compare.table(diverged)[2][1] == "none"


def test_points_are_told_of_the_pairs_in_which_neither_run_diverged() -> None:
    answering = result([0.5, 0.098], diverged=True)  # whatever the network of nan answers
    made = both([result([0.5]), answering, answering], [result([0.9], "batch")] * 3)
    assert compare.table(made)[1][1] == "50.00%"
    assert compare.differences(made) == [pytest.approx(0.4), math.inf, math.inf]
    assert str(compare.verdict(made)) == (
        "Holds: Batch norm is more accurate in all 3 paired seeds (median difference +40.0 points of test accuracy, "
        "range +40.0 to +40.0; plain diverged in 2 of 3; a diverged run has no accuracy and counts as worse than any)."
    )


def test_where_both_runs_of_each_pair_diverged_nothing_is_shown() -> None:
    made = both([lost()] * 3, [lost("batch")] * 3)
    assert all(map(math.isnan, compare.differences(made)))
    assert str(compare.verdict(made)).startswith("Not shown: Batch norm is more accurate in 0 of 3")


def test_a_gradient_ratio_of_nothing_is_none_and_one_run_does_not_hide_the_others() -> None:
    made = results([0.1] * 3, [0.9] * 3)
    plain = list(made.values())[:3]
    assert compare.gradient_ratio(plain) == pytest.approx(1e-6)
    for k, r in enumerate(plain):
        r["probe"]["values"]["gradient_rms"] = {f"dense_{k}": [0.0] for k in range(1, 5)}
        assert math.isnan(compare.gradient_ratio(plain)) == (k == 2)
    assert compare.table(made)[1][4] == "none"


def test_the_inside_of_both_arms_is_drawn_of_one_seed_on_one_scale_and_says_where_it_diverged() -> None:
    made = both([lost(), lost()], [result([0.9, 0.9], "batch") for _ in range(2)])
    next(iter(made.values()))["probe"]["steps"].clear()  # its first loss was not finite
    for r in list(made.values())[2:]:
        r["probe"]["steps"].append(20)
        for layers in r["probe"]["values"].values():
            for values in layers.values():
                values.append(1.0)
    assert [(s.norm, s.seed) for s in compare.shown(made)] == [(None, 1), ("batch", 1)]
    for name in ("gradient_over_training", "activation_percentiles"):
        left, right = compare.draw(made)[name].axes
        assert left.get_xlim() == right.get_xlim() == (0, 20)
        assert (left.get_title(), right.get_title()) == ("Plain (diverged)", "Batch norm")
        assert "diverged at step 20" in [text.get_text() for text in left.get_legend().get_texts()]
        assert "diverged at step 20" not in [text.get_text() for text in right.get_legend().get_texts()]


def test_where_every_gradient_is_zero_the_page_is_written_all_the_same(tmp_path: Path) -> None:
    made = results([0.1] * 3, [0.1] * 3)
    for r in made.values():
        r["probe"]["values"]["gradient_rms"] = {f"dense_{k}": [0.0] for k in range(1, 5)}
    finding = found(made)
    files.write_comparison(finding, tmp_path, "tinynet compare", compare.identity(BASE, "batch", 3))
    assert (tmp_path / "report.html").exists()
    figures = finding.figures
    for ax in (*figures["gradient_by_layer"].axes, *figures["gradient_over_training"].axes):
        assert [text.get_text() for text in ax.texts] == ["nothing above zero to draw"]


# -- where it goes --------------------------------------------------------------------------------------------


def test_comparisons_of_other_settings_are_kept_apart_and_one_of_the_same_takes_its_own_place(tmp_path: Path) -> None:
    first, second = compare.identity(BASE, "batch", 3), compare.identity(dataclasses.replace(BASE, lr=0.3), "batch", 3)
    third = compare.identity(BASE, "batch", 1)
    made = found(results([0.1] * 3, [0.9] * 3))
    assert files.place(tmp_path / "new", first) == tmp_path / "new"
    files.write_comparison(made, tmp_path, "first", first)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert files.place(tmp_path, second) == tmp_path / "2"
    files.write_comparison(found(results([0.2], [0.3])), tmp_path / "2", "second", second)
    assert [files.place(tmp_path, asked) for asked in (first, second, third)] == [
        tmp_path,
        tmp_path / "2",
        tmp_path / "3",
    ]
    assert {path: path.read_bytes() for path in before} == before
    files.write_comparison(made, tmp_path, "first", first)
    assert {path: path.read_bytes() for path in before} == before, "the same bits"


@pytest.mark.parametrize("name", ["report.html", "results.json", "curves.csv", "runs"])
def test_what_another_program_left_in_the_folder_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir() if name == "runs" else (tmp_path / name).write_text('{"comparison": 1}')
    assert files.place(tmp_path, compare.identity(BASE, "batch", 3)) == tmp_path / "2"


def test_what_is_not_written_again_of_the_same_comparison_is_removed(tmp_path: Path) -> None:
    asked = compare.identity(BASE, "batch", 2)
    files.write_comparison(found(results([0.1] * 2, [0.9] * 2)), tmp_path, "whole", asked)
    (tmp_path / "runs" / "mine-seed1.csv").write_text("mine")
    files.write_comparison(found(both([at_once()], [])), tmp_path, "interrupted", asked)
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {
        "plain-seed0.csv",
        "plain-seed0-probe.csv",
        "mine-seed1.csv",
    }
    assert not (tmp_path / "gradient_by_layer.png").exists()


def test_an_interrupted_comparison_shows_nothing() -> None:
    made = results([0.1] * 3, [0.9] * 3)
    assert "interrupted" in compare.verdict(both([result([0.1])] * 3, [])).sentence, "one arm only"
    made[next(iter(made))]["steps"] = [10]
    assert "interrupted" in compare.verdict(made).sentence


def test_the_table_has_medians_and_ranges() -> None:
    header, plain, normalized = compare.table(results([0.1, 0.2, 0.3], [0.91, 0.96, 0.93]))
    assert header == ["arm", "test accuracy", "steps to 90%", "steps to 95%", "gradient first/last", "diverged"]
    assert plain == ["plain", "20.00% (10.00% to 30.00%)", "not reached", "not reached", "1e-06", "0 of 3"]
    assert normalized == ["batch norm", "93.00% (91.00% to 96.00%)", "20", "20 (1 of 3 runs)", "0.25", "0 of 3"]


def test_the_gradient_ratio_is_first_over_last_hidden_layer() -> None:
    assert compare.gradient_ratio([result([0.1])]) == pytest.approx(1e-6)


def test_a_run_that_diverged_at_once_has_no_gradient() -> None:
    assert math.isnan(compare.gradient_ratio([at_once()]))
    assert set(compare.draw(both([at_once()], [result([0.9], "batch")]))) == set(compare.CAPTIONS)


def test_without_any_gradient_only_the_curves_are_drawn() -> None:
    assert list(compare.draw(both([at_once()], []))) == ["convergence"]


def test_every_figure_has_labels_with_what_is_on_the_axes() -> None:
    for name, figure in found(results([0.1, 0.2, 0.3], [0.9, 0.8, 0.95])).figures.items():
        for ax in figure.axes:
            assert ax.get_xlabel(), name
            assert ax.get_title(), name
        assert figure.axes[0].get_ylabel(), name
