"""Timing in turns, A B C A B C, so that whatever slows the machine for a while slows all of them; and what machine."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl

import tinynet

# After a product, the threads of a BLAS keep a core busy for some 30 ms in case another follows. Each turn waits
# until the previous one's threads sleep, then works a little untimed to wake its own and to fill the caches.
REST = 0.06
LONG = 0.3  # seconds; what takes longer needs no work before it to be warm
PRODUCTS, COPY = "matrix products", "copy"  # what the machine needs whoever asks for it: nothing can be faster
ONE, ALL = "one thread", "all threads"
VARIABLES = (
    "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_CORETYPE",
    "OMP_WAIT_POLICY", "XLA_FLAGS",
)  # fmt: skip

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
    setting: Mapping[str, Any]  # what the work's name says, for programs
    times: Mapping[str, list[float]]

    def median(self, name: str) -> float:
        """Return the median over rounds, in seconds."""
        return float(np.median(self.times[name]))

    def quartiles(self, name: str) -> tuple[float, float]:
        """Return the first and third quartile over rounds, in seconds."""
        low, high = np.percentile(self.times[name], [25, 75])
        return float(low), float(high)

    def ratio(self, name: str, of: str = "tinynet") -> float:
        """Return the median of one over the median of another, tinynet's by default; nan if one was not timed."""
        return self.median(name) / self.median(of) if {name, of} <= set(self.times) else math.nan

    def spread(self, name: str, of: str = "tinynet") -> tuple[float, float]:
        """Return quartiles of the same ratio taken round by round."""
        low, high = np.percentile(np.array(self.times[name]) / np.array(self.times[of]), [25, 75])
        return float(low), float(high)

    @property
    def limit(self) -> str:
        """The name of the fastest of what the machine needs for this work whoever asks for it; "" if not timed."""
        return min((name for name in self.times if is_limit(name)), key=self.median, default="")


def is_limit(name: str) -> bool:
    """Return whether a name, such as "matrix products, one thread", is of what the machine needs in any case."""
    return name.partition(",")[0] in (PRODUCTS, COPY)


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
        once = turn(run, 1)
        if once < pace.turn / 16:
            once = turn(run, 4)
        if once > LONG:
            long.add(name)
        quarter[name] = max(1, round(pace.turn / 4 / max(once, 1e-9)))
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(pace.rounds):
        for name, run in runs.items():
            time.sleep(pace.rest)
            if name not in long:
                run(quarter[name])
            times[name].append(turn(run, quarter[name], pace.turn))
    return times


def turn(run: Run, repetitions: int, length: float = 0.0) -> float:
    """Return the mean time of a repetition, so many at once, once and then until ``length`` seconds are over."""
    start, done = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < length or not done:
        run(repetitions)
        done += repetitions
    return elapsed / done


def repeated(call: Callable[[], object]) -> Run:
    """Return a run of a function without arguments."""

    def run(repetitions: int) -> None:
        for _ in range(repetitions):
            call()

    return run


# -- what it was measured with ----------------------------------------------------------------------------------------


def environment(packages: Iterable[str]) -> dict[str, Any]:
    """Return machine, date, versions, the thread pools of what is loaded by now, and what the user set."""
    wanted = ("internal_api", "version", "architecture", "num_threads")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "threadpools": [
            {"of": owner(pool["filepath"]), **{key: pool.get(key) for key in wanted}}
            for pool in threadpoolctl.threadpool_info()
        ],
        "set by the user": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def owner(library: str) -> str:
    """Return which package brought a shared library, by the folder it lies in; "" if it is the system's."""
    _, found, inside = library.replace("\\", "/").rpartition("site-packages/")
    return inside.partition("/")[0].removesuffix(".libs") if found else ""


def version(package: str) -> str:
    """Return the version of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return f"{tinynet.__version__} (from source)" if package == "tinynet-lab" else "unknown"


def processor() -> str:
    """Return the processor's name, as far as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.*)", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.exists() else None
    return found[1].strip() if found else platform.processor() or "unknown processor"


def described(environment: Mapping[str, Any]) -> list[str]:
    """Return an environment as lines to read."""
    versions = ", ".join(f"{name} {number}" for name, number in environment["versions"].items())
    found = [environment["machine"], f"Python {environment['python']}, {versions}"]
    for pool in environment["threadpools"]:
        kernels = pool["architecture"] and f"with {pool['architecture']} kernels"
        words = [str(word) for word in (pool["internal_api"], pool["version"], kernels) if word]
        of = f" ({pool['of']})" if pool["of"] else ""
        found.append(f"{' '.join(words)}{of}: {pool['num_threads']} threads")
    settings = ", ".join(f"{name}={value}" for name, value in environment["set by the user"].items())
    found.append(f"thread and kernel settings in the environment: {settings or 'none, all as they come'}")
    return found
