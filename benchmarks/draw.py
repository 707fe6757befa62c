"""The plots of the page: one idea each, log axes, readable from the back of a room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from benchmarks import growth
from benchmarks.breakdown import shares
from benchmarks.kernels import BOTH, COPY
from benchmarks.measure import Group
from benchmarks.peer import title
from benchmarks.spec import FLOOR
from tinynet import plots

# a colour and a marker each, wherever it is drawn; the marker survives a grey print
COLORS = {
    "tinynet": "#D55E00", "torch": "#0072B2", "torch-compile": "#56B4E9", "jax": "#009E73", "numpy": "#CC79A7",
    "sklearn": "#E69F00",
}  # fmt: skip
MARKERS = {"tinynet": "*", "torch": "o", "torch-compile": "D", "jax": "s", "numpy": "^", "sklearn": "v"}
DPI = 120
TICKS = [digit * 10.0**k for k in range(-4, 5) for digit in (1, 2, 5)]

Rows = Sequence[tuple[str, dict[str, float]]]
"""A label, and a number for each name."""


@mpl.rc_context(plots.STYLE)
def dots(rows: Rows, xlabel: str, heading: str) -> Figure:
    """Draw a row of markers for each label, on a log axis with a line at 1."""
    fig = Figure(figsize=(11.0, 2.6 + 0.62 * len(rows)), layout="constrained")
    ax = fig.subplots()
    places = np.arange(len(rows))[::-1]
    for name in dict.fromkeys(name for _, values in rows for name in values):
        points = [(values[name], y) for y, (_, values) in zip(places, rows, strict=True) if name in values]
        x, y = zip(*points, strict=True)
        key = name.partition(" (")[0].partition(",")[0]
        hollow = {"markerfacecolor": "white"} if "DataLoader" in name else {}
        look: Any = {"color": COLORS[key], "marker": MARKERS[key], "markeredgewidth": 2.5, **hollow}
        ax.plot(x, y, linestyle="", markersize=20 if key == "tinynet" else 14, label=title(name), **look)
    ax.axvline(1, color="black", linewidth=2)
    ax.set_xscale("log")
    numbers = [value for _, values in rows for value in values.values()]
    ax.set_xlim(0.8 * min([1.0, *numbers]), 1.25 * max([1.0, *numbers]))
    sparse(ax.xaxis, ax.get_xlim())
    ax.set_yticks(places, [label for label, _ in rows])
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.set(xlabel=xlabel)
    fig.suptitle(heading, fontsize=20)
    fig.legend(loc="outside lower center", ncols=3, frameon=False)
    return fig


def sparse(axis: Axis, ends: tuple[float, float]) -> None:
    """Put numbers at 1, 2 and 5 of each decade, fewer where there is no room."""
    inside = [tick for tick in TICKS if ends[0] <= tick <= ends[1]]
    if len(inside) > 9:
        inside = [tick for tick in inside if f"{tick:e}"[0] == "1"]
    axis.set_major_locator(FixedLocator(inside))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_locator(NullLocator())


OURS = "tinynet's time over the other's   (left of 1: tinynet is faster)"


def steps(groups: Sequence[Group]) -> Figure:
    """Draw the ratio of a step to every peer's."""
    return dots(over_peers(groups, lambda name: name not in ("tinynet", FLOOR)), OURS, "One training step")


def floor(groups: Sequence[Group]) -> Figure:
    """Draw how many times as long as its matrix products a step takes."""
    rows = [(g.work, {name: g.ratio(FLOOR, name) for name in g.times if name != FLOOR}) for g in groups]
    return dots(rows, "time of a step over its matrix products alone", "How close to the floor")


def epoch(groups: Sequence[Group]) -> Figure:
    """Draw the ratio of a whole epoch to every peer's, with each way to bring the data."""
    rows = over_peers(groups, lambda name: not name.startswith("tinynet"))
    return dots(rows, OURS, "A whole epoch of MNIST, data included")


def inference(groups: Sequence[Group]) -> Figure:
    """Draw the ratio of a prediction of the folded network to every peer's."""
    rows = []
    for group in groups:
        names = [name for name in group.times if name.endswith(", folded") and not name.startswith("tinynet")]
        ratios = {name.partition(",")[0]: group.ratio(name, "tinynet, folded") for name in names}
        rows.append((group.work, ratios))
    return dots(rows, OURS, "Prediction by the paper network, batch norm folded")


def kernels(groups: Sequence[Group]) -> Figure:
    """Draw forward and backward in copies of the array."""
    chosen = [group for group in groups if group.setting["what"] == BOTH]
    rows = [(g.work.removesuffix(f", {BOTH}"), {n: g.ratio(COPY, n) for n in g.times if n != COPY}) for g in chosen]
    return dots(rows, "time over that of copying the array", "Batch norm + activation, forward and backward")


def over_peers(groups: Sequence[Group], wanted: Callable[[str], bool]) -> Rows:
    """Return tinynet's time over that of each name wanted, a row a work."""
    return [(g.work, {name: g.ratio(name) for name in g.times if wanted(name)}) for g in groups]


# a colour and a hatching each, so that the bars survive a grey print
KINDS_OF_WORK = {
    "matrix products": ("#0072B2", ""), "batch norm": ("#D55E00", "//"), "activation and bias": ("#E69F00", ".."),
    "update (SGD)": ("#009E73", "xx"), "loss": ("#CC79A7", ""), "all else": ("#FFFFFF", ""),
}  # fmt: skip


@mpl.rc_context(plots.STYLE)
def breakdown(groups: Sequence[Group]) -> Figure:
    """Draw each network's step as a bar, cut into what its kernels take; what is left is white."""
    fig = Figure(figsize=(11.0, 2.6 + 0.62 * len(groups)), layout="constrained")
    ax = fig.subplots()
    labels = [group.work for group in groups][::-1]
    starts = np.zeros(len(groups))
    for kind, (color, hatch) in KINDS_OF_WORK.items():
        found = [kinds(group).get(kind, 0.0) for group in groups][::-1]
        look: Any = {"color": color, "hatch": hatch, "edgecolor": "black", "linewidth": 1}
        ax.barh(labels, found, left=starts, label=kind, **look)
        starts += np.maximum(found, 0)
    ax.set(xlabel="share of the step's time", xlim=(0, max(1.0, *starts)))
    ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    fig.suptitle("Where a step's time goes", fontsize=20)
    fig.legend(loc="outside lower center", ncols=3, frameon=False)
    return fig


def kinds(group: Group) -> dict[str, float]:
    """Return the shares of a step by kind of work."""
    files = {"batch_norm": "batch norm", "activations": "activation and bias", "dense": "activation and bias"}
    files |= {"sgd": "update (SGD)", "merge": "activation and bias"}
    found: dict[str, float] = {}
    for name, share in shares(group).items():
        kind = files.get(name.partition(".")[0], name)
        found[kind] = found.get(kind, 0.0) + share
    return found


@mpl.rc_context(plots.STYLE)
def growing(groups: Sequence[Group], varied: str) -> Figure:
    """Draw the time of a step against what varies, with the exponent in the legend."""
    fig, (ax,) = plots.figure()
    for name, (sizes, times) in growth.curves(groups, varied).items():
        slope, begin = growth.exponent(sizes, times)
        label = f"{title(name)}: {varied}$^{{{slope:.2f}}}$ from {begin:,} on"
        look: Any = {"color": COLORS[name], "marker": MARKERS[name], "markersize": 10}
        ax.plot(sizes, 1e3 * np.array(times), label=label, **look)
        ax.set_xscale("log", base=10)
        ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_yscale("log")
    sparse(ax.yaxis, ax.get_ylim())
    names = {"depth": "hidden layers", "width": "units in each hidden layer", "batch": "examples in a batch"}
    ax.set(xlabel=names[varied], ylabel="time of a step, ms", title=f"How a step grows with {varied}")
    ax.legend(loc="upper left")
    return fig


PLOTS: dict[str, list[tuple[str, Callable[[Sequence[Group]], Figure]]]] = {
    "steps": [("step", steps), ("floor", floor)],
    "breakdown": [("breakdown", breakdown)],
    "epoch": [("epoch", epoch)],
    "inference": [("inference", inference)],
    "kernels": [("kernels", kernels)],
    "growth": [(f"growth_{v}", lambda groups, v=v: growing(groups, v)) for v in growth.SIZES],  # type: ignore[misc]
}


def save(groups: Sequence[Group], part: str, folder: Path) -> list[Path]:
    """Write the plots of a part; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, function in PLOTS.get(part, []):
        path = folder / f"performance_{name}.png"
        function([group for group in groups if group.part == part]).savefig(path, dpi=DPI)
        paths.append(path)
    return paths
