"""One thread or all: decided by the time that work takes each way, and decided anew again and again."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

FIRST, MOST = 16, 4096  # how many times one thread does it before all are tried: at first, and at most
LESS = 0.95  # the share of one thread's time up to which all threads stay
ENOUGH, COST = 8, 0.03  # a trial is judged after so many times, or once it cost this share of the time before it
WAKING, MUCH = 2, 4  # the first times on all, when some sleep, count only if one takes so many times as long


@dataclass
class Pace:
    """The choice between one thread and all threads for work that is repeated.

    On an idle machine all threads take less time. If another process keeps a core busy, they wait for the thread on
    that core, and take up to twenty times as long. So one thread is the rule, and all are tried now and then. They
    stay while they take less time on average; one slow time alone does not end a trial, unless it cost much. Then one
    thread does the work again before the next trial: four times as often as last time if the trial cost time, half as
    often if it saved some.

    Attributes
    ----------
    allowed : callable
        Tells, before all threads are tried, whether they give the same bits. If they did not, numbers would depend on
        how busy the machine is.
    all : bool
        Whether the work is done on all threads the next time.
    one : float
        Seconds on one thread, undisturbed.
    recent : float
        Seconds on all threads, averaged over the last few times.
    saved : float
        Seconds that all threads have saved in this trial; negative if they have cost some.
    """

    allowed: Callable[[], bool]
    all: bool = False
    one: float = math.inf
    recent: float = math.inf
    saved: float = 0.0
    wait: int = FIRST
    left: int = FIRST
    waking: int = WAKING
    tried: int = 0

    def timed(self, work: Callable[[], T]) -> T:
        """Do the work, which heeds ``all``, and learn from how long it took."""
        start = time.perf_counter()
        result = work()
        self.learn(time.perf_counter() - start)
        return result

    def learn(self, seconds: float) -> None:
        """Choose how the work is done the next time."""
        if not self.all:
            self.one = min(seconds, 1.01 * self.one)  # rises slowly, since a warm machine may stay slower
            self.left -= 1
            if self.left <= 0:
                self.left, self.recent, self.saved, self.waking, self.tried = MOST, math.inf, 0.0, WAKING, 0
                self.all = self.allowed()
            return
        self.saved += self.one - seconds
        if self.waking and seconds < MUCH * self.one:
            self.waking -= 1
            return
        self.recent = seconds if math.isinf(self.recent) else self.recent + (seconds - self.recent) / ENOUGH
        self.tried += 1
        judged = self.tried >= ENOUGH or self.saved < -COST * self.wait * self.one
        if self.recent > LESS * self.one and judged:
            self.wait = max(FIRST, self.wait // 2) if self.saved > 0 else min(4 * self.wait, MOST)
            self.all, self.left = False, self.wait
