"""Softmax and its cross-entropy, one row an example."""

import math

import numpy as np

from tinynet.kernels.jit import jit
from tinynet.typing import Array


@jit
def forward(x: Array, y: Array) -> None:
    """Write softmax of each row: y = exp(x - max x) / sum(exp(x - max x)); the shift keeps exp from overflowing."""
    m, features = x.shape
    for i in range(m):
        largest = x[i, 0]
        for j in range(features):
            if x[i, j] > largest:
                largest = x[i, j]
        total = 0.0
        for j in range(features):
            y[i, j] = math.exp(x[i, j] - largest)
            total += y[i, j]
        for j in range(features):
            y[i, j] /= total


@jit
def backward(dy: Array, y: Array, dx: Array) -> None:
    """Write dx = y (dy - sum(dy y)), row by row."""
    m, features = dy.shape
    for i in range(m):
        inner = 0.0
        for j in range(features):
            inner += dy[i, j] * y[i, j]
        for j in range(features):
            dx[i, j] = y[i, j] * (dy[i, j] - inner)


@jit
def cross_entropy(logits: Array, labels: Array, dlogits: Array) -> float:
    """Return the mean of -log softmax(logits)[label] and write its gradient (softmax - one_hot(label)) / m.

    log softmax = x - max - log sum exp(x - max): finite for logits of any finite size.
    """
    m, classes = logits.shape
    loss = np.float64(0)
    for i in range(m):
        largest = logits[i, 0]
        for j in range(classes):
            if logits[i, j] > largest:
                largest = logits[i, j]
        total = 0.0
        for j in range(classes):
            dlogits[i, j] = math.exp(logits[i, j] - largest)
            total += dlogits[i, j]
        for j in range(classes):
            dlogits[i, j] /= total * m
        label = labels[i]
        dlogits[i, label] -= 1 / m
        # in double (Numba's float() leaves a float32 one): float32 logits of +-1e4 would lose small differences
        loss += math.log(total) - (np.float64(logits[i, label]) - np.float64(largest))
    return float(loss / m)
