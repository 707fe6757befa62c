"""How a network runs: the first batch of a shape goes through the layers, the next ones repeat its kernel calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np

from tinynet.machinery.recording import Recorder
from tinynet.typing import Array

MOST = 8  # batch sizes for which arrays are kept
REPLAYED_ROWS = 1024  # predictions for more at a time cost so much that calling the layers from Python does not show

Forward = Callable[[Array, bool], list[Array]]  # x, training -> every node's output, x first
Backward = Callable[[Array, bool], Array | None]  # dy, input_gradient -> dx, or None


class RecordedLayer(Protocol):
    """What is needed of a layer; see `tinynet.Layer`."""

    replayable: ClassVar[bool]
    recorder: Recorder | None
    kept: tuple[Any, ...] | None
    kept_shape: tuple[int, ...]
    buffers: dict[tuple[Any, ...], Array]
    gradients: dict[tuple[Any, ...], Array]


@dataclass
class Passes:
    """A network's forward and backward passes, each recorded when it is new, else replayed.

    Parameters
    ----------
    layers : sequence of Layer
        In the order in which they run.
    features : int
        Of a batch (rows, features).
    dtype : dtype
        Of every array.

    Attributes
    ----------
    values : list of ndarray
        Every node's output in the last training forward, the batch first.
    replayable : bool
        Whether all layers only call kernels. If not, every pass goes through them.
    """

    layers: Sequence[RecordedLayer]
    features: int
    dtype: np.dtype[Any]
    values: list[Array] = field(default_factory=list)
    recorder: Recorder = field(default_factory=Recorder)
    batches: dict[int, Array] = field(default_factory=dict)  # by number of rows

    def __post_init__(self) -> None:
        self.replayable = all(layer.replayable for layer in self.layers)
        for layer in self.layers:
            layer.recorder = self.recorder

    def train(self, x: Array, through_layers: Forward) -> Array:
        """Return the output of a training forward; the next batch of its size is written over it."""
        batch = self.batch(len(x))
        if x is not batch:
            np.copyto(batch, x)  # x may change before backward
        if not self.replayable:
            self.values = through_layers(batch, True)
            return self.values[-1]
        key, recorder = ("training", len(x)), self.recorder
        known = recorder.get(key)
        if known is None:
            for flag in (False, True):  # they may go back through arrays of a pass that was forgotten
                recorder.pop(("backward", len(x), flag), None)
            with recorder.recording(key, batch) as known:
                known.arrays = through_layers(batch, True)
            known.kept = [(layer.kept, layer.kept_shape) for layer in self.layers]
        else:
            known.replay(batch)
            if known is not recorder.last:
                for layer, kept in zip(self.layers, known.kept, strict=True):
                    layer.kept, layer.kept_shape = kept
        recorder.last, self.values = known, known.arrays
        return known.arrays[-1]

    def back(self, dy: Array, input_gradient: bool, back_through_layers: Backward) -> Array | None:
        """Return what the backward pass of the last training forward returns."""
        if not self.replayable:
            return back_through_layers(dy, input_gradient)
        key = "backward", len(dy), input_gradient
        known = self.recorder.get(key)
        if known is None:
            with self.recorder.recording(key, dy) as known:
                known.gradient = back_through_layers(dy, input_gradient)
        else:
            known.replay(dy)
        return known.gradient

    def predict(self, x: Array, through_layers: Forward) -> Array:
        """Return the output at test time, a new array. Two threads may ask at once: the second calls the layers."""
        recorder = self.recorder
        if not self.replayable or len(x) > REPLAYED_ROWS or not recorder.lock.acquire(blocking=False):
            return through_layers(x, False)[-1]
        try:
            key = "inference", x.shape
            known = recorder.get(key)
            if known is None:
                if len(recorder) >= 3 * MOST:
                    self.forget()
                with recorder.recording(key, x) as known:
                    known.arrays = [through_layers(x, False)[-1]]
            else:
                known.replay(x)
            return known.arrays[0].copy()
        finally:
            recorder.lock.release()

    def batch(self, rows: int) -> Array:
        """Return the array in which a training batch of so many rows lies: `train` copies any other into it first."""
        if rows not in self.batches:
            if len(self.batches) >= MOST:
                self.forget()
            self.batches[rows] = np.empty((rows, self.features), self.dtype)
        return self.batches[rows]

    def forget(self) -> None:
        """Forget all recorded passes, with the arrays that the layers have for them."""
        self.recorder.clear()
        self.batches.clear()
        for layer in self.layers:
            layer.buffers.clear()
            layer.gradients.clear()
