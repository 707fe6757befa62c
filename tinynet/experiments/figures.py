"""What the figures of several experiments share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tinynet import plots
from tinynet.experiments.arms import Result, accuracy, rows_by_seed

Lines = Mapping[str, tuple[Sequence[float], Any]]
Crosses = dict[str, tuple[list[float], list[float]]]


def lines(arms: Lines, *, ticks: Sequence[float] = (), **how: Any) -> Figure:
    """Return a figure of `tinynet.plots.lines_with_bands`; with ``ticks``, at those x and nowhere else."""
    figure, (ax,) = plots.figure()
    plots.lines_with_bands(arms, ax, **how)
    if ticks:
        ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        ax.minorticks_off()
    return figure


def accuracy_over(arms: Mapping[str, Mapping[float, Mapping[int, Result]]], **how: Any) -> Figure:
    """Return a figure of test accuracy over a setting, from results by arm, setting and seed."""
    drawn: dict[str, tuple[list[float], Any]] = {}
    crossed: Crosses = {}
    for name, by_x in arms.items():
        if not any(by_x.values()):
            continue
        rows = rows_by_seed({seed: accuracy(r) for seed, r in runs.items()} for runs in by_x.values())
        drawn[name] = list(by_x), np.array(rows)
        crossed |= crosses(name, [(x, r) for x, runs in by_x.items() for r in runs.values()])
    return lines(drawn, ylabel="test accuracy", logx=True, crosses=crossed, **how)


def crosses(name: str, runs: Iterable[tuple[float, Result]]) -> Crosses:
    """Return the crosses, at 0, of an arm's diverged runs, from where each run stands; nothing if none diverged."""
    runs = list(runs)
    gone = [x for x, result in runs if result["diverged"]]
    return {f"{name}: {len(gone)} of {len(runs)} runs diverged": (gone, [0.0] * len(gone))} if gone else {}
