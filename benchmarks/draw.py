"""The plots of the page: one idea each, log axes, readable from the back of a room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from benchmarks import tables
from benchmarks.measure import Group, is_limit
from benchmarks.parts import BOTH, SIZES
from benchmarks.peers import library_of, title
from tinynet import plots

# a colour and a marker each, wherever it is drawn; the marker survives a grey print
COLORS = {
    "tinynet": "#D55E00", "torch": "#0072B2", "torch-compile": "#56B4E9", "jax": "#009E73", "numpy": "#CC79A7",
    "sklearn": "#E69F00",
}  # fmt: skip
MARKERS = {"tinynet": "*", "torch": "o", "torch-compile": "D", "jax": "s", "numpy": "^", "sklearn": "v"}
# a colour and a hatching each, so that the bars survive a grey print too
KINDS_OF_WORK = {
    "matrix products": ("#0072B2", ""), "batch norm": ("#D55E00", "//"), "activation and bias": ("#E69F00", ".."),
    "update (SGD)": ("#009E73", "xx"), "loss": ("#CC79A7", ""), "all else": ("#FFFFFF", ""),
}  # fmt: skip
KIND_OF_FILE = {
    "batch_norm": "batch norm", "activations": "activation and bias", "dense": "activation and bias",
    "merge": "activation and bias", "sgd": "update (SGD)",
}  # fmt: skip
DPI = 120
TICKS = [digit * 10.0**k for k in range(-4, 5) for digit in (1, 2, 5)]


@mpl.rc_context(plots.STYLE)
def over_tinynet(groups: Sequence[Group], heading: str) -> Figure:
    """Draw the time of each peer over tinynet's, and each way to bring the data, a row a work."""
    rows = {}
    for group in groups:
        mine = tables.undertaking(group)[1]
        names = [name for name in group.times if tables.reference(group, name) == mine and not is_limit(name)]
        rows[group.work] = {name: group.ratio(name, mine) for name in names if library_of(name) != "tinynet"}
    return dots(rows, "the other's time over tinynet's   (right of 1: tinynet is faster)", heading)


@mpl.rc_context(plots.STYLE)
def over_limit(groups: Sequence[Group], xlabel: str, heading: str) -> Figure:
    """Draw the time of everybody over what the machine needs for the same work whoever asks, a row a work."""
    rows = {g.work: {name: g.ratio(name, g.limit) for name in g.times if not is_limit(name)} for g in groups}
    return dots({work.removesuffix(f", {BOTH}"): ratios for work, ratios in rows.items()}, xlabel, heading)


def dots(rows: dict[str, dict[str, float]], xlabel: str, heading: str) -> Figure:
    """Draw a row of markers for each label, on a log axis with a line at 1."""
    fig = Figure(figsize=(11.0, 2.6 + 0.62 * len(rows)), layout="constrained")
    ax = fig.subplots()
    places = np.arange(len(rows))[::-1]
    for name in dict.fromkeys(name for ratios in rows.values() for name in ratios):
        points = [(ratios[name], y) for y, ratios in zip(places, rows.values(), strict=True) if name in ratios]
        x, y = zip(*points, strict=True)
        library = library_of(name)
        hollow = {"markerfacecolor": "white"} if "DataLoader" in name else {}
        look: Any = {"color": COLORS[library], "marker": MARKERS[library], "markeredgewidth": 2.5, **hollow}
        label = title(name).partition(",")[0]
        ax.plot(x, y, linestyle="", markersize=20 if library == "tinynet" else 14, label=label, **look)
    ax.axvline(1, color="black", linewidth=2)
    ax.set_xscale("log")
    ratios = [1.0, *(ratio for row in rows.values() for ratio in row.values())]
    ax.set_xlim(0.8 * min(ratios), 1.25 * max(ratios))
    sparse(ax.xaxis, ax.get_xlim())
    ax.set_yticks(places, list(rows))
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
    found: dict[str, float] = {}
    for name, share in tables.shares(group).items():
        kind = KIND_OF_FILE.get(name.partition(".")[0], name)
        found[kind] = found.get(kind, 0.0) + share
    return found


@mpl.rc_context(plots.STYLE)
def growing(groups: Sequence[Group], varied: str) -> Figure:
    """Draw the time of a step against what varies, with the exponent in the legend."""
    fig, (ax,) = plots.figure()
    for name, (sizes, times) in tables.curves(groups, varied).items():
        slope, begin = tables.exponent(sizes, times)
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


def limit(groups: Sequence[Group]) -> Figure:
    """Draw how many times as long as its matrix products a step takes."""
    chosen = [group for group in groups if group.part == "steps"]
    return over_limit(chosen, "time of a step over its matrix products alone", "How close to the machine's limit")


def kernels(groups: Sequence[Group]) -> Figure:
    """Draw forward and backward in copies of the array."""
    chosen = [group for group in groups if group.setting["what"] == BOTH]
    return over_limit(chosen, "time over that of copying the array", "Batch norm + activation, forward and backward")


PLOTS: dict[str, tuple[str, Callable[[Sequence[Group]], Figure]]] = {  # by name: the section, and from its groups
    "limit": ("limit", limit),
    "step": ("steps", partial(over_tinynet, heading="One training step")),
    "epoch": ("epoch", partial(over_tinynet, heading="A whole epoch of MNIST, data included")),
    "inference": ("inference", partial(over_tinynet, heading="Prediction by the paper network, batch norm folded")),
    **{f"growth_{varied}": ("growth", partial(growing, varied=varied)) for varied in SIZES},
    "breakdown": ("breakdown", breakdown),
    "kernels": ("kernels", kernels),
}
