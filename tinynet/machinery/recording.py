"""What a network remembers of its passes: the kernel calls of each, recorded once and replayed from then on.

A training step makes the same calls on the same arrays as the step before it. So the first batch of a shape goes
through the layers, whose calls are recorded; the next ones are a replay. ``docs/recording.md`` shows one step.

Whatever happens between two passes, or in the middle of one, a replay must do what the layers would do. Three rules
see to it. An assignment to a layer makes the network forget all its recordings (`Recorder.forget`). A recording is
taken off its shelf to be replayed and put back afterwards: another thread, or a signal's handler, does not find it,
and an interrupted one is lost, not half done. It is put back on the shelf that it came from: after `forget` that shelf
is not looked at again.
"""

from __future__ import annotations

import contextlib
import operator
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from tinynet.typing import Array, Call

if TYPE_CHECKING:
    from tinynet.machinery.replay import Replayer

MEMORY = 2**26
"""Bytes of outputs that a network keeps for batches of all sizes in training, and as many for predictions."""
EACH = 2**16  # bytes of a recording besides its arrays, about
METHODS = operator.attrgetter("forward", "backward", "parameter_gradients")


@dataclass
class Recording:
    """The kernel calls of one forward or backward pass, and the arrays that they read and write.

    Attributes
    ----------
    shelf : list of Recording, optional
        From where it was taken, and where it is put back. Without one nothing is recorded.
    new : bool
        Whether the pass has not come to its end yet, so that there is nothing to replay.
    calls : list of (kernel, arguments)
        In order.
    source : ndarray, optional
        Prediction: what it reads; a replay may read another array of its shape.
    values : list of ndarray
        Training forward: every node's output, the batch first. Prediction: the output. Backward: d loss / d output.
    gradient : ndarray, optional
        Backward: d loss / d input.
    saved : list
        Training forward: what each layer saved for backward.
    backward : dict of bool to list of Recording
        Training forward: the shelves of the passes back through it, with and without the gradient of the input.
    """

    shelf: list[Recording] | None = None
    new: bool = True
    calls: list[Call] = field(default_factory=list)
    source: Array | None = None
    values: list[Array] = field(default_factory=list)
    gradient: Array | None = None
    saved: list[Any] = field(default_factory=list)
    backward: dict[bool, list[Recording]] = field(default_factory=dict)
    recordings: Recordings | None = None  # training forward, until it is over: where it will be the last one
    replayer: Replayer | None = None

    def replay(self, source: Array | None = None) -> None:
        """Make the same calls on the same arrays, reading ``source`` in place of the one read before."""
        if self.replayer is None:
            from tinynet.machinery.replay import Replayer  # it loads Numba's compiler

            self.replayer = Replayer(self.calls, self.source)
        self.replayer.replay(source)

    def make_calls(self) -> None:
        """Make the calls: one by one the first time, which compiles the kernels, and as a replay from then on."""
        if not self.new:
            self.replay()
            return
        for kernel, arguments in self.calls:
            kernel(*arguments)
        self.new = False

    def put_back(self) -> None:
        """Put it on its shelf, for the next pass of its kind."""
        shelf, self.shelf = self.shelf, None  # no circle: what is forgotten is freed at once
        if shelf is not None:
            shelf.append(self)


@dataclass
class RepeatedCalls:
    """Calls that are made again and again, and listed anew when what they depend on is another object."""

    on: tuple[object, ...] = ()
    recording: Recording = field(default_factory=Recording)

    def make(self, on: tuple[object, ...], calls: Callable[[], list[Call]]) -> None:
        """Make the ``calls()`` that were listed for the same objects; ask for them if there are none."""
        if len(on) != len(self.on) or not all(map(operator.is_, on, self.on)):
            self.on = ()  # an interruption may come here
            self.recording = Recording(calls=calls())
            self.on = on
        self.recording.make_calls()


@dataclass
class Recordings:
    """All that was recorded since something was last assigned to a layer.

    Attributes
    ----------
    training : dict of int to list of Recording
        The shelves of training forwards, by number of rows.
    predictions : dict of shape to list of Recording
        Those of predictions; on one there are as many as were under way at once.
    last : Recording, optional
        The training forward whose arrays the layers hold for backward.
    kinds : tuple of type, optional
        The layers' classes; not known at first.
    promises : tuple, optional
        What the methods of these classes have to be for a replay, if one is possible.
    """

    training: dict[int, list[Recording]] = field(default_factory=dict)
    predictions: dict[tuple[int, ...], list[Recording]] = field(default_factory=dict)
    last: Recording | None = None
    kinds: tuple[Any, ...] | None = None
    promises: tuple[Any, ...] | None = None

    def can_replay(self, layers: Sequence[Any]) -> bool:
        """Tell whether all layers only call kernels, as their classes say, and by the methods they had then."""
        if self.kinds is None:
            kinds = tuple({type(layer) for layer in layers})
            # a method of the instance's own, assigned to it, hides its class's
            own = any(callable(getattr(type(layer), name, None)) for layer in layers for name in list(vars(layer)))
            able = not own and all(layer.replayable for layer in layers)
            self.kinds, self.promises = (kinds, tuple(kind.methods for kind in kinds)) if able else ((), None)
        return tuple(map(METHODS, self.kinds)) == self.promises


class RecordedLayer(Protocol):
    """What a recorder needs of a layer; see `tinynet.Layer`."""

    recorder: Recorder | NoRecorder
    saved: tuple[tuple[int, ...], tuple[Any, ...]] | None
    buffers: dict[tuple[Any, ...], Array]
    gradients: dict[tuple[Any, ...], Array]


class Recorder:
    """Where a network's layers note their calls, and what was recorded."""

    in_network = True

    def __init__(self) -> None:
        self.recordings = Recordings()
        self.noting: dict[int, list[Call] | None] = {}  # by thread

    def note(self, kernel: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Add a call to the recording that this thread makes, if it makes one."""
        calls = self.noting.get(threading.get_ident())
        if calls is not None:
            calls.append((kernel, arguments))

    def forget(self) -> None:
        """Forget all recordings."""
        self.recordings = Recordings()

    def forget_last(self) -> None:
        """Forget which training forward was the last: a layer saved something, perhaps when it was called alone."""
        self.recordings.last = None

    @contextlib.contextmanager
    def record(self, recording: Recording) -> Iterator[None]:
        """Record what layers call meanwhile in this thread, or nothing if the recording has no shelf."""
        thread = threading.get_ident()
        outer = self.noting.get(thread)  # of the pass that a signal's handler interrupts
        self.noting[thread] = recording.calls if recording.shelf is not None else None
        try:
            yield
            recording.new = False
        finally:
            if outer is None:
                self.noting.pop(thread, None)
            else:
                self.noting[thread] = outer

    def __reduce__(self) -> tuple[Any, ...]:
        return Recorder, ()  # a copy of the network records anew, since its arrays are others


class NoRecorder:
    """What a layer has in a recorder's place while it is in no network: nothing is recorded."""

    in_network = False

    def note(self, kernel: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Do nothing."""

    def forget(self) -> None:
        """Do nothing."""

    def forget_last(self) -> None:
        """Do nothing."""


class Recorded:
    """What a layer is to the network that records it.

    Attributes
    ----------
    recorder : Recorder or NoRecorder
        The network's, if the layer is part of one.
    replayable : bool
        Whether forward and backward do nothing but `call` kernels on arrays from `empty`: a network may then repeat
        the calls without the layer. Each class says so itself, since a subclass may do anything.
    methods : tuple of function
        Those of which the class says so.
    """

    replayable: ClassVar[bool] = False
    methods: ClassVar[tuple[Any, ...]] = ()
    recorder: Recorder | NoRecorder = NoRecorder()

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        cls.replayable = vars(cls).get("replayable", False)
        cls.methods = METHODS(cls) if cls.replayable else ()

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; what was recorded with the old one is forgotten.

        Before, since Ctrl-C may come between, and after, since another thread may record meanwhile.
        """
        if name != "saved":
            self.recorder.forget()
        super().__setattr__(name, value)
        if name != "saved":
            self.recorder.forget()

    def __delattr__(self, name: str) -> None:
        self.recorder.forget()
        super().__delattr__(name)
        self.recorder.forget()


class Passes:
    """A network's passes: the recording of each that is to be replayed or made, and the arrays of its batches.

    Parameters
    ----------
    layers : sequence of Layer
        In the order in which they are called.
    features : sequence of int
        Of the input and of each layer's output.
    dtype : dtype
        Of every array.
    """

    def __init__(self, layers: Sequence[RecordedLayer], features: Sequence[int], dtype: np.dtype[Any]) -> None:
        self.layers, self.features, self.dtype = layers, features, dtype
        self.recorder = Recorder()
        self.batches: dict[int, Array] = {}  # by number of rows
        for layer in layers:
            layer.recorder = self.recorder

    def training(self, batch: Array) -> Recording:
        """Return the recording of a training forward of as many rows as the batch; a new one if there is none."""
        recordings = self.recorder.recordings
        if not recordings.can_replay(self.layers):
            recordings.last = None
            return Recording()
        found = _taken(recordings.training.setdefault(len(batch), []))
        found.recordings = recordings
        return found

    def backward(self, dy: Array, input_gradient: bool) -> Recording:
        """Return the recording of a pass back through the last training forward, with ``dy`` in it."""
        last = self.recorder.recordings.last
        if last is None or not self.recorder.recordings.can_replay(self.layers):
            return Recording(values=[dy.copy()])
        found = _taken(last.backward.setdefault(input_gradient, []))
        if found.new:
            found.values = [dy.copy()]  # dy may be a gradient, which is written over on the way
        else:
            np.copyto(found.values[0], dy)
        return found

    def prediction(self, x: Array) -> Recording:
        """Return the recording of a prediction for as many rows as x; a new one if none is idle."""
        recordings = self.recorder.recordings
        if not recordings.can_replay(self.layers):
            return Recording(source=x)
        shelf = recordings.predictions.get(x.shape)
        if shelf is None:
            if 2 * self._size(len(x)) > MEMORY:
                return Recording(source=x)
            if sum(self._size(rows) for rows, _ in [x.shape, *recordings.predictions]) > MEMORY:
                recordings.predictions.clear()
            shelf = recordings.predictions.setdefault(x.shape, [])
        found = _taken(shelf)
        if found.new:
            found.source = x.copy()  # at an address where no other array is
        return found

    def finish_training(self, recording: Recording) -> None:
        """Make the training forward the last one, through which `backward` leads."""
        recordings, recording.recordings = recording.recordings, None
        if recordings is None:
            return
        if not recording.saved:  # it has just been recorded
            recording.saved = [layer.saved for layer in self.layers]
        elif recording is not recordings.last:
            recordings.last = None
            for layer, saved in zip(self.layers, recording.saved, strict=True):
                layer.saved = saved
        recording.put_back()
        recordings.last = recording
        self._set_saved(recording.saved[-1])

    def batch_with(self, x: Array) -> Array:
        """Return x in the array of its size in which training batches lie."""
        if x is self.batches.get(len(x)):
            self._set_saved(None)
            return x
        batch = self.batch(len(x))
        np.copyto(batch, x)  # x may change before backward
        return batch

    def batch(self, rows: int) -> Array:
        """Return the array in which training batches of so many rows lie.

        With it the last training forward is over: until another one has come to its end, nothing leads back.
        """
        self._set_saved(None)
        if rows not in self.batches:
            if sum(map(self._size, [rows, *self.batches])) > MEMORY:
                self._forget_arrays()
            self.batches[rows] = np.empty((rows, self.features[0]), self.dtype)
        return self.batches[rows]

    def _set_saved(self, saved: Any) -> None:
        """Say what leads back from the last layer, and so from the network: what backward of all others hangs on."""
        vars(self.layers[-1])["saved"] = saved  # not through the layer's door, which is slower

    def _size(self, rows: int) -> int:
        """Return how many bytes a batch's outputs take, with what it takes to replay them."""
        return rows * sum(self.features) * self.dtype.itemsize + EACH

    def _forget_arrays(self) -> None:
        """Forget all recordings, and the arrays that the layers have for them."""
        self.recorder.forget()
        self.batches.clear()
        for layer in self.layers:
            layer.buffers.clear()
            layer.gradients.clear()


def _taken(shelf: list[Recording]) -> Recording:
    """Take a recording off a shelf; a new one, which belongs there, if it is empty."""
    try:
        found = shelf.pop()
    except IndexError:
        return Recording(shelf)
    found.shelf = shelf
    return found
