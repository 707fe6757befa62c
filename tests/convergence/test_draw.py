import numpy as np
import pytest
from matplotlib.colors import to_hex

import tinynet as tn
from tinynet import plots
from tinynet.convergence import BANDS, Curve, Log, draw, smoothed

NAN = np.nan


def log(values, x=None, *, name="a.csv", metric="val_accuracy", diverged=False, **more):
    x = np.arange(1, len(values) + 1) if x is None else x
    curves = {metric: Curve(values, {"step": x})} | {other: Curve(y, {"step": x}) for other, y in more.items()}
    return Log(name, "a program", curves, diverged=diverged)


@pytest.fixture
def ax():
    return plots.figure()[1][0]


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def said(ax):
    return ax.get_legend().get_title().get_text()


def labelled(ax, k=0):
    return ax.get_legend_handles_labels()[0][k].get_xydata()


def band_at(ax, x):
    y = ax.collections[0].get_paths()[0].vertices
    return sorted(set(y[y[:, 0] == x][:, 1]))


def test_the_line_is_the_median_and_the_band_is_said(ax):
    assert draw({"bn": [log([0.1, 0.2]), log([0.5, 0.6]), log([0.2, 0.3])]}, ax) is ax
    np.testing.assert_array_equal(labelled(ax), [[1, 0.2], [2, 0.3]])
    assert labels(ax) == ["bn (3 runs)"]
    assert said(ax) == "line: median, band: all runs"
    assert band_at(ax, 1) == [0.1, 0.5]
    assert ax.get_ylabel() == "accuracy (validation data)"
    assert ax.get_xlabel() == "step (one update each)"


@pytest.mark.parametrize("band", BANDS)
def test_each_band_is_what_its_name_says(ax, band):
    values = np.array([0.1, 0.4, 0.2, 0.9, 0.3])
    draw({"bn": [log([v, v]) for v in values]}, ax, band=band)
    mean, error = values.mean(), values.std(ddof=1) / np.sqrt(5)
    center = np.median(values) if "median" in said(ax) else mean
    np.testing.assert_allclose(labelled(ax)[:, 1], center, rtol=1e-14)
    if band == "none":
        assert not ax.collections
        return
    low, high = band_at(ax, 1)
    if band == "bootstrap":  # beside another program's resampling of the same mean
        again = np.random.default_rng(5).choice(values, (100_000, 5)).mean(axis=1)
        np.testing.assert_allclose([low, high], np.quantile(again, [0.025, 0.975]), atol=0.02)
    else:
        expected = {"all": (0.1, 0.9), "quartiles": (0.2, 0.4), "standard error": (mean - error, mean + error)}
        np.testing.assert_allclose([low, high], expected[band], rtol=1e-14)


def test_runs_of_other_lengths_are_all_shown_and_the_line_is_where_all_are(ax):
    draw({"bn": [log([0.1, 0.2, 0.3]), log([0.3, 0.4])]}, ax)
    assert [len(line.get_xdata()) for line in ax.lines] == [3, 2, 2]
    np.testing.assert_allclose(labelled(ax), [[1, 0.2], [2, 0.3]])


def test_values_between_measured_points_are_said_to_be_interpolated(ax):
    draw({"bn": [log([0.0, 1.0], [0, 10]), log([0.0, 1.0, 0.5], [1, 5, 9])]}, ax)
    assert said(ax).endswith("interpolated between measured points")


def test_a_diverged_run_ends_in_a_cross_and_is_counted_and_in_no_median(ax):
    draw({"plain": [log([0.5, 0.6]), log([0.4, NAN], diverged=True), log([NAN, NAN], diverged=True)]}, ax)
    assert labels(ax) == ["plain (3 runs, 2 diverged)"]
    np.testing.assert_array_equal(labelled(ax), [[1, 0.5], [2, 0.6]])
    crosses = [line.get_xydata().tolist() for line in ax.lines if line.get_marker() in ("X", "P")]
    assert crosses == [[[2, 0.4]], [[2, 0.0]]]


def test_an_arm_of_which_all_runs_diverged_is_in_the_legend(ax):
    draw({"plain": [log([0.5, NAN], diverged=True)]}, ax)
    assert labels(ax) == ["plain (1 diverged)"]


def test_a_smooth_line_says_so_and_has_what_was_measured_behind_it(ax):
    values = np.random.default_rng(0).random(50)
    draw({"bn": [log(values)]}, ax, smooth=0.9)
    np.testing.assert_allclose(labelled(ax)[:, 1], smoothed(values, 0.9))
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), values)
    assert said(ax) == "smoothed, weight 0.9; thin: as measured"


def test_both_kinds_of_data_are_one_colour_and_two_lines(ax):
    draw({"bn": [log([0.1, 0.2], accuracy=[0.3, 0.4])]}, ax, split="both")
    assert labels(ax) == ["bn, training", "bn, validation"]
    first, second = ax.get_legend_handles_labels()[0]
    assert to_hex(first.get_color()) == to_hex(second.get_color())
    assert (first.get_linestyle(), second.get_linestyle()) == ("--", "-")
    assert (first.get_ydata()[0], second.get_ydata()[0]) == (0.3, 0.1)


def test_the_error_is_one_minus_accuracy_on_a_log_axis(ax):
    draw({"bn": [log([0.9, 0.99])]}, ax, error=True)
    np.testing.assert_allclose(labelled(ax)[:, 1], [0.1, 0.01], rtol=1e-12)
    assert (ax.get_yscale(), ax.get_ylabel()) == ("log", "error, 1 - accuracy (validation data)")
    with pytest.raises(tn.InputError, match="error is 1 - accuracy; there is none of 'loss'"):
        draw({"bn": [log([0.9], metric="loss")]}, ax, error=True)


def test_axes_fit_the_data_so_that_near_runs_are_told_apart(ax):
    draw({f"run {k}": [log([0.9, 0.9 + k / 200])] for k in range(12)}, ax)
    low, high = ax.get_ylim()
    assert (0.89, 0.97) < (low, high) < (0.9, 0.98)
    styles = {(to_hex(h.get_color()), h.get_linestyle()) for h in ax.get_legend_handles_labels()[0]}
    assert len(styles) == 12
    draw({"run": [log([0.9])]}, ax, ylim=(0.5, 1.0))
    assert ax.get_ylim() == (0.5, 1.0)


def test_a_log_axis_without_anything_above_zero_says_so(ax):
    draw({"a": [log([0.0, -1.0], metric="loss")]}, ax, log=True)
    assert [text.get_text() for text in ax.texts] == ["no loss above zero to draw"]


def test_a_label_with_an_underscore_is_in_the_legend(ax):
    draw({"_a": [log([0.5])]}, ax)
    assert labels(ax) == ["\u200b_a"]


@pytest.mark.parametrize(
    ("arms", "settings", "message"),
    [
        ({}, {}, "there is no run to compare"),
        ({"a": []}, {}, "there is no run to compare"),
        ({"a": [log([1.0])]}, {"band": "std"}, "band must be one of 'all', "),
        ({"a": [log([1.0])]}, {"smooth": 1}, "smooth must be from 0 to less than 1"),
        ({"a": [log([1.0])]}, {"metric": "acuracy"}, r"unknown metric in a\.csv 'acuracy'; did you mean 'accuracy'"),
        ({"a": [log([1.0])]}, {"x": "seconds"}, r"a\.csv does not say at which seconds; it has step"),
        ({"a": [log([1.0])]}, {"split": "training"}, r"a\.csv has no accuracy of the training data; it has val_acc"),
        (
            {"a": [log([1.0]), log([1.0], metric="accuracy", name="b")]},
            {},
            "b has the accuracy of the training data only",
        ),
        ({"a": [log([1.0]), log([1.0], metric="loss", name="b")]}, {}, "the runs have no metric in common: a.csv: "),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_words(ax, arms, settings, message):
    with pytest.raises(tn.InputError, match=message):
        draw(arms, ax, **settings)
