"""Stochastic gradient descent: one array's update."""

import numpy as np

from tinynet.kernels.jit import jit, jit_row_sums
from tinynet.typing import Array


@jit
def update(w: Array, g: Array, rates: Array) -> None:
    """Plain step on flat arrays: w <- (1 - shrink) w - lr (g + decay w); ``rates`` has lr, decay, shrink."""
    lr, decay, shrink = rates[0], rates[1], rates[2]
    rate, keep = w.dtype.type(lr), w.dtype.type(1 - shrink - lr * decay)
    for k in range(w.size):
        w[k] = keep * w[k] - rate * g[k]


@jit
def update_momentum(w: Array, g: Array, v: Array, rates: Array, nesterov: bool) -> None:
    """Momentum step on flat arrays: g' = g + decay w;  v <- momentum v + g';  w <- (1 - shrink) w - lr v.

    With ``nesterov`` the last step goes along g' + momentum v. ``rates`` has lr, decay, shrink, momentum.
    """
    as_w = w.dtype.type
    rate, l2, keep, mom = as_w(rates[0]), as_w(rates[1]), as_w(1 - rates[2]), as_w(rates[3])
    for k in range(w.size):
        gradient = g[k] + l2 * w[k]
        v[k] = mom * v[k] + gradient
        direction = gradient + mom * v[k] if nesterov else v[k]
        w[k] = keep * w[k] - rate * direction


@jit_row_sums
def sum_of_squares(g: Array) -> float:
    """Return sum(g^2) of a flat array, in double."""
    total = 0.0
    for k in range(g.size):
        value = np.float64(g[k])  # Numba's float() leaves a float32 one
        total += value * value
    return total
