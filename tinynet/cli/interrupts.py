"""Ctrl-C and SIGTERM, at any moment: one line, an exit code, and what is finished is kept."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress

TYPE_CHECKING = False  # importing `typing` takes long, and until then no signal is handled
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

INTERRUPTED = 128 + signal.SIGINT  # the shells' rule
TERMINATED = 128 + signal.SIGTERM
CODES = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
SAME_SECONDS = 1.0  # a second SIGTERM so soon is the first again: `timeout` signals its child, then the group
AGAIN_SECONDS = 0.05


class Interrupted(KeyboardInterrupt):
    """The exception that a signal raises.

    It is not KeyboardInterrupt itself. When that passes through an ``exec``, of which Numba has many, Python ends the
    process by the signal and not with its exit code, even if the exception was caught.
    """


class Stops:
    """The signals that came, and what to do about them.

    While the program loads, a signal ends it at once: there is nothing to keep, and an import may turn an exception
    into another error. Later a signal raises `Interrupted`. From a function that C calls, such as a callback of LLVM,
    no exception can get out: Python prints and forgets it. `forgotten` then raises it again a moment later.

    Attributes
    ----------
    prog : str
        The command's name, with which the line begins.
    came : list of (signal, time)
    """

    def __init__(self, prog: str) -> None:
        self.prog, self.loading = prog, False
        self.came: list[tuple[int, float]] = []

    def receive(self, number: int, _: object) -> None:
        """Handle a signal."""
        same = [when for what, when in self.came if what == number == signal.SIGTERM]
        self.came.append((number, time.monotonic()))
        if same and self.came[-1][1] - same[-1] < SAME_SECONDS:
            return
        if self.loading:
            with suppress(OSError):
                os.write(2, f"{self.prog}: interrupted\n".encode())
            os._exit(CODES[signal.Signals(number)])
        raise Interrupted

    def check(self) -> None:
        """Raise `Interrupted` if a signal came. A loop calls it, since the exception itself may have been lost."""
        if self.came:
            _raise_later(0)
            raise Interrupted

    def code(self, code: int) -> int:
        """Return the exit code: that of SIGTERM if one came, else ``code``."""
        return TERMINATED if any(number == signal.SIGTERM for number, _ in self.came) else code

    # -- of the program alone -------------------------------------------------------------------------------

    def work(self) -> None:
        """Mark the end of loading: from now on a signal raises `Interrupted`."""
        self.loading = False

    def forgotten(self, unraisable: Any) -> None:
        """Raise a lost interruption again a moment later. This is ``sys.unraisablehook``."""
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            _raise_later(AGAIN_SECONDS)
        else:
            sys.__unraisablehook__(unraisable)

    def again(self, *_: object) -> None:
        """Raise `Interrupted`. This handles the timer's signal."""
        raise Interrupted


def _raise_later(seconds: float) -> None:
    """Call `Stops.again` after so many seconds; 0 cancels the call."""
    if hasattr(signal, "setitimer"):  # not on Windows
        signal.setitimer(signal.ITIMER_REAL, seconds)


@contextmanager
def stops(*, program: bool) -> Iterator[Stops]:
    """Handle Ctrl-C and SIGTERM in the block, unless they are ignored or have another handler.

    Parameters
    ----------
    program : bool
        Whether this process is the command and no more, so that it may end at once. Otherwise Ctrl-C stays as it is,
        and SIGTERM acts like it.
    """
    found = Stops("tinynet")
    if threading.current_thread() is not threading.main_thread():  # others may not set handlers
        yield found
        return
    before: dict[signal.Signals, Any] = {}
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        before[signal.SIGTERM] = signal.signal(signal.SIGTERM, found.receive)
    if program and signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        before[signal.SIGINT] = signal.signal(signal.SIGINT, found.receive)
    hook = sys.unraisablehook
    if program and hasattr(signal, "pthread_sigmask"):
        before[signal.SIGALRM] = signal.signal(signal.SIGALRM, found.again)
        sys.unraisablehook = found.forgotten
        found.loading = True
        signal.pthread_sigmask(signal.SIG_UNBLOCK, CODES)  # see `later`
    try:
        yield found
    finally:
        _raise_later(0)
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def later() -> Iterator[None]:
    """Hold back both signals while this program starts again; they arrive once the new one handles them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, CODES)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
