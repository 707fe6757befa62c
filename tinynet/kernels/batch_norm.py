"""Batch normalization: training forward, backward, running statistics, inference.

The symbols are those of Ioffe and Szegedy (2015), Algorithms 1 and 2; ``docs/batch_norm.md`` derives the
backward pass in the same names. A number in a comment, (1), is that page's equation.
Arrays are C-ordered ``(m, features)``, vectors have one entry a feature.
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
    correction: Array,
    var: Array,
    inv_std: Array,
) -> None:
    """Normalize each feature over the batch: the paper's Algorithm 1.

    Reads ``x, gamma, beta``; writes the others. ``var`` is the biased batch variance (1/m). The batch mean is
    ``mu + correction``: ``correction`` is what rounding left.
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

    # In a second pass: E[x^2] - E[x]^2 cancels, and in float32 on data at 1000 +- 0.1 gives negative variances. The
    # mean of (x - mu), zero in exact arithmetic, is what rounding left in mu: the correction. Taking it out keeps full
    # accuracy when mu is large beside the deviation (Chan et al. 1983, eq. 1.7).
    # (10) correction = 1/m sum(x - mu)
    # (2)  var = 1/m sum((x - mu)^2)
    correction[:] = 0
    var[:] = 0
    for i in range(m):
        for j in range(features):
            centred = x[i, j] - mu[j]
            correction[j] += centred
            var[j] += centred * centred
    for j in range(features):
        correction[j] *= one_over_m
        var[j] = var[j] * one_over_m - correction[j] * correction[j]
        if var[j] < 0:  # only by rounding; a NaN stays a NaN
            var[j] = 0
        if var[j] == np.inf:  # x - mu overflowed: 1 / sqrt(inf) would give x_hat = 0, which is wrong and looks right
            var[j] = np.nan
        inv_std[j] = 1 / (var[j] + eps) ** 0.5

    for i in range(m):
        for j in range(features):
            # (3)  x_hat = (x - mu) / sqrt(var + eps)
            x_hat = (x[i, j] - mu[j] - correction[j]) * inv_std[j]
            # (4)  y = gamma x_hat + beta
            y[i, j] = gamma[j] * x_hat + beta[j]


@jit
def backward(
    dy: Array,
    x: Array,
    mu: Array,
    correction: Array,
    inv_std: Array,
    gamma: Array,
    dx: Array,
    dgamma: Array,
    dbeta: Array,
    of_centred: Array,
    constant: Array,
) -> None:
    """Gradients of batch normalization in training: writes ``dx``, ``dgamma``, ``dbeta`` and the two coefficients.

    With x_hat = (x - mu) inv_std the chain rule through mu and var collapses to one line a feature::

        dx = gamma inv_std (dy - mean(dy) - x_hat mean(dy x_hat))         (6)
           = of_dy dy - of_centred (x - mu) - constant                    (7)
    """
    m, features = dy.shape
    one_over_m = dy.dtype.type(np.float64(1) / m)

    # (5)  dgamma = sum(dy x_hat),  dbeta = sum(dy)
    # The sweep sums dy (x - mu); what is the same for all examples, correction and inv_std, comes after it.
    dgamma[:] = 0
    dbeta[:] = 0
    for i in range(m):
        for j in range(features):
            dbeta[j] += dy[i, j]
            dgamma[j] += dy[i, j] * (x[i, j] - mu[j])
    for j in range(features):
        dgamma[j] = (dgamma[j] - dbeta[j] * correction[j]) * inv_std[j]

    # (6)  the coefficients:  mean(dy) = dbeta / m,  mean(dy x_hat) = dgamma / m
    for j in range(features):
        of_dy = gamma[j] * inv_std[j]
        of_centred[j] = of_dy * inv_std[j] * dgamma[j] * one_over_m
        constant[j] = of_dy * dbeta[j] * one_over_m - of_centred[j] * correction[j]

    # (7)  dx = of_dy dy - of_centred (x - mu) - constant
    for i in range(m):
        for j in range(features):
            of_dy = gamma[j] * inv_std[j]
            dx[i, j] = of_dy * dy[i, j] - of_centred[j] * (x[i, j] - mu[j]) - constant[j]


@jit
def update_running(
    mu: Array, correction: Array, var: Array, m: int, decay: float, running_mean: Array, running_var: Array
) -> None:
    """Move the running statistics toward the batch's; its variance is the unbiased one, as in Algorithm 2."""
    # (8)  running_mean = decay running_mean + (1 - decay) mu
    # (9)  running_var = decay running_var + (1 - decay) m/(m - 1) var
    for j in range(mu.shape[0]):
        running_mean[j] = decay * running_mean[j] + (1 - decay) * (mu[j] + correction[j])
        running_var[j] = decay * running_var[j] + (1 - decay) * var[j] * (np.float64(m) / (m - 1))


@jit
def inference(
    x: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array, eps: float, y: Array, inv_std: Array
) -> None:
    """Normalize with fixed statistics: equations (3) and (4) with the running ones. Writes ``y`` and ``inv_std``."""
    m, features = x.shape
    for j in range(features):
        inv_std[j] = 1 / (running_var[j] + eps) ** 0.5
    for i in range(m):
        for j in range(features):
            # (3)  x_hat = (x - running_mean) / sqrt(running_var + eps)
            x_hat = (x[i, j] - running_mean[j]) * inv_std[j]
            # (4)  y = gamma x_hat + beta
            y[i, j] = gamma[j] * x_hat + beta[j]
