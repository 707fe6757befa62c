"""What a network remembers of its passes: the kernel calls of each, so that it can replay them.

Whatever happens between two passes, or in the middle of one, a replay must be what the layers would do. Three rules
see to it. What is assigned to a layer puts away all that was recorded (`Recorder.forget`). A recorded pass is taken
out to be replayed and put back afterwards: another thread, or a signal's handler, does not find it, and an
interrupted one is lost, not half done. And it is put back where it was taken from: what was put away meanwhile stays
away.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from tinynet.typing import Array, Call

if TYPE_CHECKING:
    from tinynet.machinery.tape import Tape

T = TypeVar("T")
METHODS = operator.attrgetter("forward", "backward", "parameter_gradients")


@dataclass
class Pass:
    """One forward or backward pass, as it went.

    Attributes
    ----------
    calls : list of (kernel, arguments)
        In order.
    source : ndarray, optional
        Prediction: what went in; a replay may read another array of its shape.
    arrays : list of ndarray
        Forward: every node's output. Backward: what went in.
    gradient : ndarray, optional
        Backward: d loss / d input.
    kept : list
        Forward: what each layer kept for backward.
    backward : dict of bool to Pass
        Forward: the pass back through it, with and without the gradient of the input.
    """

    source: Array | None = None
    calls: list[Call] = field(default_factory=list)
    arrays: list[Array] = field(default_factory=list)
    gradient: Array | None = None
    kept: list[Any] = field(default_factory=list)
    backward: dict[bool, Pass] = field(default_factory=dict)
    tape: Tape | None = None
    made: bool = False  # its calls, by `make`

    def make(self) -> None:
        """Make the calls: one by one the first time, which compiles them, and replayed from then on."""
        if self.made:
            self.replay()
            return
        for kernel, arguments in self.calls:
            kernel(*arguments)
        self.made = True

    def replay(self, source: Array | None = None) -> None:
        """Make the same calls on the same arrays, reading ``source`` in place of the one read before."""
        if self.tape is None:
            from tinynet.machinery.tape import Tape  # it loads Numba's compiler

            self.tape = Tape(self.calls, self.source)
        self.tape.replay(source)


@dataclass
class Repeated:
    """Calls that are made again and again: noted anew when what they depend on is another object."""

    on: tuple[object, ...] = ()
    noted: Pass = field(default_factory=Pass)

    def make(self, on: tuple[object, ...], calls: Callable[[], list[Call]]) -> None:
        """Make the ``calls()`` that were noted for the same objects; ask for them if there are none."""
        if len(on) != len(self.on) or not all(map(operator.is_, on, self.on)):
            self.on = ()  # an interruption may come here
            self.noted = Pass(calls=calls())
            self.on = on
        self.noted.make()


@dataclass
class Known:
    """What was recorded since something was last assigned to a layer.

    Attributes
    ----------
    training : dict of int to Pass
        Training forwards by number of rows.
    predictions : dict of shape to list of Pass
        As many as were under way at once.
    last : Pass, optional
        The training forward whose arrays the layers hold for backward.
    kinds : tuple of type, optional
        The layers' classes; not known at first.
    promises : tuple, optional
        What these classes have to be for a replay, if one is possible.
    """

    training: dict[int, Pass] = field(default_factory=dict)
    predictions: dict[tuple[int, ...], list[Pass]] = field(default_factory=dict)
    last: Pass | None = None
    kinds: tuple[Any, ...] | None = None
    promises: tuple[Any, ...] | None = None


class Recorder:
    """A network's memory, and where its layers note their calls."""

    def __init__(self) -> None:
        self.known = Known()
        self.noting: dict[int, list[Call] | None] = {}  # by thread

    def forget(self) -> None:
        """Put away all that was recorded."""
        self.known = Known()

    def note(self, kernel: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Add a call to the pass that this thread records, if it records one."""
        calls = self.noting.get(threading.get_ident())
        if calls is not None:
            calls.append((kernel, arguments))

    def through(self, calls: list[Call] | None, run: Callable[..., T], *arguments: Any) -> T:
        """Return ``run(*arguments)``; what layers call meanwhile is noted in ``calls``, or nowhere."""
        thread = threading.get_ident()
        outer = self.noting.get(thread)  # of the pass that a signal's handler interrupts
        self.noting[thread] = calls
        try:
            return run(*arguments)
        finally:
            if outer is None:
                self.noting.pop(thread, None)
            else:
                self.noting[thread] = outer

    def __reduce__(self) -> tuple[Any, ...]:
        return Recorder, ()  # a copy of the network records anew, since its arrays are others


class Recorded:
    """What a layer is to the network that records it.

    Attributes
    ----------
    recorder : Recorder, optional
        The network's, if the layer is part of one.
    replayable : bool
        Whether forward and backward do nothing but `call` kernels on arrays from `empty`: a network may then repeat
        the calls without the layer. Each class says so itself, since a subclass may do anything.
    methods : tuple of function
        Those of which the class says so.
    """

    replayable: ClassVar[bool] = False
    methods: ClassVar[tuple[Any, ...]] = ()
    recorder: Recorder | None = None

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        cls.replayable = vars(cls).get("replayable", False)
        cls.methods = METHODS(cls) if cls.replayable else ()

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; what was recorded with the old one is forgotten."""
        if name != "kept":
            self._forget()
        super().__setattr__(name, value)
        if name != "kept":
            self._forget()

    def __delattr__(self, name: str) -> None:
        self._forget()
        super().__delattr__(name)
        self._forget()

    def _forget(self) -> None:
        """Forget before, since Ctrl-C may come between, and after, since another thread may record meanwhile."""
        if self.recorder is not None:
            self.recorder.forget()
