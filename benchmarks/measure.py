"""Timing in turns: A B C A B C, so that whatever slows the machine for a while slows all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

# After a product, the threads of a BLAS keep a core busy for some 30 ms in case another follows. Each turn waits
# until the previous one's threads sleep, then works a little untimed to wake its own and to fill the caches.
REST = 0.06
LONG = 0.3  # seconds; what takes longer needs no work before it to be warm

Run = Callable[[int], object]
"""Does its work so many times."""


@dataclass(frozen=True)
class Pace:
    """How long to measure."""

    rounds: int
    turn: float  # seconds timed in one turn, at least one repetition
    rest: float = REST
    quick: bool = False  # fewer sizes too


FULL, QUICK = Pace(15, 0.2), Pace(2, 0.005, 0.01, quick=True)


@dataclass(frozen=True)
class Group:
    """What was timed in turns together: seconds a repetition, one number a round, for each of them."""

    part: str
    work: str
    times: Mapping[str, list[float]]
    setting: Mapping[str, Any]  # what the work's name says, for programs

    def median(self, name: str) -> float:
        """Return the median over rounds, in seconds."""
        return float(np.median(self.times[name]))

    def quartiles(self, name: str) -> tuple[float, float]:
        """Return the first and third quartile over rounds, in seconds."""
        low, high = np.percentile(self.times[name], [25, 75])
        return float(low), float(high)

    def ratio(self, name: str, of: str = "tinynet") -> float:
        """Return the median of one over the median of another: by default tinynet's time over another's."""
        return self.median(of) / self.median(name) if {name, of} <= set(self.times) else float("nan")

    def spread(self, name: str, of: str = "tinynet") -> tuple[float, float]:
        """Return quartiles of the same ratio taken round by round."""
        low, high = np.percentile(np.array(self.times[of]) / np.array(self.times[name]), [25, 75])
        return float(low), float(high)

    def as_json(self) -> dict[str, Any]:
        """Return every number, seconds to four digits."""
        times = {name: [float(f"{t:.4g}") for t in taken] for name, taken in self.times.items()}
        medians = {name: float(f"{self.median(name):.4g}") for name in self.times}
        return {"part": self.part, "work": self.work, **self.setting, "median": medians, "rounds": times}


def in_turns(runs: Mapping[str, Run], pace: Pace) -> dict[str, list[float]]:
    """Return, for each run, the mean seconds of a repetition in each round.

    The first call of each, untimed, compiles what there is to compile; the second tells how many repetitions fill a
    quarter of a turn. A turn is a quarter untimed, then as many quarters as fill it: on a machine that slows down
    there are fewer, so that a turn takes no longer.
    """
    quarter: dict[str, int] = {}
    long: set[str] = set()
    for name, run in runs.items():
        run(1)
        once = seconds(run, 1)
        if once < pace.turn / 16:
            once = seconds(run, 4)
        if once > LONG:
            long.add(name)
        quarter[name] = max(1, round(pace.turn / 4 / once))
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(pace.rounds):
        for name, run in runs.items():
            time.sleep(pace.rest)
            if name not in long:
                run(quarter[name])
            times[name].append(turn(run, quarter[name], pace.turn))
    return times


def turn(run: Run, repetitions: int, length: float) -> float:
    """Return the mean time of a repetition, so many at once until ``length`` seconds are over."""
    start, done = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < length or not done:
        run(repetitions)
        done += repetitions
    return elapsed / done


def seconds(run: Run, repetitions: int) -> float:
    """Return the mean time of a repetition."""
    start = time.perf_counter()
    run(repetitions)
    return max(time.perf_counter() - start, 1e-9) / repetitions


def repeated(call: Callable[[], object]) -> Run:
    """Return a run of a function without arguments."""

    def run(repetitions: int) -> None:
        for _ in range(repetitions):
            call()

    return run
