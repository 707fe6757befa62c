"""The arguments of `fit`, `evaluate` and `resume`: converted, or refused in a sentence that shows what to write."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinynet.datasets import Dataset
from tinynet.errors import DataError, InputError, ShapeError
from tinynet.history import History
from tinynet.layers import Layer, Softmax
from tinynet.losses import Loss, MeanSquaredError, SoftmaxCrossEntropy
from tinynet.network import Network
from tinynet.optimizers import SGD
from tinynet.settings import count

Examples = Dataset | tuple[ArrayLike, ArrayLike]
"""A `Dataset`, or the arrays x and y of one."""

LOSSES: list[type[Loss]] = [SoftmaxCrossEntropy, MeanSquaredError]
SQUARED = "mse", "l2", "squared", "mean_squared_error"  # how names of the mean squared error begin elsewhere


def as_network(given: Any) -> Network:
    """Return the given network."""
    if not isinstance(given, Network):
        hint = "; make one of layers by tn.Sequential([...], inputs=...)" if isinstance(given, Layer) else ""
        raise InputError(f"net: the first argument is the network, as tn.mlp makes it, not {_kind(given)}{hint}")
    return given


def as_loss(given: Any) -> Loss:
    """Return a loss; one that needs no settings may be given as its class."""
    is_class = isinstance(given, type) and given in LOSSES
    loss: Loss = given() if is_class else SoftmaxCrossEntropy() if given is None else given
    if not isinstance(loss, type) and all(hasattr(loss, name) for name in ("__call__", "check", "write")):
        return loss
    if isinstance(given, str):
        kind = MeanSquaredError if given.lower().startswith(SQUARED) else SoftmaxCrossEntropy
        raise InputError(f"loss={given!r}: write loss=tn.{kind.__name__}()")
    if isinstance(given, np.ndarray | list | tuple):
        raise InputError("loss: labels are given with their examples, as tn.Dataset(x, y)")
    raise InputError(f"loss: give tn.SoftmaxCrossEntropy() or tn.MeanSquaredError(), not {_kind(given)}")


def as_optimizer(given: Any) -> SGD:
    """Return the given optimizer, by default SGD."""
    optimizer: SGD = SGD(lr=0.1) if given is None else given
    if not isinstance(optimizer, type) and hasattr(optimizer, "attach") and hasattr(optimizer, "step"):
        return optimizer
    if given is SGD or isinstance(given, int | float):
        rate = 0.1 if given is SGD else given
        raise InputError(f"optimizer={_kind(given)}: write optimizer=tn.SGD(lr={rate})")
    name = repr(given) if isinstance(given, str) else _kind(given)
    raise InputError(f"optimizer={name}: tinynet has SGD; write optimizer=tn.SGD(lr=0.1, momentum=0.9)")


def as_callbacks(given: Any) -> list[Any]:
    """Return a list of callbacks; a single one may be given without a list."""
    if given is None:
        return []
    try:
        callbacks = [given] if hasattr(given, "on_step") else list(given)
    except TypeError:  # not iterable
        callbacks = [given]
    for callback in callbacks:
        if isinstance(callback, type):
            raise InputError(f"callbacks: {callback.__name__} is a class; write callbacks=[{callback.__name__}(...)]")
        if not all(hasattr(callback, f"on_{event}") for event in ("backward", "step", "record")):
            raise InputError(
                f"callbacks: {_kind(callback)} is no tn.Callback; make a class of it, with an on_step(self, run)"
            )
    return callbacks


def as_history(given: Any) -> History:
    """Return the history to add to, by default a new one."""
    if given is not None and not isinstance(given, History):
        raise InputError(f"history: give tn.History(), to which the records are added, not {_kind(given)}")
    return History() if given is None else given


def as_data(given: Any, y: Any = None) -> Any:
    """Return a pair of arrays as a `Dataset`, and anything else as it is, for `check_data`."""
    if y is not None:
        if isinstance(y, Dataset):
            raise InputError("fit: give the second data set as validation=...")
        if isinstance(given, Dataset):
            raise InputError("fit: the data set has its labels already; leave y out")
        return Dataset(given, y)
    pair = isinstance(given, tuple | list) and len(given) == 2
    return Dataset(*given) if pair else given


def check_sets(
    net: Network, train: Any, y: Any, validation: Any, loss: Loss, depth: int = 4
) -> tuple[Dataset, Dataset | None]:
    """Return both data sets; raise one clear error if one does not suit the network and loss."""
    train = check_data(net, as_data(train, y), loss, "train", depth)
    return train, None if validation is None else check_data(net, validation, loss, "validation", None)


def check_data(net: Network, given: Any, loss: Loss, name: str, depth: int | None = 3) -> Dataset:
    """Return a data set; raise one clear error if it does not suit the network and loss.

    If the network ends in `Softmax` and the loss has its own, a warning names the line ``depth`` calls up.
    """
    as_network(net)
    data = as_data(given)
    if not isinstance(data, Dataset):
        raise InputError(f"{name}: must be a tn.Dataset, not {_kind(data)}; wrap arrays: tn.Dataset(x, y)")
    if data.x.shape[1] != net.inputs:
        raise ShapeError(f"{name}: has {data.x.shape[1]} features, the network takes {net.inputs}")
    try:
        loss.check(data.y, len(data), net.outputs)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    except InputError as error:
        raise ShapeError(f"{name}: {error}") from None
    if depth and isinstance(loss, SoftmaxCrossEntropy) and isinstance(net.nodes[-1].layer, Softmax):
        least = math.log(math.e + net.outputs - 1) - 1  # the loss of outputs that are 1 at the label and 0 elsewhere
        warnings.warn(
            "the network ends in Softmax, and SoftmaxCrossEntropy takes logits: of probabilities it is never below "
            f"{least:.4f}, and learns slowly; leave that layer out, and apply tn.Softmax().forward to predictions",
            stacklevel=depth,
        )
    return data


def total_steps(epochs: object, steps: object, per_epoch: int) -> int:
    """Return how many updates a run makes."""
    if (epochs is None) == (steps is None):
        raise InputError("fit: give either epochs or steps")
    return count("fit: steps", steps) if epochs is None else count("fit: epochs", epochs) * per_epoch


def _kind(given: object) -> str:
    if isinstance(given, int | float):
        return repr(given)
    return given.__name__ if isinstance(given, type) else type(given).__name__
