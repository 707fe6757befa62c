import inspect
import io
import itertools
import xml.etree.ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.style
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb

import tinynet as tn
from tinynet import plots


@pytest.fixture
def ax() -> Axes:
    return plots.figure()[1][0]


def history(accuracies: list[float], *, diverged: bool = False) -> tn.History:
    h = tn.History()
    for k, accuracy in enumerate(accuracies):
        h.append(10 * (k + 1), 1.0, 1.0, accuracy, 0.1)
    h.diverged = diverged
    return h


def labels(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_a_curve_is_the_median_and_the_band_says_what_it_is(ax: Axes) -> None:
    assert plots.curves({"plain": [history([0.1, 0.2]), history([0.5, 0.6]), history([0.2, 0.3])]}, ax) is ax
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[10, 0.2], [20, 0.3]])
    assert labels(ax) == ["plain (line: median, band: all 3 seeds)"]
    band = ax.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (0.1, 0.6)


def test_a_diverged_run_is_drawn_and_counted(ax: Axes) -> None:
    plots.curves({"plain": [history([0.5, 0.6]), history([0.4, float("nan")], diverged=True)]}, ax)
    assert labels(ax) == ["plain (one seed)", "plain: 1 of 2 runs diverged"]
    np.testing.assert_allclose(ax.lines[-1].get_xydata(), [[20, 0.4]])


def test_runs_that_diverged_at_once_are_drawn_too(ax: Axes) -> None:
    plots.curves({"plain": [history([float("nan")], diverged=True)]}, ax)
    assert labels(ax) == ["plain: 1 of 1 runs diverged"]


def test_gradients_are_on_a_log_axis_and_zeros_leave_a_gap(ax: Axes) -> None:
    plots.gradient_by_layer({"plain": ([1, 2, 3], np.array([[0.0, 1e-3, 1e-2]]))}, ax, title="start")
    assert ax.get_yscale() == "log"
    np.testing.assert_array_equal(np.isnan(ax.lines[0].get_ydata()), [True, False, False])


def test_every_layer_has_a_line_over_training(ax: Axes) -> None:
    plots.gradient_over_training([0, 10, 20], np.full((3, 7), 1e-3), ax, title="plain")
    assert len(ax.lines) == 7
    assert labels(ax) == ["layer 1", "layer 4", "layer 7"]


def test_percentiles_have_names_that_cannot_overprint_even_if_the_lines_do(ax: Axes) -> None:
    plots.percentiles([0, 10], np.zeros(2), np.zeros(2), np.zeros(2), ax, title="plain")
    assert labels(ax) == ["85th percentile", "median", "15th percentile"]
    assert not ax.texts


@pytest.mark.parametrize("draw", [plots.percentiles, plots.gradient_over_training])
def test_where_a_run_diverged_there_is_a_line_across_that_says_so(ax: Axes, draw: Callable[..., Axes]) -> None:
    values = [np.ones((2, 1))] if draw is plots.gradient_over_training else [np.ones(2)] * 3
    draw([0, 10], *values, ax, diverged_at=1_234)
    assert labels(ax)[-1] == "diverged at step 1,234"
    assert [line.get_xdata() for line in ax.lines if line.get_label() == labels(ax)[-1]] == [[1234, 1234]]


# -- only what was measured, where it was ---------------------------------------------------------------------------

NAN = float("nan")


def measured(steps: list[int], accuracies: list[float], *, diverged: bool = False) -> tn.History:
    n = len(steps)
    return tn.History(steps, [1.0] * n, [NAN] * n, accuracies, [0.1] * n, diverged)


def all_points(ax: Axes) -> set[tuple[float, float]]:
    return {(float(x), float(y)) for line in ax.lines for x, y in line.get_xydata() if np.isfinite(y)}


def median_line(ax: Axes, k: int = 0) -> list[list[float]]:
    """What is drawn in an arm's colour as wide as a median is."""
    color = plots.COLORS[k]
    (line,) = [
        one for one in ax.lines if one.get_color() == color and one.get_linewidth() > 1 and len(one.get_xdata())
    ]
    return line.get_xydata().tolist()


def test_runs_with_other_steps_are_each_drawn_at_their_own(ax: Axes) -> None:
    a, b = measured([100, 200, 300], [0.2, 0.3, 0.4]), measured([10, 20, 30], [0.5, 0.6, 0.7])
    plots.curves({"arm": [a, b]}, ax)
    assert all_points(ax) == {(100, 0.2), (200, 0.3), (300, 0.4), (10, 0.5), (20, 0.6), (30, 0.7)}
    assert labels(ax) == ["arm (2 seeds, a thin line each)"], "there is no step at which both were measured"


def test_a_median_is_taken_where_every_run_was_measured_and_a_shorter_run_cuts_none_of_the_others(ax: Axes) -> None:
    runs = [
        measured([10, 20, 30], [0.1, 0.2, 0.9]),
        measured([10, 20], [0.3, 0.4]),
        measured([10, 20, 40], [0.5, 0.6, 0.7]),
    ]
    plots.curves({"arm": runs}, ax)
    np.testing.assert_allclose(median_line(ax), [[10, 0.3], [20, 0.4]])
    assert {(30, 0.9), (40, 0.7)} <= all_points(ax)
    assert labels(ax) == ["arm (3 seeds, a thin line each; line: median where all were measured)"]


def test_a_nan_in_one_run_does_not_take_the_others_away(ax: Axes) -> None:
    plots.curves({"arm": [measured([10, 20, 30], [0.1, NAN, 0.3]), measured([10, 20, 30], [0.2, 0.5, 0.4])]}, ax)
    np.testing.assert_allclose(median_line(ax), [[10, 0.15], [30, 0.35]])
    assert (20, 0.5) in all_points(ax)


def test_an_accuracy_that_a_diverged_run_says_it_ends_with_is_not_drawn(ax: Axes) -> None:
    run = measured([10, 20], [0.6, 0.098], diverged=True)
    plots.curves({"plain": [run]}, ax)
    assert all_points(ax) == {(10, 0.6), (20, 0.6)}, "the second is the cross"
    other = plots.figure()[1][0]
    plots.history(run, other, measure="accuracy")
    assert 0.098 not in {y for _, y in all_points(other)}


def test_an_arm_without_accuracy_is_named_and_a_plot_with_nothing_to_draw_says_so(ax: Axes) -> None:
    plots.curves({"a": [measured([10], [NAN])], "b": [measured([10], [0.5]), measured([10], [NAN])]}, ax)
    assert labels(ax) == ["a: no accuracy", "b (one seed)", "b: 1 of 2 runs have no accuracy"]
    assert not ax.texts
    assert (10, 0.5) in all_points(ax)
    assert ax.lines[1].get_marker() == "o", "a line of one point would not be seen"
    for draw, words in (
        (lambda axes: plots.curves({"a": [measured([10], [NAN])]}, axes), "no test accuracy to draw"),
        (lambda axes: plots.curves({}, axes, measure="loss"), "no training loss to draw"),
        (lambda axes: plots.history(measured([10], [NAN]), axes, measure="accuracy"), "no accuracy to draw"),
        (lambda axes: plots.history(tn.History(), axes), "no loss to draw"),
        (lambda axes: plots.lines_with_bands({}, axes, xlabel="x", ylabel="y"), "no y to draw"),
        (lambda axes: plots.dots({"a": {"b": []}}, axes, ylabel="y"), "no y to draw"),
    ):
        axes = plots.figure()[1][0]
        draw(axes)
        assert [text.get_text() for text in axes.texts] == [words]
        axes.figure.draw_without_rendering()


def test_the_loss_is_that_of_validation_or_where_there_is_none_of_training(ax: Axes) -> None:
    run = tn.History([10, 20], [3.0, 2.0], [NAN, 1.0], [NAN, NAN], [0.1, 0.1])
    plots.curves({"a": [run]}, ax, measure="loss")
    assert (ax.get_ylabel(), all_points(ax)) == ("validation loss", {(20, 1.0)})
    other = plots.curves({"a": [measured([10, 20], [0.5, 0.5])]}, plots.figure()[1][0], measure="loss")
    assert (other.get_ylabel(), all_points(other)) == ("training loss", {(10, 1.0), (20, 1.0)})


def test_names_that_begin_with_an_underscore_are_in_the_legend(ax: Axes) -> None:
    plots.curves({"_a": [measured([10, 20], [0.5, 0.6])], "_b": [measured([10], [0.098], diverged=True)]}, ax)
    assert [name.lstrip("\u200b") for name in labels(ax)] == ["_a (one seed)", "_b: 1 of 1 runs diverged"]
    plots.lines_with_bands(
        {"_a": ([1.0, 2.0], np.ones((1, 2)))}, other := plots.figure()[1][0], xlabel="x", ylabel="y"
    )
    assert len(labels(other)) == 1
    ax.figure.draw_without_rendering()  # the sign before it has a glyph: a missing one would warn


def test_a_diverged_run_among_dots_is_a_cross_at_the_bottom_and_not_a_number(ax: Axes) -> None:
    plots.dots({"kind": {"plain": [0.5, NAN, NAN], "batch norm": [0.9] * 3}}, ax, ylabel="y")
    crosses = [line for line in ax.lines if line.get_marker() in "XP"]
    assert [len(line.get_xdata()) for line in crosses] == [2]
    assert labels(ax) == ["kind: diverged, no value", "kind (dot: one seed, bar: median)"]


# -- log axes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [np.zeros((2, 3)), np.full((2, 3), NAN), -np.ones((2, 3))], ids=["0", "nan", "-1"])
def test_where_nothing_is_above_zero_a_log_axis_says_so(values: np.ndarray[Any, Any]) -> None:
    for draw in (
        lambda axes: plots.gradient_by_layer({"plain": ([1, 2, 3], values)}, axes),
        lambda axes: plots.gradient_over_training([0, 10], values, axes),
        lambda axes: plots.lines_with_bands({"a": ([1, 2, 3], values)}, axes, xlabel="x", ylabel="y", logy=True),
    ):
        figure, (axes,) = plots.figure()
        draw(axes)
        assert [text.get_text() for text in axes.texts] == ["nothing above zero to draw"]
        figure.draw_without_rendering()


@pytest.mark.parametrize("first", [0, 1])
def test_axes_of_one_scale_of_which_one_has_nothing_above_zero_keep_the_other_as_it_is(first: int) -> None:
    figure, axes = plots.figure(columns=2)
    plots.gradient_over_training([0, 10], np.zeros((2, 3)), axes[first])
    plots.gradient_over_training([0, 10, 20], np.full((3, 3), 1e-3), axes[1 - first])
    figure.draw_without_rendering()
    assert axes[1 - first].get_yscale() == "log"
    assert len(axes[1 - first].get_yticks())
    assert axes[0].get_xlim() == axes[1].get_xlim() == (0, 20)


def test_a_zero_that_was_measured_counts_in_the_median_though_a_log_axis_has_no_place_for_it(ax: Axes) -> None:
    plots.gradient_by_layer({"plain": ([1, 2], np.array([[0.0, 0.0], [1e-3, 0.0], [1e-2, 1e-2]]))}, ax)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [1e-3, NAN])
    other = plots.figure()[1][0]
    rows = np.array([[0.0], [1e-3], [1e-2]])
    plots.lines_with_bands({"a": ([1], rows)}, other, xlabel="x", ylabel="y", logy=True)
    np.testing.assert_array_equal(other.lines[0].get_ydata(), [1e-3])


# -- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("lr0.1", ["lr0.1.png", "lr0.1.svg"]),
        ("a", ["a.png", "a.svg"]),
        ("x.png", ["x.png", "x.svg"]),
        ("x.svg", ["x.png", "x.svg"]),
        (".png", [".png.png", ".png.svg"]),
    ],
)
@pytest.mark.parametrize("kind", [str, Path])
def test_a_figure_goes_to_the_name_that_is_given_and_the_endings_are_added(
    tmp_path: Path, name: str, written: list[str], kind: type
) -> None:
    figure, _ = plots.figure()
    assert plots.save(figure, kind(tmp_path / name)) == [tmp_path / w for w in written]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(written)


def test_the_legend_of_the_layers_stands_above_their_lines(ax: Axes) -> None:
    plots.gradient_over_training([0, 10], np.outer([1, 1], 10.0 ** np.arange(-9, -2)), ax)
    ax.figure.draw_without_rendering()
    legend = ax.get_legend().get_window_extent()
    assert all(legend.y0 > ax.transData.transform((0, y))[1] for line in ax.lines for y in line.get_ydata())


def test_without_axes_new_ones_are_made() -> None:
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    before = dict(mpl.rcParams)
    ax = plots.curves({"plain": [history([0.5, 0.6])]})
    assert ax.figure.get_size_inches().tolist() == list(plots.SIZE)
    assert dict(mpl.rcParams) == before, "a plot leaves no global setting behind"
    plt.close("all")


def test_a_graph_is_drawn_with_an_arrow_for_every_input() -> None:
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    x = tn.Input(4)
    h = tn.ReLU()(tn.Dense(5)(x))
    net = tn.Network(x, tn.Dense(2)(tn.Add()(h, tn.Dense(5)(h))), seed=0)
    ax = net.plot()
    written = [text.get_text() for text in ax.texts]
    assert "input: 4" in written
    assert "Dense 3: 2" in written
    arrows = [text for text in ax.texts if getattr(text, "arrow_patch", None) is not None]
    assert len(arrows) == sum(len(reads) for _, _, reads, _, _ in net.describe())
    plt.close("all")


def test_a_saved_figure_is_the_same_file_each_time(tmp_path: Path) -> None:
    contents = []
    for name in ("a", "b"):
        figure, (ax,) = plots.figure()
        plots.curves({"plain": [history([0.5, 0.6])]}, ax)
        png, svg = plots.save(figure, tmp_path / name)
        xml.etree.ElementTree.parse(svg)
        contents.append((png.read_bytes(), svg.read_bytes()))
    assert contents[0] == contents[1]


# -- one run -----------------------------------------------------------------------------------------------------


def points(ax: Axes) -> dict[str, list[list[float]]]:
    return {str(line.get_label()): line.get_xydata().tolist() for line in ax.lines}


def test_the_losses_of_a_run_are_drawn_at_their_steps(ax: Axes) -> None:
    run = tn.History([10, 20], [2.0, 1.0], [1.5, 0.5], [0.5, 0.75], [0.1, 0.1])
    assert plots.history(run, ax) is ax
    assert points(ax) == {"training loss": [[10, 2], [20, 1]], "validation loss": [[10, 1.5], [20, 0.5]]}
    assert ax.get_yscale() == "linear"


def test_the_accuracy_of_a_run_is_drawn_in_the_style_of_its_validation_loss(ax: Axes) -> None:
    run = tn.History([10, 20], [2.0, 1.0], [1.5, 0.5], [0.5, 0.75], [0.1, 0.1])
    plots.history(run, ax, measure="accuracy")
    assert points(ax) == {"validation accuracy": [[10, 0.5], [20, 0.75]]}
    assert ax.get_ylim() == (0, 1)
    other = plots.history(run, plots.figure()[1][0]).lines[1]
    assert (other.get_color(), other.get_linestyle()) == (ax.lines[0].get_color(), ax.lines[0].get_linestyle())


def test_a_run_that_diverged_says_when_and_ends_in_a_cross(ax: Axes) -> None:
    nan = float("nan")
    run = tn.History([10, 20, 30], [2.0, 5.0, float("inf")], [1.5, 6.0, nan], [0.5, 0.1, nan], [9.0] * 3, True)
    plots.history(run, ax)
    assert points(ax)["diverged at step 30"] == [[20, 5], [20, 6]]


def test_a_run_without_a_finite_loss_is_drawn_too(ax: Axes) -> None:
    nan = float("nan")
    plots.history(tn.History([1], [nan], [nan], [nan], [9.0], True), ax)
    assert labels(ax) == ["diverged at step 1"]
    plots.history(tn.History(), plots.figure()[1][0])


@pytest.mark.parametrize(("smallest", "scale"), [(0.02, "linear"), (0.019, "log"), (0.0, "linear")])
def test_losses_over_more_than_two_powers_of_ten_are_on_a_log_axis(ax: Axes, smallest: float, scale: str) -> None:
    plots.history(tn.History([1, 2], [2.0, smallest], [1.0, 1.0], [0.5, 0.5], [0.1, 0.1]), ax)
    assert ax.get_yscale() == scale


# -- every function ------------------------------------------------------------------------------------------------

ARMS = {f"arm {k}": ([1.0, 2.0], np.array([[0.1, 0.2], [0.3, 0.4]]) + k / 20) for k in range(7)}
CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {  # every function that draws, and what it could be given
    "curves": (({name: [history([0.1 * k, 0.5])] for k, name in enumerate(ARMS)},), {}),
    "dots": (({"train": {"plain": [0.1, 0.2]}, "test": {"plain": [0.3]}},), {"ylabel": "y"}),
    "draw_graph": ((tn.mlp(4, [3, 3], 2, norm="batch", seed=0).describe(),), {}),
    "gradient_by_layer": ((ARMS,), {}),
    "gradient_over_training": (([0, 10], np.full((2, 5), 0.1)), {}),
    "heat_map": (([1, 2], [1, 2], np.array([[0.1, 0.2], [0.3, np.nan]])), {"xlabel": "x", "ylabel": "y"}),
    "histograms": (([0, 1, 2], np.array([[1, 2], [3, 4]])), {"xlabel": "x"}),
    "history": ((history([0.5, 0.6]),), {}),
    "lines_with_bands": ((ARMS,), {"xlabel": "x", "ylabel": "y", "theory": {"theory": ([1.0, 2.0], [0.1, 0.2])}}),
    "percentiles": (([0, 10], np.array([0, 1]), np.array([2, 3]), np.array([4, 5])), {}),
}
DRAW: list[Callable[..., Axes]] = [getattr(plots, name) for name in CALLS]
OWN_STYLE: Any = [
    "dark_background",
    {"font.size": 5, "grid.alpha": 1, "lines.linewidth": 9, "savefig.facecolor": "auto"},
]
OTHERS = {"figure", "positive", "save"}


def test_every_public_function_is_among_those_tried_here() -> None:
    found = {name for name, _ in inspect.getmembers(plots, inspect.isfunction) if not name.startswith("_")}
    assert found == CALLS.keys() | OTHERS


@pytest.mark.parametrize("draw", DRAW)
def test_a_plot_goes_on_the_axes_that_are_given_and_these_come_back(draw: Callable[..., Axes], ax: Axes) -> None:
    assert inspect.signature(draw).parameters["ax"].default is None
    arguments, options = CALLS[draw.__name__]
    with matplotlib.style.context(OWN_STYLE):
        before = dict(mpl.rcParams)
        assert draw(*arguments, ax=ax, **options) is ax
        assert dict(mpl.rcParams) == before
    assert ax.has_data() or ax.texts


def picture(draw: Callable[..., Axes]) -> bytes:
    """Draw on new axes of pyplot, as in a notebook, and return the PNG."""
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    arguments, options = CALLS[draw.__name__]
    ax, file = draw(*arguments, **options), io.BytesIO()
    ax.figure.savefig(file, format="png", dpi=25)
    plt.close("all")
    return file.getvalue()


@pytest.mark.parametrize("draw", [plots.curves, plots.heat_map, plots.draw_graph])
def test_a_plot_looks_the_same_whatever_the_users_own_style(draw: Callable[..., Axes]) -> None:
    usual = picture(draw)
    with matplotlib.style.context(OWN_STYLE):
        assert picture(draw) == usual


# -- colours -------------------------------------------------------------------------------------------------------

# G. Machado, M. Oliveira, L. Fernandes: A physiologically-based model for simulation of color vision deficiency, IEEE
# Transactions on Visualization and Computer Graphics 15 (2009), severity 1; for linear RGB
VISION = {
    "usual": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
CLEAR = 15  # in CIELAB, where 2.3 is a difference that is just seen


def lab(color: Any, vision: Any = VISION["usual"]) -> np.ndarray[Any, Any]:
    """Return CIELAB lightness, a and b of an sRGB colour as it is seen."""
    c = np.array(to_rgb(color))
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    t = XYZ @ np.clip(np.asarray(vision) @ linear, 0, 1) / XYZ.sum(axis=1)
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize(("color", "expected"), [("white", (100, 0, 0)), ("red", (53.24, 80.09, 67.20))])
def test_lab_has_the_published_values(color: str, expected: tuple[float, ...]) -> None:
    np.testing.assert_allclose(lab(color), expected, atol=0.02)


@pytest.mark.parametrize("vision", VISION)
def test_white_is_white_to_everyone(vision: str) -> None:
    np.testing.assert_allclose(np.sum(VISION[vision], axis=1), 1, atol=2e-6)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("name", ["curves", "gradient_by_layer", "lines_with_bands"])
def test_lines_of_one_plot_differ_in_colour_however_colours_are_seen(ax: Axes, name: str, vision: str) -> None:
    arguments, options = CALLS[name]
    getattr(plots, name)(*arguments, ax=ax, **(options | {"theory": None} if "theory" in options else options))
    colors = {to_hex(line.get_color()) for line in ax.lines}
    assert len(colors) == len(ARMS)
    distances = [
        np.linalg.norm(lab(a, VISION[vision]) - lab(b, VISION[vision])) for a, b in itertools.combinations(colors, 2)
    ]
    assert min(distances) > CLEAR


@pytest.mark.parametrize("name", ["curves", "gradient_by_layer", "lines_with_bands"])
def test_lines_of_one_plot_that_differ_in_colour_alone_differ_in_a_grey_print_too(ax: Axes, name: str) -> None:
    arguments, options = CALLS[name]
    getattr(plots, name)(*arguments, ax=ax, **options)
    assert len(ax.lines) >= len(ARMS)
    for a, b in itertools.combinations(ax.lines, 2):
        if (a.get_linestyle(), a.get_linewidth()) == (b.get_linestyle(), b.get_linewidth()):
            assert abs(lab(a.get_color())[0] - lab(b.get_color())[0]) > CLEAR, (a.get_label(), b.get_label())


def test_crosses_of_two_arms_are_told_apart_without_colour(ax: Axes) -> None:
    plots.curves({name: [history([0.5, float("nan")], diverged=True)] for name in list(ARMS)[:4]}, ax)
    crosses = [line for line in ax.lines if line.get_marker() in ("X", "P")]
    looks = {(line.get_marker(), to_hex(line.get_markerfacecolor()) == "#ffffff") for line in crosses}
    assert len(looks) == len(crosses) == 4


@pytest.mark.parametrize("vision", VISION)
def test_layers_over_training_go_from_dark_to_light_however_colours_are_seen(ax: Axes, vision: str) -> None:
    plots.gradient_over_training([0, 10], np.full((2, 10), 0.1), ax)
    lightness = [lab(line.get_color(), VISION[vision])[0] for line in ax.lines]
    assert min(np.diff(lightness)) > 0
    assert lightness[-1] - lightness[0] > 50


@pytest.mark.parametrize("vision", VISION)
def test_a_heat_maps_cells_go_from_dark_to_light_however_colours_are_seen(ax: Axes, vision: str) -> None:
    arguments, options = CALLS["heat_map"]
    plots.heat_map(*arguments, ax=ax, **options)
    shades = ax.collections[0].get_cmap()(np.linspace(0, 1, 20))[:, :3]
    assert min(np.diff([lab(shade, VISION[vision])[0] for shade in shades])) > 1


def test_kinds_of_dots_have_marks_of_their_own(ax: Axes) -> None:
    plots.dots({kind: {"plain": [0.1]} for kind in "abcd"}, ax, ylabel="y")
    assert len({line.get_marker() for line in ax.lines}) == 4
