"""Layer normalization (Ba, Kiros and Hinton 2016): each example over its features, the batch plays no part.

A number in a comment, (1), is the equation of ``docs/batch_norm.md``, taken along a row.
"""

import numpy as np

from tinynet.kernels.jit import jit_row_sums
from tinynet.typing import Array


@jit_row_sums
def forward(x: Array, gamma: Array, beta: Array, eps: float, y: Array, x_hat: Array, inv_std: Array) -> None:
    """Normalize each row of ``x`` (m, features): writes ``y``, ``x_hat`` and, one entry a row, ``inv_std``."""
    m, features = x.shape
    zero = x.dtype.type(0)
    one_over_n = x.dtype.type(1 / features)
    for i in range(m):
        # (1)  mu = 1/n sum(x)
        total = zero
        for j in range(features):
            total += x[i, j]
        mu = total * one_over_n

        # in a second pass, and without what rounding left in mu: as in batch_norm.forward
        # (10) correction = 1/n sum(x - mu)
        # (2)  var = 1/n sum((x - mu)^2)
        var = zero
        correction = zero
        for j in range(features):
            x_hat[i, j] = x[i, j] - mu
            correction += x_hat[i, j]
            var += x_hat[i, j] * x_hat[i, j]
        correction *= one_over_n
        var = var * one_over_n - correction * correction
        if var < 0:
            var = zero
        if var == np.inf:
            var *= zero  # nan
        inv_std[i] = 1 / (var + eps) ** 0.5

        for j in range(features):
            # (3)  x_hat = (x - mu) / sqrt(var + eps), where x_hat still holds x - mu
            x_hat[i, j] = (x_hat[i, j] - correction) * inv_std[i]
            # (4)  y = gamma x_hat + beta
            y[i, j] = gamma[j] * x_hat[i, j] + beta[j]


@jit_row_sums
def backward(dy: Array, x_hat: Array, gamma: Array, inv_std: Array, dx: Array, dgamma: Array, dbeta: Array) -> None:
    """Gradients of layer normalization: batch normalization's formula along rows, gamma inside the means."""
    m, features = dy.shape
    zero = dy.dtype.type(0)
    one_over_n = dy.dtype.type(1 / features)
    dgamma[:] = 0
    dbeta[:] = 0
    for i in range(m):
        # (5)  dgamma = sum(dy x_hat),  dbeta = sum(dy), over the batch
        # (6)  its two means, over the row (dy gamma has no name: it would change last bits under jit_row_sums)
        mean_dx_hat = zero
        mean_dx_hat_x_hat = zero
        for j in range(features):
            dbeta[j] += dy[i, j]
            dgamma[j] += dy[i, j] * x_hat[i, j]
            mean_dx_hat += dy[i, j] * gamma[j]
            mean_dx_hat_x_hat += dy[i, j] * gamma[j] * x_hat[i, j]
        mean_dx_hat *= one_over_n
        mean_dx_hat_x_hat *= one_over_n
        # (6)  dx = inv_std (dx_hat - mean(dx_hat) - x_hat mean(dx_hat x_hat)),  dx_hat = dy gamma
        for j in range(features):
            dx[i, j] = inv_std[i] * (dy[i, j] * gamma[j] - mean_dx_hat - x_hat[i, j] * mean_dx_hat_x_hat)
