"""Where branches of a graph meet: sums, copies, and blocks of columns."""

from tinynet.kernels.jit import jit
from tinynet.typing import Array


@jit
def copy(x: Array, y: Array) -> None:
    """Write y = x."""
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            y[i, j] = x[i, j]


@jit
def add(a: Array, b: Array, y: Array) -> None:
    """Write y = a + b; y may be a or b."""
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            y[i, j] = a[i, j] + b[i, j]


@jit
def write_columns(x: Array, y: Array, start: int) -> None:
    """Write x into the columns of y from ``start`` on."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            y[i, start + j] = x[i, j]


@jit
def read_columns(y: Array, start: int, x: Array) -> None:
    """Write the columns of y from ``start`` on into x."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            x[i, j] = y[i, start + j]
