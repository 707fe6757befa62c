"""One thread or all: decided from how long a piece of work took each way, and never for good."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

FIRST, MOST = 16, 4096  # how many times it is done on one thread before all are tried: at first, and at most
LESS = 0.95  # of the time of one thread: what all must take, on average, to stay


@dataclass
class Pace:
    """Whether a piece of work that is done again and again takes less time on all threads, at this moment.

    On an idle machine it does. Where another process keeps a core busy, all threads wait for the one that shares it,
    and it takes up to twenty times as long. So one thread is the rule, and all are tried now and then. They stay as
    long as they take less time; when the last few times did not, one thread has its turn again: if all together had
    cost time, four times as often as before.

    Attributes
    ----------
    allowed : callable
        Asked once, before all threads are tried for the first time: whether they give the same bits. Else the numbers
        would depend on how busy the machine is.
    all : bool
        Whether the work is to be done on all threads the next time.
    one : float
        Seconds on one thread, when nothing came in between.
    recent : float
        Seconds on all, averaged over the last few times.
    saved : float
        Seconds that all have saved since they were tried; negative if they have cost some.
    """

    allowed: Callable[[], bool]
    all: bool = False
    one: float = math.inf
    recent: float = math.inf
    saved: float = 0.0
    wait: int = FIRST
    left: int = FIRST

    def timed(self, work: Callable[[], T]) -> T:
        """Do the work, in the way that ``all`` says, and learn from how long it took."""
        start = time.perf_counter()
        result = work()
        self.learn(time.perf_counter() - start)
        return result

    def learn(self, seconds: float) -> None:
        """Choose how the work is done the next time."""
        if not self.all:
            self.one = min(seconds, 1.01 * self.one)  # it may get slower for good, as a laptop does
            self.left -= 1
            if self.left <= 0:
                self.left, self.recent, self.saved = MOST, math.inf, 0.0
                self.all = self.allowed()
            return
        self.recent = seconds if math.isinf(self.recent) else self.recent + (seconds - self.recent) / 4
        self.saved += self.one - seconds
        if self.recent > LESS * self.one:
            self.wait = max(FIRST, self.wait // 2) if self.saved > 0 else min(4 * self.wait, MOST)
            self.all, self.left = False, self.wait
