"""What the figures of several experiments share. One that no run reached is empty, and `drawn` leaves it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tinynet import plots
from tinynet.experiments.arms import Result, accuracy, rows_by_seed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")
Lines = Mapping[str, tuple[Sequence[float], Any]]  # of each arm x, and a row of y a run
Crosses = dict[str, tuple[list[float], list[float]]]


def _empty() -> Figure:
    from matplotlib.figure import Figure  # only when something is drawn: loading it takes long

    return Figure()


def drawn(figures: Mapping[str, Figure]) -> dict[str, Figure]:
    """Return the figures that are not empty."""
    return {name: figure for name, figure in figures.items() if figure.axes}


def figure_of(draw: Callable[..., object], arms: Mapping[str, Any], **how: Any) -> Figure:
    """Return a figure of what one of `tinynet.plots`' functions draws."""
    if not arms:
        return _empty()
    figure, (ax,) = plots.figure()
    draw(arms, ax, **how)
    return figure


def beside(panels: Mapping[str, T], draw: Callable[..., object]) -> Figure:
    """Return a figure of what ``draw(panel, ax, title=...)`` draws of each panel, side by side under their names."""
    figure, axes = plots.figure(columns=len(panels)) if panels else (_empty(), [])
    for ax, (title, panel) in zip(axes, panels.items(), strict=True):
        draw(panel, ax, title=title)
        ax.label_outer()
    return figure


def titled(name: str, run: Result) -> dict[str, Any]:
    """Return the title of axes with one run of an arm, and the step at which it diverged."""
    gone = run["diverged"]
    title = f"{name.capitalize()}{' (diverged)' if gone else ''}"
    return {"title": title, "diverged_at": run["steps"][-1] if gone else None}


def lines(arms: Lines, *, ticks: Sequence[float] = (), crosses: Crosses | None = None, **how: Any) -> Figure:
    """Return a figure of `tinynet.plots.lines_with_bands` of the arms with runs; with ``ticks``, at those x only."""
    arms = {name: (x, np.array(rows)) for name, (x, rows) in arms.items() if len(rows)}
    if not arms and not crosses:
        return _empty()
    figure, (ax,) = plots.figure()
    plots.lines_with_bands(arms, ax, crosses=crosses, **how)
    if ticks:
        ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        ax.minorticks_off()
    return figure


def accuracy_over(arms: Mapping[str, Mapping[float, Mapping[int, Result]]], **how: Any) -> Figure:
    """Return a figure of test accuracy over a setting, from results by arm, setting and seed."""
    rows, runs = {}, {}
    for name, by_x in arms.items():
        by_seed = ({seed: accuracy(r) for seed, r in results.items()} for results in by_x.values())
        rows[name] = list(by_x), rows_by_seed(by_seed)
        runs[name] = [(x, r) for x, results in by_x.items() for r in results.values()]
    return lines(rows, ylabel="test accuracy", logx=True, crosses=crosses(runs), **how)


def crosses(arms: Mapping[str, Sequence[tuple[float, Result]]]) -> Crosses:
    """Return the crosses, at 0, of each arm's diverged runs, from where each run stands."""
    gone = {name: [x for x, result in runs if result["diverged"]] for name, runs in arms.items()}
    return {
        f"{name}: {len(x)} of {len(arms[name])} runs diverged": (x, [0.0] * len(x)) for name, x in gone.items() if x
    }
