"""Histories and probes -> matplotlib axes (the only matplotlib import).

Every function draws on the axes it is given, or on new ones, and returns them. Colours are from Okabe and Ito's
set, which the colour-blind can tell apart; line styles differ too, so that a plot survives a grey print.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from tinynet import files
from tinynet.history import History
from tinynet.typing import Array

COLORS = ["#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
LINES = ["--", "-", "-.", ":"]
STYLE: Any = {  # readable from the back of a room
    "font.size": 16,
    "axes.titlesize": 20,
    "legend.fontsize": 15,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.alpha": 0.3,
    "lines.linewidth": 2.5,
    "legend.framealpha": 0.9,
    "svg.hashsalt": "tinynet",  # the same plot gives the same file
}
SIZE = (10.0, 6.0)
HALO = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1}  # under text on lines


def figure(columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure outside pyplot, for files, with axes side by side on one scale."""
    with mpl.rc_context(STYLE):
        fig = Figure(figsize=(SIZE[0] * (1 if columns == 1 else 0.7 * columns), SIZE[1]), layout="constrained")
        axes = fig.subplots(1, columns, sharey=True, squeeze=False)
    return fig, list(axes[0])


def save(fig: Figure, path: Path) -> list[Path]:
    """Write the figure as PNG and SVG under ``path`` with those endings, whole or not at all; return both."""
    paths = [path.with_suffix(".png"), path.with_suffix(".svg")]
    with mpl.rc_context(STYLE):
        with files.replacing(paths[0]) as temporary:
            fig.savefig(temporary, dpi=120, format="png")
        with files.replacing(paths[1]) as temporary:
            fig.savefig(temporary, metadata={"Date": None}, format="svg")
    return paths


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    with mpl.rc_context(STYLE):
        return plt.subplots(figsize=SIZE, layout="constrained")[1]


def _band(ax: Axes, x: Sequence[int], rows: Array, k: int, label: str) -> None:
    """Draw the median of the rows and a band over all of them, in the k-th colour and line style."""
    color = COLORS[k % len(COLORS)]
    ax.plot(x, np.median(rows, axis=0), LINES[k % len(LINES)], color=color, label=label)
    if len(rows) > 1:
        ax.fill_between(x, rows.min(axis=0), rows.max(axis=0), color=color, alpha=0.2, linewidth=0)


def _band_note(runs: int) -> str:
    return f"line: median, band: all {runs} seeds" if runs > 1 else "one seed"


@mpl.rc_context(STYLE)
def curves(arms: Mapping[str, Sequence[History]], ax: Axes | None = None, *, title: str = "Convergence") -> Axes:
    """Draw test accuracy against steps, one line an arm with a band over its runs; a diverged run ends in a cross.

    Parameters
    ----------
    arms : mapping of str to sequence of History
        The runs of each arm.
    ax : Axes, optional
    title : str
    """
    ax = _axes(ax)
    for k, (name, histories) in enumerate(arms.items()):
        whole = [h for h in histories if not h.diverged and h.steps]
        color = COLORS[k % len(COLORS)]
        if whole:
            records = min(len(h.steps) for h in whole)  # an interrupted run has fewer
            rows = np.array([h.validation_accuracy[:records] for h in whole])
            label = name if len(arms) > 4 else f"{name} ({_band_note(len(whole))})"
            _band(ax, whole[0].steps[:records], rows, k, label)
        diverged = [h for h in histories if h.diverged]
        for h in diverged:
            ax.plot(h.steps[:-1], h.validation_accuracy[:-1], LINES[k % len(LINES)], color=color, alpha=0.6)
        if diverged:
            ends = [h.steps[-1] for h in diverged]
            last = [h.validation_accuracy[-2] if len(h.steps) > 1 else 0.0 for h in diverged]
            label = f"{name}: {len(diverged)} of {len(histories)} runs diverged"
            ax.plot(ends, last, "X", color=color, markersize=14, label=label, clip_on=False)
    ax.set(xlabel="step (one update each)", ylabel="test accuracy", title=title, ylim=(0, 1))
    ax.set_xlim(left=0)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.legend(loc="best")
    return ax


@mpl.rc_context(STYLE)
def gradient_by_layer(
    arms: Mapping[str, tuple[Sequence[int], Array]], ax: Axes | None = None, *, title: str = ""
) -> Axes:
    """Draw the gradient of each hidden layer's weight on a log axis, one line an arm.

    Parameters
    ----------
    arms : mapping of str to (layer numbers, array (runs, layers))
        Root mean square per weight.
    ax : Axes, optional
    title : str
    """
    ax = _axes(ax)
    for k, (name, (layers, gradients)) in enumerate(arms.items()):
        _band(ax, layers, positive(gradients), k, f"{name} ({_band_note(len(gradients))})")
    ax.set(xlabel="hidden layer (1 is next to the data)", ylabel="gradient, RMS per weight", title=title)
    ax.set_yscale("log")
    layers = next(iter(arms.values()))[0]
    ax.set_xticks(layers if len(layers) <= 12 else np.linspace(layers[0], layers[-1], 11).round().astype(int))
    ax.legend(loc="best")
    return ax


@mpl.rc_context(STYLE)
def gradient_over_training(steps: Sequence[int], gradients: Array, ax: Axes | None = None, *, title: str = "") -> Axes:
    """Draw every hidden layer's gradient over training on a log axis, from dark (first layer) to light (last).

    Parameters
    ----------
    steps : sequence of int
    gradients : ndarray (measurements, layers)
        Root mean square per weight.
    ax : Axes, optional
    title : str
    """
    ax = _axes(ax)
    layers = gradients.shape[1]
    shades = mpl.colormaps["viridis"](np.linspace(0, 0.9, layers))
    for k in range(layers):
        named = k in (0, layers // 2, layers - 1)
        ax.plot(steps, positive(gradients[:, k]), color=shades[k], label=f"layer {k + 1}" if named else None)
    ax.set(xlabel="step", ylabel="gradient, RMS per weight", title=title)
    ax.set_yscale("log")
    ax.set_xlim(0, 1.5 * steps[-1] if steps[-1] else 1)  # room for the legend: the lines may fill the rest
    ax.legend(loc="center right")
    ax.label_outer()
    return ax


@mpl.rc_context(STYLE)
def percentiles(
    steps: Sequence[int], p15: Array, p50: Array, p85: Array, ax: Axes | None = None, *, title: str = ""
) -> Axes:
    """Draw the 15th, 50th and 85th percentile over training.

    Parameters
    ----------
    steps : sequence of int
    p15, p50, p85 : ndarray (measurements,)
    ax : Axes, optional
    title : str
    """
    ax = _axes(ax)
    third = len(steps) // 3
    for values, line, color, label in (
        (p85, "--", COLORS[1], "85th percentile"),
        (p50, "-", "black", "median"),
        (p15, "-.", COLORS[0], "15th percentile"),
    ):
        ax.plot(steps, values, line, color=color, label=label)
        ax.annotate(label, (steps[third], values[third]), (0, 12), textcoords="offset points", color=color, bbox=HALO)
    ax.fill_between(steps, p15, p85, color="black", alpha=0.07, linewidth=0)
    ax.set(xlabel="step", ylabel="input of the activation", title=title)
    ax.label_outer()
    return ax


def positive(values: Array) -> Array:
    """Return the values with zeros as nan: a log axis has no place for them, and a gap shows where they were."""
    return np.where(values > 0, values, np.nan)


@mpl.rc_context(STYLE)
def draw_graph(rows: Sequence[tuple[str, str, tuple[str, ...], int, int]], ax: Axes | None = None) -> Axes:
    """Draw a layer graph from the rows of `Network.describe`: the data at the top, an arrow for what is read."""
    level: dict[str, int] = {}
    for name, _, reads, _, _ in rows:
        level[name] = max((level[r] + 1 for r in reads), default=0)
    across = _columns(rows, level)
    depth, breadth = max(level.values()) + 1, max(across.values()) + 1
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.subplots(figsize=(3.5 * breadth, 0.75 * depth + 0.3), layout="constrained")[1]
    place = {name: (across[name], -level[name]) for name in level}
    for name, settings, reads, outputs, _ in rows:
        x, y = place[name]
        kind = settings.split("(")[0]
        ax.text(
            x,
            y,
            f"input: {outputs}" if name == "input" else f"{kind} {name.split('_')[-1]}: {outputs}",
            ha="center",
            va="center",
            fontsize=12,
            bbox={"boxstyle": "round,pad=0.4", "facecolor": _fill(kind), "edgecolor": "black"},
        )
        for read in reads:
            start, end, bend = _arrow(place[read], place[name])
            style = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "connectionstyle": f"arc3,rad={bend}"}
            ax.annotate("", end, start, arrowprops=style | {"color": "black", "linewidth": 1.5}, zorder=0)
    ax.set_xlim(-0.6, breadth - 0.4)
    ax.set_ylim(-depth + 0.4, 0.6)
    ax.set_axis_off()
    return ax


def _arrow(source: tuple[int, int], target: tuple[int, int]) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Return start, end and bend of an arrow between two boxes: down, or into the side past what stands between."""
    (from_x, from_y), (x, y) = source, target
    if from_y - y == 1:
        return (from_x, from_y - 0.23), (x, y + 0.25), 0.0
    if from_x == x:
        return (from_x - 0.12, from_y), (x - 0.16, y), 0.45
    return (from_x, from_y - 0.23), (x + (0.2 if from_x > x else -0.2), y), 0.0


def _columns(rows: Sequence[tuple[str, str, tuple[str, ...], int, int]], level: Mapping[str, int]) -> dict[str, int]:
    """Return where each node stands from left to right: below the first it reads, or right of that if it is taken."""
    column: dict[str, int] = {}
    taken: set[tuple[int, int]] = set()
    for name, _, reads, _, _ in rows:
        at = column[reads[0]] if reads else 0
        while (at, level[name]) in taken:
            at += 1
        column[name] = at
        taken.add((at, level[name]))
    return column


def _fill(kind: str) -> str:
    tints = {"Dense": "#cfe3f1", "BatchNorm": "#f8dcc8", "LayerNorm": "#f8dcc8", "Input": "#eeeeee"}
    return tints.get(kind, "#d9efe6" if kind not in ("Add", "Concat") else "#ffffff")


@mpl.rc_context(STYLE)
def lines_with_bands(
    arms: Mapping[str, tuple[Sequence[float], Array]],
    ax: Axes | None = None,
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    logx: bool = False,
    logy: bool = False,
    points: bool = False,
    theory: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    crosses: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
) -> Axes:
    """Draw one line an arm, the median of its runs at each x, with a band over all of them.

    Parameters
    ----------
    arms : mapping of str to (x, array (runs, x))
        A nan is a run that is missing there; a line has a gap where all are.
    ax : Axes, optional
    xlabel, ylabel, title : str
    logx, logy : bool
        For a log axis.
    points : bool
        Draw points with bars in place of lines with bands: for measurements upon a line of ``theory``.
    theory : mapping of str to (x, y), optional
        Thin black lines, one style each, without a band.
    crosses : mapping of str to (x, y), optional
        What is marked with a cross, such as diverged runs; in the colour of the arm whose name it begins with.
    """
    ax = _axes(ax)
    ax.set_xscale("log" if logx else "linear")
    ax.set_yscale("log" if logy else "linear")
    for k, (label, (x, y)) in enumerate((theory or {}).items()):
        ax.plot(x, y, LINES[(k + 1) % len(LINES)], color="black", linewidth=1.5, label=label)
    colors: dict[str, str] = {}
    for k, (name, (x, rows)) in enumerate(arms.items()):
        colors[name] = COLORS[k % len(COLORS)]
        columns = [column[~np.isnan(column)] for column in (positive(rows) if logy else rows).T]
        low, middle, high = (
            np.array([f(column) if len(column) else np.nan for column in columns]) for f in (np.min, np.median, np.max)
        )
        if points:
            note = _band_note(len(rows)).replace("line:", "point:").replace("band:", "bar:")
            style: Any = {"fmt": "os^D"[k % 4], "markersize": 10, "capsize": 6, "color": colors[name]}
            ax.errorbar(x, middle, [middle - low, high - middle], label=f"{name} ({note})", **style)
            continue
        line, color = LINES[k % len(LINES)], colors[name]
        ax.plot(x, middle, line, color=color, label=f"{name} ({_band_note(len(rows))})", marker="o")
        ax.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
    for label, (x, y) in (crosses or {}).items():
        color = next((c for name, c in colors.items() if label.startswith(name)), "black")
        ax.plot(x, y, "X", color=color, markersize=14, label=label, clip_on=False)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.legend(loc="best")
    return ax


@mpl.rc_context(STYLE)
def dots(
    groups: Mapping[str, Mapping[str, Sequence[float]]],
    ax: Axes | None = None,
    *,
    ylabel: str,
    xlabel: str = "arm",
    title: str = "",
    percent: bool = False,
) -> Axes:
    """Draw a dot for every run and a bar at their median, one column an arm, in one colour for each kind.

    Parameters
    ----------
    groups : mapping of str to mapping of str to sequence of float
        Kind (such as train and test), then arm: one value a run; one that is not finite is not drawn.
    ax : Axes, optional
    ylabel, xlabel, title : str
    percent : bool
        Write shares as percentages.
    """
    ax = _axes(ax)
    names = list(dict.fromkeys(name for arms in groups.values() for name in arms))
    for k, (kind, arms) in enumerate(groups.items()):
        color, label = COLORS[k % len(COLORS)], f"{kind} (dot: one seed, bar: median)"
        for name, runs in arms.items():
            values, middle = [v for v in runs if np.isfinite(v)], names.index(name)
            if values:
                x = middle + np.linspace(-0.12, 0.12, len(values)) * (len(values) > 1)
                ax.plot(x, values, "os^D"[k % 4], color=color, alpha=0.7, markersize=10, label=label)
                ax.hlines(float(np.median(values)), middle - 0.3, middle + 0.3, color=color, linewidth=4)
                label = ""
    ax.set_xticks(range(len(names)), [name.replace(", ", ",\n") for name in names], fontsize=13)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title, xlim=(-0.6, len(names) - 0.4))
    if percent:
        ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="best")
    return ax


@mpl.rc_context(STYLE)
def histograms(edges: Sequence[float], counts: Array, ax: Axes | None = None, *, xlabel: str, title: str = "") -> Axes:
    """Draw the histogram of each layer's values above one another, the layer next to the data at the bottom.

    Parameters
    ----------
    edges : sequence of float
        Of the bins, one more than there are.
    counts : ndarray (layers, bins)
        Every histogram is scaled to its own highest bin, so that a narrow one does not hide the others.
    ax : Axes, optional
    xlabel, title : str
    """
    ax = _axes(ax)
    shades = mpl.colormaps["viridis"](np.linspace(0, 0.85, len(counts)))
    for layer, (row, shade) in enumerate(zip(counts, shades, strict=True), start=1):
        height = layer + 0.85 * np.asarray(row) / max(np.max(row), 1)
        ax.stairs(height, edges, baseline=layer, fill=True, color=shade, alpha=0.85)
        ax.axhline(layer, color="black", linewidth=0.8)
    ax.set(xlabel=xlabel, ylabel="hidden layer (1 is next to the data)", title=title)
    ax.set_yticks(range(1, len(counts) + 1))
    ax.locator_params(axis="x", nbins=5)
    ax.grid(False)
    ax.label_outer()
    return ax


@mpl.rc_context(STYLE)
def heat_map(
    x: Sequence[float],
    y: Sequence[float],
    values: Array,
    ax: Axes | None = None,
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    colorbar: str = "",
) -> Axes:
    """Draw shares between 0 and 1 as colours over two settings, one cell each; a cross where there is no number.

    Parameters
    ----------
    x, y : sequence of float
        The settings: columns from left to right, rows from bottom to top.
    values : ndarray (rows, columns)
    ax : Axes, optional
    xlabel, ylabel, title : str
    colorbar : str
        What the colours are; without it there is no colour bar.
    """
    ax = _axes(ax)
    mesh = ax.pcolormesh(np.ma.masked_invalid(values), vmin=0, vmax=1, cmap="cividis", rasterized=True)
    rows, columns = np.nonzero(~np.isfinite(values))
    ax.plot(columns + 0.5, rows + 0.5, "x", color=COLORS[0], markersize=12, markeredgewidth=3)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    every = -(-len(x) // 4)  # as many labels as there is room for
    ax.set_xticks(np.arange(len(x))[::every] + 0.5, [f"{v:.2g}" for v in x[::every]])
    ax.set_yticks(np.arange(len(y)) + 0.5, [f"{v:.2g}" for v in y])
    ax.grid(False)
    ax.label_outer()
    if colorbar:
        bar = ax.figure.colorbar(mesh, ax=ax, label=colorbar)
        bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    return ax
