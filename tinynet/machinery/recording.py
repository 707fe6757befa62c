"""What a network remembers of its passes: the kernel calls of each, so that it can replay them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tinynet.typing import Array, Call

if TYPE_CHECKING:
    from tinynet.machinery.tape import Tape


@dataclass
class Pass:
    """One forward or backward pass, as it went.

    Attributes
    ----------
    calls : list of (kernel, arguments)
        In order.
    source : ndarray, optional
        What went in: a replay may read another array of its shape.
    arrays : list of ndarray
        Forward: every node's output.
    gradient : ndarray, optional
        Backward: d loss / d input.
    kept : list
        What each layer kept for backward.
    """

    source: Array | None = None
    calls: list[Call] = field(default_factory=list)
    arrays: list[Array] = field(default_factory=list)
    gradient: Array | None = None
    kept: list[Any] = field(default_factory=list)
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


class Recorder(dict[Any, Pass]):
    """A network's passes, by kind and batch shape. Its layers note their calls here."""

    def __init__(self) -> None:
        super().__init__()
        self.now: Pass | None = None  # the one that is being recorded
        self.last: Pass | None = None  # the last training forward
        self.thread = 0
        self.lock = threading.Lock()  # two threads may ask one network for predictions

    def note(self, kernel: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Add a call to the pass that is being recorded, if one is."""
        if self.now is not None and self.thread == threading.get_ident():
            self.now.calls.append((kernel, arguments))

    @contextmanager
    def recording(self, key: Any, source: Array) -> Iterator[Pass]:
        """Record a pass; it is remembered if it comes to its end."""
        self.now, self.thread = Pass(source), threading.get_ident()
        try:
            yield self.now
            self[key] = self.now
        finally:
            self.now = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Recorder, ()  # a copy of the network records anew, since its arrays are others
