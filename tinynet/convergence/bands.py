"""The middle of an arm's runs and a band around it, at each x: what can be drawn, and what the legend says of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from tinynet.typing import Array

Band = Literal["all", "quartiles", "standard error", "bootstrap", "none"]
RESAMPLES = 2000  # of the runs, for the bootstrap


def _all(rows: Array) -> tuple[Array, Array, Array]:
    return rows.min(axis=0), np.median(rows, axis=0), rows.max(axis=0)


def _quartiles(rows: Array) -> tuple[Array, Array, Array]:
    low, middle, high = np.quantile(rows, [0.25, 0.5, 0.75], axis=0)
    return low, middle, high


def _standard_error(rows: Array) -> tuple[Array, Array, Array]:
    mean = rows.mean(axis=0)
    error = rows.std(axis=0, ddof=1) / np.sqrt(len(rows)) if len(rows) > 1 else np.zeros_like(mean)
    return mean - error, mean, mean + error


def _bootstrap(rows: Array) -> tuple[Array, Array, Array]:
    """Return the 2.5 % and 97.5 % quantiles of the means of runs drawn again with replacement, the same at every x."""
    again = np.random.default_rng(0).multinomial(len(rows), [1 / len(rows)] * len(rows), RESAMPLES) / len(rows)
    low, high = np.quantile(again @ rows, [0.025, 0.975], axis=0)
    return low, rows.mean(axis=0), high


BANDS: dict[Band, tuple[str, Callable[[Array], tuple[Array, Array, Array]]]] = {
    "all": ("line: median, band: all runs", _all),
    "quartiles": ("line: median, band: quartiles of the runs", _quartiles),
    "standard error": ("line: mean, band: mean ± standard error", _standard_error),
    "bootstrap": ("line: mean, band: 95 % bootstrap interval of the mean", _bootstrap),
    "none": ("line: median", _all),
}
"""By name: the legend's words; and what makes of rows (runs, x) the band's lower end, the middle and the upper end."""
