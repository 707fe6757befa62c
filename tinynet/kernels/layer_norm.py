"""Layer normalization (Ba, Kiros and Hinton 2016): each example over its features, the batch plays no part."""

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
        total = zero
        for j in range(features):
            total += x[i, j]
        mu = total * one_over_n

        # in a second pass, and without what rounding left in mu: as in batch_norm.forward
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
            x_hat[i, j] = (x_hat[i, j] - correction) * inv_std[i]
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
        mean_d = zero
        mean_d_x_hat = zero
        for j in range(features):
            dbeta[j] += dy[i, j]
            dgamma[j] += dy[i, j] * x_hat[i, j]
            mean_d += dy[i, j] * gamma[j]
            mean_d_x_hat += dy[i, j] * gamma[j] * x_hat[i, j]
        mean_d *= one_over_n
        mean_d_x_hat *= one_over_n
        for j in range(features):
            dx[i, j] = inv_std[i] * (dy[i, j] * gamma[j] - mean_d - x_hat[i, j] * mean_d_x_hat)
