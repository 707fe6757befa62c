"""Ctrl-C and SIGTERM, at any moment: one line, an exit code, and what is finished is kept."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress

TYPE_CHECKING = False  # what is imported before the signals are taken is kept short: typing is not
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

INTERRUPTED = 128 + signal.SIGINT  # as shells count
TERMINATED = 128 + signal.SIGTERM
CODES = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
SAME_SECONDS = 1.0  # a second SIGTERM within it is the first: `timeout` sends one to its child and one to the group
AGAIN_SECONDS = 0.05


class Interrupted(KeyboardInterrupt):
    """What is raised in place of KeyboardInterrupt itself.

    With that, if it passed through an ``exec`` (Numba has many), Python ends the process by the signal in place of
    its exit code, even if it was caught.
    """


class Stops:
    """The signals that came, and what is done about them.

    While the program loads there is nothing to keep, and an import may turn what is raised in it into another error:
    there it ends at once. Once it works, `Interrupted` is raised. In what C calls (a callback of LLVM's, say) Python
    can only print and forget that: it is raised again a moment later.

    Attributes
    ----------
    prog : str
        What the line begins with.
    came : list of (signal, time)
    """

    def __init__(self, prog: str) -> None:
        self.prog, self.loading = prog, False
        self.came: list[tuple[int, float]] = []

    def receive(self, number: int, _: object) -> None:
        """React to a signal; it is the handler."""
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
        """Raise `Interrupted` if a signal came; where one that was raised would have ended what is going on."""
        if self.came:
            _raise_later(0)
            raise Interrupted

    def code(self, code: int) -> int:
        """Return the exit code of a command that came to its end with ``code``."""
        return TERMINATED if any(number == signal.SIGTERM for number, _ in self.came) else code

    # -- of the program alone -------------------------------------------------------------------------------

    def work(self) -> None:
        """Say that the program is loaded, and that what it does from now on is to be kept."""
        self.loading = False

    def forgotten(self, unraisable: Any) -> None:
        """Raise it again a moment later; it is ``sys.unraisablehook``."""
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            _raise_later(AGAIN_SECONDS)
        else:
            sys.__unraisablehook__(unraisable)

    def again(self, *_: object) -> None:
        """Raise it; it is the handler of the timer's signal."""
        raise Interrupted


def _raise_later(seconds: float) -> None:
    """Have `Stops.again` called after so many seconds; with 0, not any more."""
    if hasattr(signal, "setitimer"):  # not on Windows
        signal.setitimer(signal.ITIMER_REAL, seconds)


@contextmanager
def stops(*, program: bool) -> Iterator[Stops]:
    """Take Ctrl-C and SIGTERM in the block, if they are not ignored and no one else takes them.

    Parameters
    ----------
    program : bool
        Whether this process is the command and no more, so that it may end at once. Otherwise Ctrl-C is left as it
        is, and SIGTERM does the same.
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
    """Have both signals wait while the block starts this program again, until it takes them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, CODES)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
