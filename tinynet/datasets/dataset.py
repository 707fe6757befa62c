"""Data sets, and the mini-batches drawn from them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinynet.arrays import as_array, labels_hint
from tinynet.errors import DataError
from tinynet.settings import count
from tinynet.typing import Array


@dataclass(frozen=True, eq=False)
class Dataset:
    """Examples ``x`` and targets ``y``, from arrays.

    Parameters
    ----------
    x : array_like (examples, ...)
        Finite numbers. They are kept as a C-ordered array (examples, features), in float64 if they were, else in
        float32; axes after the first are flattened. Values are not scaled.
    y : array_like (examples,) of int, or (examples, outputs) of float
        Labels for a classifier, numbers for a regression. A column of integers becomes (examples,); floats of shape
        (examples,) become a column.

    Raises
    ------
    DataError
        If there are no examples, the lengths differ, or a value is not finite; the message says which.

    Examples
    --------
    >>> import numpy as np
    >>> import tinynet as tn
    >>> images = np.zeros((100, 28, 28), "uint8")
    >>> data = tn.Dataset(images / np.float32(255), np.arange(100) % 10)
    >>> data
    Dataset(100 examples, 784 features of float32, labels 0 to 9)
    >>> data[:60]  # also a mask, or row numbers
    Dataset(60 examples, 784 features of float32, labels 0 to 9)
    """

    x: Array
    y: Array

    def __post_init__(self) -> None:
        x, y = as_array(self.x, "Dataset: x"), as_array(self.y, "Dataset: y")
        for name, values in (("x", x), ("y", y)):
            if values.dtype.kind not in "fiub":
                hint = labels_hint(y) if name == "y" else ""
                raise DataError(f"Dataset: {name} must be numbers, not {values.dtype}{hint}")
        if x.ndim < 2 or x.size == 0:
            raise DataError(f"Dataset: x must be (examples, features) and not empty, got shape {x.shape}")
        if y.ndim not in (1, 2) or len(y) != len(x):
            hint = "; give y.ravel()" if y.size == len(x) else ""
            raise DataError(f"Dataset: y must have one row for each of {len(x)} examples, got shape {y.shape}{hint}")
        if y.shape == (len(x), 1) and y.dtype.kind in "iub":
            y = y.ravel()
        x = np.ascontiguousarray(x.reshape(len(x), -1), np.float64 if x.dtype == np.float64 else np.float32)
        y = np.ascontiguousarray(y, np.int64 if y.ndim == 1 and y.dtype.kind in "iub" else None)
        if y.dtype.kind == "f" and y.ndim == 1:
            y = y[:, None]
        for name, values in (("x", x), ("y", y)):
            _check_finite(name, values)
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "y", y)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Any) -> Dataset:
        """Return some of the examples: a slice, a mask or row numbers."""
        return Dataset(self.x[rows], self.y[rows])

    def fingerprint(self) -> str:
        """Return text that no other data set has: a description, and the SHA-256 of the numbers."""
        digest = hashlib.sha256(self.x.data)
        digest.update(self.y.data)
        return f"{self!r} with SHA-256 {digest.hexdigest()}"

    def __repr__(self) -> str:
        kind = f"labels {self.y.min()} to {self.y.max()}" if self.y.ndim == 1 else f"{self.y.shape[1]} targets"
        return f"Dataset({len(self)} examples, {self.x.shape[1]} features of {self.x.dtype}, {kind})"


def _check_finite(name: str, values: Array) -> None:
    if values.dtype.kind != "f":
        return
    with np.errstate(over="ignore", invalid="ignore"):
        if math.isfinite(values.sum()):  # a nan or inf makes the sum so; five times faster than isfinite().all()
            return
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = bad[0]
        raise DataError(
            f"Dataset: {name}[{row}, {column}] is {values[row, column]}; values that are nan or inf: {len(bad)}; "
            "remove those examples or fill the values in"
        )


def division(examples: int, batch_size: int) -> tuple[int, int, int]:
    """Return the number of batches of an epoch, their size, and how many (the first) have one example more.

    The last batch may be short; `Batches` explains when.
    """
    size = min(batch_size, examples)
    batches, rest = -(-examples // size), examples % size
    if 2 * rest > size:
        return batches, size, 0
    if size == 2:
        batches = examples // 2  # an odd example joins the first batch: alone it would have no variance
    return batches, *divmod(examples, batches)


class Batches:
    """Endless shuffled mini-batches: each epoch takes every example once, in a new order.

    The last batch of an epoch is short if the batch size does not divide the set. If it had half as many examples as
    the others or fewer, all batches are made equal instead, to within one example, as by `numpy.array_split`: the
    statistics of a few examples harm batch normalization. The rule does not depend on the network, so a network
    without batch normalization sees the same batches. A batch has one example only if the batch size or the set is 1.

    The next batch overwrites the arrays of this one.

    Parameters
    ----------
    data : Dataset
    batch_size : int
        At most the whole set.
    rng : numpy.random.Generator
        Draws each epoch's order.
    empty : callable
        ``empty(rows)`` returns an array (rows, features), into which a batch is copied.
    at_least : int
        How many examples a batch needs: 2 for batch normalization.

    Raises
    ------
    InputError, DataError
        If the batch size or the data set is smaller than ``at_least``.

    Notes
    -----
    ``taken`` counts the batches of this epoch so far, and ``epoch_rng`` is the generator's state before its order was
    drawn: from both, other `Batches` can continue.
    """

    def __init__(
        self,
        data: Dataset,
        batch_size: int,
        rng: np.random.Generator,
        empty: Callable[[int], Array],
        at_least: int = 1,
    ) -> None:
        where = "batch_size in a network with batch normalization" if at_least > 1 else "batch_size"
        batch_size = count(where, batch_size, at_least)
        if len(data) < at_least:
            raise DataError(f"the training set has {len(data)} example, batch normalization needs {at_least}")
        self.data, self.rng, self.empty = data, rng, empty
        self.taken, self.epoch_rng = 0, rng.bit_generator.state
        self.size = min(batch_size, len(data))
        self.per_epoch = division(len(data), batch_size)[0]

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        """Yield (x, y) without end."""
        data = self.data
        _, size, larger = division(len(data), self.size)
        y = np.empty((size + 1, *data.y.shape[1:]), data.y.dtype)
        while True:
            self.epoch_rng = self.rng.bit_generator.state
            order = self.rng.permutation(len(data))
            for k in range(self.taken, self.per_epoch):
                start = k * size + min(k, larger)
                rows = order[start : start + size + (k < larger)]
                self.taken = k + 1
                x_batch, y_batch = self.empty(len(rows)), y[: len(rows)]
                # mode="clip" lets NumPy write to `out` directly; the row numbers are in range anyway
                if x_batch.dtype == data.x.dtype:
                    np.take(data.x, rows, axis=0, out=x_batch, mode="clip")
                else:
                    x_batch[...] = data.x[rows]
                np.take(data.y, rows, axis=0, out=y_batch, mode="clip")
                yield x_batch, y_batch
            self.taken = 0
