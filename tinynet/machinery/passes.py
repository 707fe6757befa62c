"""How a network runs: the first batch of a shape goes through the layers, the next ones repeat its kernel calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from tinynet.machinery.recording import METHODS, Known, Pass, Recorder
from tinynet.typing import Array

MEMORY = 2**26
"""Bytes of outputs that a network keeps for batches of all sizes in training, and as many for predictions."""
EACH = 2**16  # bytes of a recorded pass besides its arrays, about

Forward = Callable[[Array, bool], list[Array]]  # x, training -> every node's output, x first
Backward = Callable[[Array, bool], Array | None]  # dy, input_gradient -> dx, or None


class RecordedLayer(Protocol):
    """What is needed of a layer; see `tinynet.Layer`."""

    recorder: Recorder | None
    kept: tuple[tuple[int, ...], tuple[Any, ...]] | None
    buffers: dict[tuple[Any, ...], Array]
    gradients: dict[tuple[Any, ...], Array]


@dataclass
class Passes:
    """A network's forward and backward passes, each recorded when it is new, else replayed.

    Parameters
    ----------
    layers : sequence of Layer
        In the order in which they run.
    features : sequence of int
        Of the input and of each layer's output.
    dtype : dtype
        Of every array.

    Attributes
    ----------
    values : list of ndarray
        Every node's output in the last training forward, the batch first.
    """

    layers: Sequence[RecordedLayer]
    features: Sequence[int]
    dtype: np.dtype[Any]
    values: list[Array] = field(default_factory=list)
    recorder: Recorder = field(default_factory=Recorder)
    batches: dict[int, Array] = field(default_factory=dict)  # by number of rows

    def __post_init__(self) -> None:
        for layer in self.layers:
            layer.recorder = self.recorder

    def train(self, x: Array, through_layers: Forward) -> Array:
        """Return the output of a training forward; the next batch of its size is written over it."""
        rows = len(x)
        if x is self.batches.get(rows):
            self._set_kept(None)
            batch = x
        else:
            batch = self.batch(rows)
            np.copyto(batch, x)  # x may change before backward
        known = self.recorder.known
        if not _replayable(self.layers, known):
            known.last = None
            self.values = self.recorder.through(None, through_layers, batch, True)
            return self.values[-1]
        last, found = known.last, known.training.pop(rows, None)
        if found is None:
            found = Pass()
            found.arrays = self.recorder.through(found.calls, through_layers, batch, True)
            found.kept = [layer.kept for layer in self.layers]
        else:
            found.replay()
            if found is not last:
                known.last = None
                for layer, kept in zip(self.layers, found.kept, strict=True):
                    layer.kept = kept
        known.training[rows], self.values = found, found.arrays
        known.last = found
        self._set_kept(found.kept[-1])
        return found.arrays[-1]

    def back(self, dy: Array, input_gradient: bool, back_through_layers: Backward) -> Array | None:
        """Return what the backward pass of the last training forward returns."""
        known = self.recorder.known
        last = known.last
        if last is None or not _replayable(self.layers, known):
            return self.recorder.through(None, back_through_layers, dy.copy(), input_gradient)
        found = last.backward.pop(input_gradient, None)
        if found is None:
            found = Pass(arrays=[dy.copy()])  # dy may be a gradient, which is written over on the way
            found.gradient = self.recorder.through(found.calls, back_through_layers, found.arrays[0], input_gradient)
        else:
            np.copyto(found.arrays[0], dy)
            found.replay()
        last.backward[input_gradient] = found
        return found.gradient

    def predict(self, x: Array, through_layers: Forward) -> Array:
        """Return the output at test time, a new array; in any thread, at any time."""
        known = self.recorder.known
        if not _replayable(self.layers, known):
            return self.recorder.through(None, through_layers, x, False)[-1]
        idle = known.predictions.get(x.shape)
        if idle is None:
            if 2 * self._size(len(x)) > MEMORY:
                return self.recorder.through(None, through_layers, x, False)[-1]
            if sum(self._size(rows) for rows, _ in [x.shape, *known.predictions]) > MEMORY:
                known.predictions.clear()
            idle = known.predictions.setdefault(x.shape, [])
        try:
            found = idle.pop()
        except IndexError:
            found = Pass(x.copy())  # at an address where no other array is
            found.arrays = self.recorder.through(found.calls, through_layers, found.source, False)[-1:]
        else:
            found.replay(x)
        y = found.arrays[0].copy()
        idle.append(found)
        return y

    def batch(self, rows: int) -> Array:
        """Return the array in which a training batch of so many rows lies: `train` copies any other into it first.

        With it the last training forward is over: until another one has come to its end, nothing leads back.
        """
        self._set_kept(None)
        if rows not in self.batches:
            if sum(map(self._size, [rows, *self.batches])) > MEMORY:
                self.forget()
            self.batches[rows] = np.empty((rows, self.features[0]), self.dtype)
        return self.batches[rows]

    def _set_kept(self, kept: Any) -> None:
        """Say what leads back from the last layer, and so from the network: what backward of all others hangs on."""
        vars(self.layers[-1])["kept"] = kept  # not through the layer's door, which is slower

    def _size(self, rows: int) -> int:
        """Return how many bytes a batch's outputs take, with what it takes to replay them."""
        return rows * sum(self.features) * self.dtype.itemsize + EACH

    def forget(self) -> None:
        """Forget all recorded passes, with the arrays that the layers have for them."""
        self.recorder.forget()
        self.batches.clear()
        for layer in self.layers:
            layer.buffers.clear()
            layer.gradients.clear()


def _replayable(layers: Sequence[Any], known: Known) -> bool:
    """Tell whether all layers do what their classes say: nothing but call kernels, by the methods they had then."""
    if known.kinds is None:
        kinds = tuple({type(layer) for layer in layers})
        # a method of the instance's own, assigned to it, hides its class's
        own = any(callable(getattr(type(layer), name, None)) for layer in layers for name in list(vars(layer)))
        able = not own and all(layer.replayable for layer in layers)
        known.kinds, known.promises = (kinds, tuple(kind.methods for kind in kinds)) if able else ((), None)
    return tuple(map(METHODS, known.kinds)) == known.promises
