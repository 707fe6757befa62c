"""Curves of arms -> matplotlib axes: one metric, over steps, epochs, examples or seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, PercentFormatter

from tinynet.convergence.align import align, smoothed
from tinynet.convergence.bands import BANDS, Band
from tinynet.convergence.logs import Curve, Log, Unit
from tinynet.convergence.metrics import Chosen, choose, meaning, pick
from tinynet.errors import InputError
from tinynet.plots.style import COLORS, FEW, LINES, axes_or_new, say, shown, styled
from tinynet.settings import number
from tinynet.typing import Array

AXES: dict[Unit, str] = {
    "step": "step (one update each)",
    "epoch": "epoch (passes over the training data)",
    "examples": "examples seen",
    "seconds": "seconds since the training began",
}
MANY = 8  # lines: the legend of more would hide them, and stands beside the axes


@styled()
def draw(
    arms: Mapping[str, Sequence[Log]],
    ax: Axes | None = None,
    *,
    metric: str | None = None,
    x: Unit | None = None,
    split: Literal["validation", "training", "both"] | None = None,
    band: Band = "all",
    smooth: float = 0.0,
    log: bool = False,
    error: bool = False,
    ylim: tuple[float, float] | None = None,
    title: str = "",
) -> Axes:
    """Draw a metric of each arm: a line over its runs with a band; a diverged run ends in a cross and is counted.

    The line and the band are where every run of the arm was measured that did not diverge. If a run is shorter, was
    measured elsewhere, or is smoothed, all runs have a thin line of their own too.

    Parameters
    ----------
    arms : mapping of str to sequence of Log
        The runs of each arm, by its label.
    ax : Axes, optional
    metric : str, optional
        A quantity, such as "loss", or a column; see `pick`.
    x : {"step", "epoch", "examples", "seconds"}, optional
    split : {"validation", "training", "both"}, optional
        On which data. What is not given of these three, `choose` finds: it is what all runs have.
    band : {"all", "quartiles", "standard error", "bootstrap", "none"}
        Of the runs of an arm; the legend says which. "bootstrap" is the percentile interval (95 %) of the mean.
    smooth : float
        The weight of `smoothed`: 0 is off. What was measured stays behind, as thin lines.
    log : bool
        Draw y on a log axis.
    error : bool
        Draw 1 - accuracy on a log axis.
    ylim : (float, float), optional
        By default the axis fits the data.
    title : str

    Raises
    ------
    InputError
        If there is no run, or one lacks the metric or x; it names the run.
    """
    ax = axes_or_new(ax)
    if band not in BANDS:
        raise InputError(f"draw: band must be one of {', '.join(map(repr, BANDS))}, not {band!r}")
    if not 0 <= number("draw: smooth", smooth) < 1:
        raise InputError(f"draw: smooth must be from 0 to less than 1, such as 0.6, not {smooth}")
    chosen = choose([log for logs in arms.values() for log in logs], metric, x, split)
    if error and meaning(chosen.metric).quantity != "accuracy":
        raise InputError(f"draw: error is 1 - accuracy; there is none of {chosen.metric!r}")
    drawn: list[Array] = []
    interpolated = False
    for k, (name, logs) in enumerate(arms.items()):
        for which in chosen.splits if logs else ():
            curves = [pick(log, chosen.metric)[which] for log in logs]
            curves = [Curve(1 - curve.values, curve.x) for curve in curves] if error else curves
            both = len(chosen.splits) > 1
            line = {"training": "--", "validation": "-"}[which] if both else LINES[k % len(LINES)]
            style = {"color": COLORS[k % len(COLORS)], "linestyle": line, "mark": "XP"[k % 2]}
            label = f"{name}, {which}" if both else name
            interpolated |= _arm(ax, label, logs, curves, chosen.unit, band, smooth, **style)
            drawn += [curve.values for curve in curves]
    _scale(ax, chosen, drawn, log=log or error, error=error)
    ax.set(title=title, **({} if ylim is None else {"ylim": ylim}))
    said = [BANDS[band][0]] if max(map(len, arms.values())) > 1 else []
    said += [f"smoothed, weight {smooth:g}; thin: as measured"] if smooth else []
    said += ["interpolated between measured points"] if interpolated else []
    outside: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1)}
    many = len(ax.get_legend_handles_labels()[0]) > MANY
    ax.legend(title="\n".join(said), title_fontsize=12, **(outside if many else {"loc": "best"}))
    return ax


def _arm(
    ax: Axes,
    label: str,
    logs: Sequence[Log],
    curves: Sequence[Curve],
    unit: Unit,
    band: Band,
    smooth: float,
    *,
    color: str,
    linestyle: str,
    mark: str,
) -> bool:
    """Draw one arm; return whether values of its line or band were interpolated."""
    style: dict[str, Any] = {"color": color, "linestyle": linestyle}
    lost = [curve for log, curve in zip(logs, curves, strict=True) if log.diverged]
    whole = [c for log, c in zip(logs, curves, strict=True) if not log.diverged and np.isfinite(c.values).any()]
    aligned = align([Curve(smoothed(c.values, smooth), c.x) for c in whole], unit) if whole else None
    apart = aligned is not None and (not aligned.everywhere.all() or any(len(c) != len(aligned.x) for c in whole))
    for curve in [*(whole if smooth or apart else []), *lost]:
        ax.plot(curve.x[unit], curve.values, linewidth=1, alpha=0.5, **style)
    for curve in lost:
        known = curve.values[np.isfinite(curve.values)]
        last = known[-1] if len(known) else 0.0
        ax.plot(curve.x[unit][-1], last, mark, color=color, markersize=14, clip_on=False)
    many = _how_many(len(logs), len(whole), len(lost))
    full = f"{label} ({many})" if many else label
    full = full.replace("$", r"\$")  # "$x$" would be a formula
    style["label"] = shown(full)
    if aligned is None:
        ax.plot([], [], marker=mark if lost else "", **style)
        return False
    x, rows = aligned.x[aligned.everywhere], aligned.rows[:, aligned.everywhere]
    if len(x) == 0:
        ax.plot([], [], **style)
        return False
    low, middle, high = BANDS[band][1](rows)
    ax.plot(x, middle, marker="o" if max(map(len, whole)) <= FEW else "", markersize=5, **style)
    if len(rows) > 1 and band != "none":
        ax.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
    return aligned.interpolated


def _how_many(runs: int, whole: int, lost: int) -> str:
    """Return how many runs an arm has, how many of them diverged, and how many have no number."""
    words = [f"{runs} runs"] if runs > 1 else []
    words += [f"{lost} diverged"] if lost else []
    words += [f"{runs - whole - lost} without a number"] if whole + lost < runs else []
    return ", ".join(words)


def _scale(ax: Axes, chosen: Chosen, drawn: Sequence[Array], *, log: bool, error: bool) -> None:
    """Name the axes and set their scales, which fit what is drawn."""
    quantity = meaning(chosen.metric).quantity
    name = "error, 1 - accuracy" if error else quantity.replace("_", " ")
    data = "" if len(chosen.splits) > 1 else f" ({chosen.splits[0]} data)"
    ax.set(xlabel=AXES[chosen.unit], ylabel=f"{name}{data}")
    ax.locator_params(axis="x", integer=chosen.unit != "seconds")
    ax.set_xlim(left=0)
    values = np.concatenate(drawn)
    values = values[np.isfinite(values) & ((values > 0) | (not log))]
    if not len(values):
        say(ax, f"no {name}{' above zero' if log else ''} to draw")
    elif log:
        ax.set_yscale("log")
    if quantity == "accuracy":
        ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        if log and len(values):
            ax.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))  # powers of ten alone would be too few labels
            ax.yaxis.set_minor_formatter(PercentFormatter(1.0, decimals=None))
