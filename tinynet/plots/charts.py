"""Histories, probes and results -> matplotlib axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from tinynet.plots.style import COLORS, FEW, LINES, axes_or_new, say, shown, styled
from tinynet.typing import Array

DECADES = 2  # losses that span more powers of ten have a log axis


class Recorded(Protocol):
    """The attributes of a run that are drawn; a `tinynet.History` has them."""

    @property
    def steps(self) -> Sequence[int]: ...  # noqa: D102
    @property
    def train_loss(self) -> Sequence[float]: ...  # noqa: D102
    @property
    def validation_loss(self) -> Sequence[float]: ...  # noqa: D102
    @property
    def validation_accuracy(self) -> Sequence[float]: ...  # noqa: D102
    @property
    def diverged(self) -> bool: ...  # noqa: D102


def _band(ax: Axes, x: Sequence[float], rows: Array, k: int, label: str, *, log: bool = False, mark: str = "") -> None:
    """Draw the median and range of the rows that are known at each x, in the k-th colour and line style."""
    low, middle, high = _spread(rows)
    color, mark = COLORS[k % len(COLORS)], "o" if len(x) == 1 else mark
    middle = positive(middle) if log else middle
    ax.plot(x, middle, LINES[k % len(LINES)], color=color, marker=mark, label=shown(label))
    if len(rows) > 1:
        ax.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)


def _spread(rows: Array) -> tuple[Array, Array, Array]:
    """Return smallest, median and largest of each column's known values; nan if none is known."""
    columns = [column[~np.isnan(column)] for column in np.asarray(rows).T]
    low, middle, high = (
        np.array([f(column) if len(column) else np.nan for column in columns]) for f in (np.min, np.median, np.max)
    )
    return low, middle, high


def _log(ax: Axes, *drawn: Array) -> None:
    """Make y a log axis if anything drawn is above zero, else write that nothing is."""
    if any((np.isfinite(values) & (np.asarray(values) > 0)).any() for values in drawn):
        ax.set_yscale("log")
        return
    say(ax, "nothing above zero to draw")
    if ax.get_yscale() != "log":  # it is, if axes that share this scale have something to draw
        ax.set_yticks([])


def _legend(ax: Axes, **style: Any) -> None:
    """Add a legend where there is most room, if anything has a label."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(**{"loc": "best", **style})


def _crosses(ax: Axes, x: Sequence[float], y: Sequence[float], k: int, color: str, label: str) -> None:
    """Draw the k-th kind of crosses: upright or not, full or hollow."""
    fill = color if k % 4 < 2 else "white"
    style: Any = {"color": color, "markerfacecolor": fill, "markersize": 14, "clip_on": False}
    ax.plot(x, y, "XP"[k % 2], label=shown(label), zorder=3, **style)


def _band_note(runs: int, *, missing: bool = False) -> str:
    seeds = f"all of up to {runs} seeds" if missing else f"all {runs} seeds"
    return f"line: median, band: {seeds}" if runs > 1 else "one seed"


@styled()
def curves(
    arms: Mapping[str, Sequence[Recorded]],
    ax: Axes | None = None,
    *,
    measure: Literal["accuracy", "loss"] = "accuracy",
    title: str = "Convergence",
) -> Axes:
    """Draw test accuracy against steps: one line per arm, with a band over its runs; a diverged run ends in a cross.

    Parameters
    ----------
    arms : mapping of str to sequence of History
        The runs of each arm. Median and band are drawn at the steps at which every run of the arm was measured. If
        runs were measured at other steps too, or stopped earlier, each also has a thin line of its own.
    ax : Axes, optional
    measure : {"accuracy", "loss"}
        The loss is the validation loss, or the training loss if no run has a validation loss. It has a log axis if it
        spans more than two powers of ten.
    title : str
    """
    ax = axes_or_new(ax)
    column = "validation_accuracy"
    if measure == "loss":
        tested = any(map(math.isfinite, (v for runs in arms.values() for h in runs for v in h.validation_loss)))
        column = "validation_loss" if tested else "train_loss"
    drawn: list[float] = []
    for k, (name, histories) in enumerate(arms.items()):
        style: Any = {"linestyle": LINES[k % len(LINES)], "color": COLORS[k % len(COLORS)]}
        measured = [_measured(h, column) for h in histories]
        drawn += [value for points in measured for value in points.values()]
        whole = [points for h, points in zip(histories, measured, strict=True) if points and not h.diverged]
        steps = sorted(set.intersection(*map(set, whole))) if whole else []
        apart = [points for points in whole if len(points) > len(steps)]
        for points in apart:
            mark = "o" if len(points) == 1 else ""
            ax.plot([*points], [*points.values()], linewidth=1, marker=mark, alpha=0.6, **style)
        note = _band_note(len(whole)) if not apart else f"{len(whole)} seeds, a thin line each"
        if apart and steps:
            note += "; line: median where all were measured"
        label = name if len(arms) > 4 and not apart else f"{name} ({note})"
        if steps:
            _band(ax, steps, np.array([[points[step] for step in steps] for points in whole]), k, label)
        elif whole:
            ax.plot([], [], label=shown(label), **style)
        lost = [(h, points) for h, points in zip(histories, measured, strict=True) if h.diverged]
        for _, points in lost:
            ax.plot([*points], [*points.values()], alpha=0.6, **style)
        if lost:
            ends = [h.steps[-1] if h.steps else 0 for h, _ in lost]
            last = [[*points.values()][-1] if points else 0.0 for _, points in lost]
            label = f"{name}: {len(lost)} of {len(histories)} runs diverged"
            _crosses(ax, ends, last, k, COLORS[k % len(COLORS)], label)
        if len(whole) + len(lost) < len(histories):
            without = len(histories) - len(whole) - len(lost)
            which = "" if without == len(histories) else f"{without} of {len(histories)} runs have "
            ax.plot([], [], label=shown(f"{name}: {which}no {measure}"), **style)
    known = {"validation_accuracy": "test accuracy", "validation_loss": "validation loss"}
    ax.set(ylabel=known.get(column, "training loss"), title=title)
    return _over_steps(ax, measure, drawn, [step for runs in arms.values() for h in runs for step in h.steps])


def _measured(history: Recorded, column: str) -> dict[int, float]:
    """Return a column's known values by step; a diverged run's last record has no accuracy."""
    values = getattr(history, column)
    if history.diverged and column == "validation_accuracy":
        values = values[:-1]
    return {step: value for step, value in zip(history.steps, values, strict=False) if math.isfinite(value)}


def _over_steps(ax: Axes, measure: str, drawn: Sequence[float], steps: Sequence[int]) -> Axes:
    """Finish axes of a measure over steps: scales, legend, and a sentence if nothing is drawn."""
    ax.set_xlabel("step (one update each)")
    ax.set_xlim(left=0)
    ax.locator_params(axis="x", integer=True)
    if measure == "accuracy":
        ax.set_ylim(0, 1)
        ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    else:
        _log_if_wide(ax, drawn)
    if not drawn:
        say(ax, f"no {ax.get_ylabel()} to draw")
        ax.update_datalim([(step, 0.0) for step in steps], updatey=False)
    _legend(ax)
    return ax


def _log_if_wide(ax: Axes, drawn: Sequence[float]) -> None:
    if drawn and 0 < 10**DECADES * min(drawn) < max(drawn):
        ax.set_yscale("log")


@styled()
def history(
    run: Recorded, ax: Axes | None = None, *, measure: Literal["loss", "accuracy"] = "loss", title: str = ""
) -> Axes:
    """Draw the loss or the accuracy of one run against steps; a diverged run ends in a cross.

    Parameters
    ----------
    run : History
    ax : Axes, optional
    measure : {"loss", "accuracy"}
        Losses have a log axis if they span more than two powers of ten.
    title : str
    """
    ax = axes_or_new(ax)
    lines = {"validation accuracy": (1, "validation_accuracy")}  # in the same style as the validation loss
    if measure == "loss":
        lines = {"training loss": (0, "train_loss"), "validation loss": (1, "validation_loss")}
    drawn: list[float] = []
    ends: list[tuple[float, float]] = []
    for label, (k, column) in lines.items():
        known = [*_measured(run, column).items()]
        if known:
            steps, values = zip(*known, strict=True)
            mark = "o" if len(known) <= FEW else ""
            ax.plot(steps, values, LINES[k], color=COLORS[k], marker=mark, label=label)
            drawn += values
            ends.append(known[-1])
    if run.diverged:
        last, at = zip(*ends, strict=True) if ends else ((), ())
        _crosses(ax, last, at, 0, "black", f"diverged at step {run.steps[-1]}")
    ax.set(ylabel=measure, title=title)
    return _over_steps(ax, measure, drawn, run.steps)


@styled()
def gradient_by_layer(
    arms: Mapping[str, tuple[Sequence[int], Array]], ax: Axes | None = None, *, title: str = ""
) -> Axes:
    """Draw the gradient of each hidden layer's weight on a log axis, one line per arm.

    Parameters
    ----------
    arms : mapping of str to (layer numbers, array (runs, layers))
        Root mean square per weight.
    ax : Axes, optional
    title : str
    """
    ax = axes_or_new(ax)
    for k, (name, (layers, gradients)) in enumerate(arms.items()):
        _band(ax, layers, gradients, k, f"{name} ({_band_note(len(gradients))})", log=True)
    ax.set(xlabel="hidden layer (1 is next to the data)", ylabel="gradient, RMS per weight", title=title)
    _log(ax, *(gradients for _, gradients in arms.values()))
    layers = next(iter(arms.values()))[0]
    ax.set_xticks(layers if len(layers) <= 12 else np.linspace(layers[0], layers[-1], 11).round().astype(int))
    _legend(ax)
    return ax


@styled()
def gradient_over_training(
    steps: Sequence[int],
    gradients: Array,
    ax: Axes | None = None,
    *,
    title: str = "",
    diverged_at: int | None = None,
) -> Axes:
    """Draw every hidden layer's gradient over training on a log axis, from dark (first layer) to light (last).

    Parameters
    ----------
    steps : sequence of int
    gradients : ndarray (measurements, layers)
        Root mean square per weight.
    ax : Axes, optional
    title : str
    diverged_at : int, optional
        The step at which the run diverged, marked by a vertical line.
    """
    ax = axes_or_new(ax)
    layers = gradients.shape[1]
    shades = mpl.colormaps["viridis"](np.linspace(0, 0.9, layers))
    for k in range(layers):
        named = k in (0, layers // 2, layers - 1)
        mark = "o" if len(steps) == 1 else ""
        label = f"layer {k + 1}" if named else None
        ax.plot(steps, positive(gradients[:, k]), color=shades[k], marker=mark, label=label)
    ax.set(xlabel="step", ylabel="gradient, RMS per weight", title=title)
    ax.update_datalim(np.column_stack([steps, np.ones(len(steps))]), updatey=False)  # also where nothing is drawn
    _log(ax, gradients)
    _over_training(ax, diverged_at)
    return ax


def _over_training(ax: Axes, diverged_at: int | None) -> None:
    """Finish axes over steps: mark where the run diverged, and put a legend above the lines."""
    if diverged_at is not None:
        ax.axvline(diverged_at, color="black", linestyle=":", label=f"diverged at step {diverged_at:,}")
    ax.margins(x=0, y=0.25)
    ax.locator_params(axis="x", integer=True)
    _legend(ax, loc="upper center", ncols=2, columnspacing=1)
    ax.label_outer()


@styled()
def percentiles(
    steps: Sequence[int],
    p15: Array,
    p50: Array,
    p85: Array,
    ax: Axes | None = None,
    *,
    title: str = "",
    diverged_at: int | None = None,
) -> Axes:
    """Draw the 15th, 50th and 85th percentile over training.

    Parameters
    ----------
    steps : sequence of int
    p15, p50, p85 : ndarray (measurements,)
    ax : Axes, optional
    title : str
    diverged_at : int, optional
        The step at which the run diverged, marked by a vertical line.
    """
    ax = axes_or_new(ax)
    for values, line, color, label in (
        (p85, "--", COLORS[1], "85th percentile"),
        (p50, "-", "black", "median"),
        (p15, "-.", COLORS[0], "15th percentile"),
    ):
        ax.plot(steps, values, line, color=color, marker="o" if len(steps) == 1 else "", label=label)
    ax.fill_between(steps, p15, p85, color="black", alpha=0.07, linewidth=0)
    ax.set(xlabel="step", ylabel="input of the activation", title=title)
    _over_training(ax, diverged_at)
    return ax


def positive(values: Array) -> Array:
    """Return the values with nan in place of those that are not above zero, so that a log axis has a gap there."""
    return np.where(values > 0, values, np.nan)


@styled()
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
    """Draw one line per arm, the median of its runs at each x, with a band over all of them.

    Parameters
    ----------
    arms : mapping of str to (x, array (runs, x))
        A nan means that a run was not measured at this x: median and band leave it out. If none was, there is a gap.
    ax : Axes, optional
    xlabel, ylabel, title : str
    logx, logy : bool
        For a log axis.
    points : bool
        Draw points with bars in place of lines with bands: for measurements beside a line of ``theory``.
    theory : mapping of str to (x, y), optional
        Thin black lines, one style each, without a band.
    crosses : mapping of str to (x, y), optional
        Points marked by crosses, such as diverged runs, in the colour of the arm whose name the key begins with.
    """
    ax = axes_or_new(ax)
    ax.set_xscale("log" if logx else "linear")
    drawn = [rows for _, rows in arms.values()] + [np.asarray(y) for _, y in (theory or {}).values()]
    if logy:
        _log(ax, *drawn)
    for k, (label, (x, y)) in enumerate((theory or {}).items()):
        ax.plot(x, y, LINES[(k + 1) % len(LINES)], color="black", linewidth=1.5, label=shown(label))
    colors: dict[str, str] = {}
    for k, (name, (x, rows)) in enumerate(arms.items()):
        colors[name] = COLORS[k % len(COLORS)]
        note = _band_note(len(rows), missing=bool(np.isnan(rows).any()))
        if points:
            low, middle, high = _spread(rows)
            middle = positive(middle) if logy else middle
            note = note.replace("line:", "point:").replace("band:", "bar:")
            style: Any = {"fmt": "os^D"[k % 4], "markersize": 10, "capsize": 6, "color": colors[name]}
            bars = [(middle - low).tolist(), (high - middle).tolist()]
            ax.errorbar(x, middle, bars, label=shown(f"{name} ({note})"), **style)
        else:
            _band(ax, x, rows, k, f"{name} ({note})", log=logy, mark="o")
    for label, (x, y) in (crosses or {}).items():
        own = next((k for k, name in enumerate(arms) if label.startswith(name)), None)
        _crosses(ax, x, y, own or 0, "black" if own is None else COLORS[own % len(COLORS)], label)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if not logy and not crosses and not any(np.isfinite(values).any() for values in drawn):
        say(ax, f"no {ylabel} to draw")
    _legend(ax)
    return ax


@styled()
def dots(
    groups: Mapping[str, Mapping[str, Sequence[float]]],
    ax: Axes | None = None,
    *,
    ylabel: str,
    xlabel: str = "arm",
    title: str = "",
    percent: bool = False,
) -> Axes:
    """Draw a dot per run and a bar at the median: one column per arm, one colour per kind.

    Parameters
    ----------
    groups : mapping of str to mapping of str to sequence of float
        By kind (such as train and test), then by arm: one value per run. A value that is not finite, such as that of
        a diverged run, is a cross at the bottom.
    ax : Axes, optional
    ylabel, xlabel, title : str
    percent : bool
        Write shares as percentages.
    """
    ax = axes_or_new(ax)
    names = list(dict.fromkeys(name for arms in groups.values() for name in arms))
    crossed: set[int] = set()  # kinds whose cross is in the legend
    for k, (kind, arms) in enumerate(groups.items()):
        color, label = COLORS[k % len(COLORS)], f"{kind} (dot: one seed, bar: median)"
        for name, runs in arms.items():
            values, middle = [v for v in runs if np.isfinite(v)], names.index(name)
            if gone := len(runs) - len(values):
                where = np.full(gone, middle) + np.linspace(-0.12, 0.12, gone) * (gone > 1)
                style: Any = {"color": color, "markersize": 12, "clip_on": False, "linestyle": ""}
                style["label"] = "" if k in crossed else shown(f"{kind}: diverged, no value")
                ax.plot(where, np.full(gone, 0.02), "XP"[k % 2], transform=ax.get_xaxis_transform(), **style)
                crossed.add(k)
            if values:
                x = middle + np.linspace(-0.12, 0.12, len(values)) * (len(values) > 1)
                ax.plot(x, values, "os^D"[k % 4], color=color, alpha=0.7, markersize=10, label=shown(label))
                ax.hlines(float(np.median(values)), middle - 0.3, middle + 0.3, color=color, linewidth=4)
                label = ""
    ax.set_xticks(range(len(names)), [name.replace(", ", ",\n") for name in names], fontsize=13)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title, xlim=(-0.6, len(names) - 0.4))
    if percent:
        ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    if not ax.get_legend_handles_labels()[0]:
        say(ax, f"no {ylabel} to draw")
    _legend(ax)
    return ax


@styled()
def histograms(edges: Sequence[float], counts: Array, ax: Axes | None = None, *, xlabel: str, title: str = "") -> Axes:
    """Draw the histograms of the layers above one another, the layer next to the data at the bottom.

    Parameters
    ----------
    edges : sequence of float
        Edges of the bins, one more than there are bins.
    counts : ndarray (layers, bins)
        Every histogram is scaled to its own highest bin, so that a narrow one does not hide the others.
    ax : Axes, optional
    xlabel, title : str
    """
    ax = axes_or_new(ax)
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


@styled()
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
    """Draw shares between 0 and 1 over two settings, as the colours of cells; a cross marks a cell without a number.

    Parameters
    ----------
    x, y : sequence of float
        The settings: columns from left to right, rows from bottom to top.
    values : ndarray (rows, columns)
    ax : Axes, optional
    xlabel, ylabel, title : str
    colorbar : str
        Label of the colour bar; if empty, there is none.
    """
    ax = axes_or_new(ax)
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
