"""Derivatives by moving one number at a time: slow, simple, and independent of any derivation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinynet.typing import Array


def derivative(loss: Callable[[], float], values: Array, h: float = 1e-5) -> Array:
    """Return d loss / d values by central differences: (loss(v + h) - loss(v - h)) / 2h for each number v.

    Parameters
    ----------
    loss : function
        Reads ``values`` and returns a number.
    values : ndarray of float64
        Moved in place, and put back.
    h : float
        The step: with 1e-5 both the formula's error, of order h^2, and rounding, of order 1e-16 / h, are about 1e-10.

    Returns
    -------
    ndarray
        Of the shape of ``values``.
    """
    slope = np.empty_like(values)
    for place in np.ndindex(values.shape):
        value = values[place]
        values[place] = value + h
        above = loss()
        values[place] = value - h
        below = loss()
        values[place] = value
        slope[place] = (above - below) / (2 * h)
    return slope
