"""Runs of one arm on common x values, and a curve made smooth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinynet.convergence.logs import Curve, Unit
from tinynet.typing import Array

MOST = 1000  # x values to interpolate at; more than a plot has dots


@dataclass(frozen=True, eq=False)
class Aligned:
    """Several runs' values on common x values.

    Attributes
    ----------
    x : ndarray (n,)
        Rising.
    rows : ndarray (runs, n)
        A run's value, or nan before its first and after its last: no run is made longer.
    interpolated : bool
        Whether some value lies on the straight line between two that were measured. Else all were measured.
    ends : tuple of (float, float)
        First and last x of each run.
    """

    x: Array
    rows: Array
    interpolated: bool
    ends: tuple[tuple[float, float], ...]

    @property
    def everywhere(self) -> Array:
        """Which x values lie inside every run, an array of bool (n,)."""
        return np.asarray(self.inside.all(axis=0))

    @property
    def inside(self) -> Array:
        """Which values lie between a run's first and last, an array of bool (runs, n); nan or not."""
        return np.array([(self.x >= first) & (self.x <= last) for first, last in self.ends])


def align(curves: Sequence[Curve], unit: Unit) -> Aligned:
    """Put runs on common x values.

    These are the places at which each run was measured that had begun and not ended there. If some run has fewer of
    them than half of the shortest run's values, x is all places at which some run was measured, at most 1,000 of them,
    and the other runs are interpolated there.

    Parameters
    ----------
    curves : sequence of Curve
        One a run, one or more. Each has x by ``unit``.
    unit : {"step", "epoch", "examples", "seconds"}
    """
    places = [curve.x[unit] for curve in curves]
    ends = tuple((float(at[0]), float(at[-1])) for at in places)
    union = np.unique(np.concatenate(places))
    measured = np.array([np.isin(union, at) for at in places])
    outside = np.array([(union < first) | (union > last) for first, last in ends])
    common = (measured | outside).all(axis=0)
    kept = (measured & common).sum(axis=1).min()
    interpolated = bool(2 * kept < min(map(len, places)))
    x = union[common]
    if interpolated:
        x = union if len(union) <= MOST else union[np.linspace(0, len(union) - 1, MOST).round().astype(int)]
    rows = [
        np.interp(x, at, curve.values, left=np.nan, right=np.nan) for at, curve in zip(places, curves, strict=True)
    ]
    return Aligned(x, np.array(rows), interpolated, ends)


def smoothed(values: Array, weight: float) -> Array:
    """Return exponentially weighted means, not biased toward the first value.

    The t-th is ``sum(weight^(t - i) values[i]) / sum(weight^(t - i))`` over i <= t. So the first is the first value
    itself (Kingma and Ba, Adam, 2015, section 3, has the same correction). A value that is not finite stays what it
    is, and is left out of the sums.

    Parameters
    ----------
    values : ndarray (n,)
    weight : float
        From 0, which changes nothing, to less than 1.
    """
    out, total, weights = np.array(values, np.float64), 0.0, 0.0
    for k, value in enumerate(out):
        total, weights = weight * total, weight * weights
        if np.isfinite(value):
            total, weights = total + value, weights + 1
            out[k] = total / weights
    return out
