"""Losses, which training makes small: ``loss(outputs, targets)`` returns the batch's mean loss and its gradient."""

import numpy as np

from tinynet import kernels
from tinynet.arrays import as_array, check_array, classes_hint, labels_hint
from tinynet.errors import DataError, InputError, ShapeError
from tinynet.typing import Array


class SoftmaxCrossEntropy:
    """The mean over the batch of -log softmax(logits)[label], for integer labels.

    The outputs are logits, as the last `Dense` layer gives them. Softmax and logarithm are computed together, since
    one after the other they overflow. The unit is the nat: guessing among n classes costs log(n). The gradient is
    (softmax(logits) - one_hot(label)) / batch.

    Examples
    --------
    >>> import numpy as np
    >>> import tinynet as tn
    >>> loss, dlogits = tn.SoftmaxCrossEntropy()(np.zeros((1, 2)), np.array([0]))
    >>> round(loss, 4), dlogits.tolist()  # log 2
    (0.6931, [[-0.5, 0.5]])
    """

    def __call__(self, outputs: Array, targets: Array) -> tuple[float, Array]:
        """Return the mean loss and d loss / d outputs.

        Parameters
        ----------
        outputs : ndarray (batch, classes)
            Logits.
        targets : ndarray of int (batch,)
            Class numbers, 0 to classes - 1.

        Raises
        ------
        InputError, ShapeError, DataError
            If the outputs are not float, or the targets are not one class number for each example.
        """
        outputs, targets = check_array(outputs, "SoftmaxCrossEntropy"), as_array(targets, "targets")
        self.check(targets, len(outputs), outputs.shape[1])
        gradient = np.empty_like(outputs)
        return self.write(outputs, targets, gradient), gradient

    def write(self, outputs: Array, targets: Array, gradient: Array) -> float:
        """Return the mean loss and write its gradient into ``gradient``; nothing is checked."""
        return float(kernels.softmax.cross_entropy(outputs, targets, gradient))

    def check(self, targets: Array, examples: int, units: int) -> None:
        """Raise ShapeError or DataError unless ``targets`` are a label below ``units`` for each of ``examples``."""
        targets = np.asarray(targets)
        if targets.shape != (examples,) or targets.dtype.kind not in "iu":
            raise ShapeError(
                f"SoftmaxCrossEntropy: targets must be {examples} integer labels, "
                f"got shape {targets.shape} of {targets.dtype}{labels_hint(targets)}"
            )
        if examples == 0:
            raise DataError("SoftmaxCrossEntropy: the batch is empty")
        low, high = targets.min(), targets.max()
        if low < 0 or high >= units:
            raise DataError(
                f"SoftmaxCrossEntropy: labels run from {low} to {high}, "
                f"but the network has {units} outputs (0 to {units - 1}){classes_hint(targets, units)}"
            )


class MeanSquaredError:
    """The mean over batch and units of (outputs - targets)^2, for regression."""

    def __call__(self, outputs: Array, targets: Array) -> tuple[float, Array]:
        """Return the mean loss and d loss / d outputs = 2 (outputs - targets) / (batch units).

        Parameters
        ----------
        outputs, targets : ndarray (batch, units)
            With one unit, targets may also be (batch,).

        Raises
        ------
        ShapeError, InputError, DataError
            If the targets are not numbers of the outputs' shape, or the batch is empty.
        """
        outputs, targets = check_array(outputs, "MeanSquaredError"), as_array(targets, "targets")
        self.check(targets, len(outputs), outputs.shape[1])
        gradient = np.empty_like(outputs)
        return self.write(outputs, targets, gradient), gradient

    def write(self, outputs: Array, targets: Array, gradient: Array) -> float:
        """Return the mean loss and write its gradient into ``gradient``; nothing is checked."""
        error = np.subtract(outputs, np.asarray(targets, outputs.dtype).reshape(outputs.shape), out=gradient)
        loss = float(np.mean(np.square(error), dtype=np.float64))
        error *= 2 / error.size
        return loss

    def check(self, targets: Array, examples: int, units: int) -> None:
        """Raise ShapeError, InputError or DataError unless ``targets`` are numbers of shape (examples, units)."""
        shape = np.shape(targets)
        if shape != (examples, units) and (shape, units) != ((examples,), 1):
            raise ShapeError(
                f"MeanSquaredError: targets must have the outputs' shape {(examples, units)}, got {shape}"
            )
        if np.asarray(targets).dtype.kind not in "fiu":
            raise InputError("MeanSquaredError: targets must be numbers")
        if examples == 0:
            raise DataError("MeanSquaredError: the batch is empty")


Loss = SoftmaxCrossEntropy | MeanSquaredError
