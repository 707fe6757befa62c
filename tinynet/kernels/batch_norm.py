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
    mu: Array,
    rest: Array,
    var: Array,
    inv_std: Array,
    scale: Array,
    shift: Array,
) -> None:
    """Normalize each feature over the batch: the paper's Algorithm 1.

    Reads ``x, gamma, beta``; writes the others. ``var`` is the biased batch variance (1/m). The batch mean is
    ``mu + rest``: ``rest`` is what rounding left.
    """
    m, features = x.shape
    one_over_m = x.dtype.type(np.float64(1) / m)

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
    rest[:] = 0
    var[:] = 0
    for i in range(m):
        for j in range(features):
            centred = x[i, j] - mu[j]
            rest[j] += centred
            var[j] += centred * centred
    for j in range(features):
        rest[j] *= one_over_m
        var[j] = var[j] * one_over_m - rest[j] * rest[j]
        if var[j] < 0:  # only by rounding; a NaN stays a NaN
            var[j] = 0
        if var[j] == np.inf:  # x - mu overflowed: 1 / sqrt(inf) would give x_hat = 0, which is wrong and looks right
            var[j] = np.nan
        inv_std[j] = 1 / (var[j] + eps) ** 0.5

    # (3)  x_hat = (x - mu) / sqrt(var + eps)      (4)  y = gamma x_hat + beta
    # in one: y = (x - mu) scale + shift
    for j in range(features):
        scale[j] = gamma[j] * inv_std[j]
        shift[j] = beta[j] - rest[j] * scale[j]
    for i in range(m):
        for j in range(features):
            y[i, j] = (x[i, j] - mu[j]) * scale[j] + shift[j]


@jit
def backward(
    dy: Array,
    x: Array,
    mu: Array,
    rest: Array,
    inv_std: Array,
    gamma: Array,
    dx: Array,
    dgamma: Array,
    dbeta: Array,
    slope: Array,
    level: Array,
) -> None:
    """Gradients of batch normalization in training: writes ``dx``, ``dgamma``, ``dbeta``, ``slope``, ``level``.

    With x_hat = (x - mu) inv_std the chain rule through mu and var collapses to one line a feature::

        dx = gamma inv_std (dy - mean(dy) - x_hat mean(dy x_hat))
    """
    m, features = dy.shape
    one_over_m = dy.dtype.type(np.float64(1) / m)

    # dbeta = sum(dy)      dgamma = sum(dy x_hat)
    dgamma[:] = 0
    dbeta[:] = 0
    for i in range(m):
        for j in range(features):
            dbeta[j] += dy[i, j]
            dgamma[j] += dy[i, j] * (x[i, j] - mu[j])
    for j in range(features):
        dgamma[j] = (dgamma[j] - dbeta[j] * rest[j]) * inv_std[j]

    # dx is linear in dy and x: dx = gamma inv_std dy - slope (x - mu) - level
    for j in range(features):
        scale = gamma[j] * inv_std[j]
        slope[j] = scale * inv_std[j] * dgamma[j] * one_over_m
        level[j] = scale * dbeta[j] * one_over_m - slope[j] * rest[j]
    for i in range(m):
        for j in range(features):
            dx[i, j] = gamma[j] * inv_std[j] * dy[i, j] - slope[j] * (x[i, j] - mu[j]) - level[j]


@jit
def update_running(
    mu: Array, rest: Array, var: Array, m: int, decay: float, running_mean: Array, running_var: Array
) -> None:
    """Move the running statistics toward the batch's: running = decay running + (1 - decay) batch.

    The running variance takes the unbiased batch variance, m/(m - 1) var, as the paper's Algorithm 2 does.
    """
    for j in range(mu.shape[0]):
        running_mean[j] = decay * running_mean[j] + (1 - decay) * (mu[j] + rest[j])
        running_var[j] = decay * running_var[j] + (1 - decay) * var[j] * (np.float64(m) / (m - 1))


@jit
def inference(
    x: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array, eps: float, y: Array, scale: Array
) -> None:
    """Normalize with fixed statistics: y = gamma (x - running_mean) / sqrt(running_var + eps) + beta.

    Writes ``y`` and ``scale``, the gamma / sqrt(running_var + eps) of each feature.
    """
    m, features = x.shape
    for j in range(features):
        scale[j] = gamma[j] / (running_var[j] + eps) ** 0.5
    for i in range(m):
        for j in range(features):
            y[i, j] = scale[j] * (x[i, j] - running_mean[j]) + beta[j]
