"""The dense layer besides its matrix products: the bias."""

from tinynet.kernels.jit import jit
from tinynet.typing import Array


@jit
def add_bias(y: Array, b: Array) -> None:
    """Add b to every row of y, in place."""
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            y[i, j] += b[j]


@jit
def bias_gradient(dy: Array, db: Array) -> None:
    """Write db = sum of dy over the batch."""
    db[:] = 0
    for i in range(dy.shape[0]):
        for j in range(dy.shape[1]):
            db[j] += dy[i, j]
