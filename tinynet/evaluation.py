"""Evaluation: a network's mean loss and accuracy over a data set."""

from __future__ import annotations

import math

import numpy as np

from tinynet import arguments
from tinynet.arguments import Examples
from tinynet.datasets import Dataset
from tinynet.losses import Loss, MeanSquaredError
from tinynet.network import Network
from tinynet.typing import Array

EVALUATION_ROWS = 1000  # at a time: the activations of so many rows stay in the processor's cache


def evaluate(net: Network, data: Examples, loss: Loss | type[Loss] | None = None) -> tuple[float, float]:
    """Return mean loss and accuracy over a data set, in inference mode.

    Parameters
    ----------
    net : Network
    data : Dataset, or pair of arrays (x, y)
    loss : SoftmaxCrossEntropy or MeanSquaredError
        By default SoftmaxCrossEntropy.

    Returns
    -------
    loss, accuracy : float
        Accuracy is the share of examples whose largest output is at the label; nan for a regression, and where the
        loss is not finite: such a network has diverged, and has no accuracy.

    Raises
    ------
    InputError, ShapeError, DataError
        If the data do not suit the network and the loss.

    Warns
    -----
    UserWarning
        As `fit`: the loss is then not that of the probabilities; the accuracy is right.
    """
    loss = arguments.as_loss(loss)
    return of_checked(net, arguments.check_data(net, data, loss, "data"), loss)


def of_checked(net: Network, data: Dataset, loss: Loss) -> tuple[float, float]:
    """Return what `evaluate` does, of data that were checked."""
    total, correct = 0.0, 0
    with np.errstate(all="ignore"):  # a network that diverged has a loss that is not finite: that says it
        for start in range(0, len(data), EVALUATION_ROWS):
            x, y = data.x[start : start + EVALUATION_ROWS], data.y[start : start + EVALUATION_ROWS]
            outputs = net.forward(x)
            total += loss(outputs, y)[0] * len(x)
            correct += _correct(outputs, y)
    classifies = data.y.ndim == 1 and not isinstance(loss, MeanSquaredError)
    has_accuracy = classifies and math.isfinite(total)  # of outputs that are nan the largest is the first
    return total / len(data), correct / len(data) if has_accuracy else math.nan


def _correct(outputs: Array, y: Array) -> int:
    return int(np.count_nonzero(outputs.argmax(axis=1) == y)) if y.ndim == 1 else 0
