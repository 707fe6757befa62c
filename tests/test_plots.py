import xml.etree.ElementTree
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes

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


def test_percentiles_are_named_on_the_lines(ax: Axes) -> None:
    plots.percentiles([0, 10], np.array([-1, -1]), np.array([0, 0]), np.array([1, 1]), ax, title="plain")
    assert [text.get_text() for text in ax.texts] == ["85th percentile", "median", "15th percentile"]


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
