"""Batch normalization: training forward, backward, running statistics, inference.

The symbols are those of Ioffe and Szegedy (2015), Algorithms 1 and 2; ``docs/batch_norm.md`` derives the
backward pass in the same names. Arrays are C-ordered ``(m, features)``, vectors have one entry a feature.
"""

import numpy as np

from tinynet.kernels.jit import jit
from tinynet.typing import Array


@jit
def forward(
    x: Array,
    gamma: Array,
    beta: Array,
    eps: float,
    y: Array,
    x_hat: Array,
    mu: Array,
    var: Array,
    inv_std: Array,
) -> None:
    """Normalize each feature over the batch: the paper's Algorithm 1.

    Reads ``x, gamma, beta``; writes the rest. ``var`` is the biased batch variance (1/m).
    """
    m, features = x.shape
    one_over_m = x.dtype.type(1 / m)

    # (1)  mu = 1/m sum(x)
    mu[:] = 0
    for i in range(m):
        for j in range(features):
            mu[j] += x[i, j]
    for j in range(features):
        mu[j] *= one_over_m

    # (2)  var = 1/m sum((x - mu)^2), in a second pass: E[x^2] - E[x]^2 cancels, and in float32 on data at
    # 1000 +- 0.1 gives negative variances. The sum of (x - mu), zero in exact arithmetic, is what rounding left
    # in mu; taking it out keeps full accuracy when mu is large beside the deviation (Chan et al. 1983, eq. 1.7).
    remainder = np.zeros_like(mu)
    var[:] = 0
    for i in range(m):
        for j in range(features):
            centred = x[i, j] - mu[j]
            remainder[j] += centred
            var[j] += centred * centred
    for j in range(features):
        remainder[j] *= one_over_m
        var[j] = var[j] * one_over_m - remainder[j] * remainder[j]
        if var[j] < 0:  # only by rounding; a NaN stays a NaN
            var[j] = 0
        inv_std[j] = 1 / (var[j] + eps) ** 0.5

    # (3)  x_hat = (x - mu) / sqrt(var + eps)      (4)  y = gamma x_hat + beta
    for i in range(m):
        for j in range(features):
            x_hat[i, j] = (x[i, j] - mu[j] - remainder[j]) * inv_std[j]
            y[i, j] = gamma[j] * x_hat[i, j] + beta[j]
    for j in range(features):
        mu[j] += remainder[j]


@jit
def backward(dy: Array, x_hat: Array, gamma: Array, inv_std: Array, dx: Array, dgamma: Array, dbeta: Array) -> None:
    """Gradients of batch normalization in training: writes ``dx``, ``dgamma``, ``dbeta``.

    With x_hat in hand the chain rule through mu and var collapses to one line a feature::

        dx = gamma inv_std (dy - mean(dy) - x_hat mean(dy x_hat))
    """
    m, features = dy.shape
    one_over_m = dy.dtype.type(1 / m)

    dgamma[:] = 0
    dbeta[:] = 0
    for i in range(m):
        for j in range(features):
            dbeta[j] += dy[i, j]
            dgamma[j] += dy[i, j] * x_hat[i, j]

    for i in range(m):
        for j in range(features):
            mean_dy = dbeta[j] * one_over_m
            mean_dy_x_hat = dgamma[j] * one_over_m
            dx[i, j] = gamma[j] * inv_std[j] * (dy[i, j] - mean_dy - x_hat[i, j] * mean_dy_x_hat)


@jit
def update_running(mu: Array, var: Array, m: int, decay: float, running_mean: Array, running_var: Array) -> None:
    """Move the running statistics toward the batch's: running = decay running + (1 - decay) batch.

    The running variance takes the unbiased batch variance, m/(m - 1) var, as the paper's Algorithm 2 does.
    """
    for j in range(mu.shape[0]):
        running_mean[j] = decay * running_mean[j] + (1 - decay) * mu[j]
        running_var[j] = decay * running_var[j] + (1 - decay) * var[j] * (m / (m - 1))


@jit
def inference(
    x: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array, eps: float, y: Array
) -> None:
    """Normalize with fixed statistics: y = gamma (x - running_mean) / sqrt(running_var + eps) + beta."""
    m, features = x.shape
    scale = gamma / (running_var + x.dtype.type(eps)) ** x.dtype.type(0.5)
    for i in range(m):
        for j in range(features):
            y[i, j] = scale[j] * (x[i, j] - running_mean[j]) + beta[j]
