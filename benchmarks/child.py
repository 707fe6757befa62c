"""A process of its own that trains with one library and tells what it cost: ``python -m benchmarks.child``."""

from __future__ import annotations

import argparse
import json
import sys
import time
import tracemalloc
from pathlib import Path

from benchmarks.peer import Peer, load_peer
from benchmarks.spec import SPECS, Spec, draw_batches, draw_weights

TRACED_STEPS = 20


def main() -> None:
    """Make a first step, then more, and print JSON."""
    parser = argparse.ArgumentParser("python -m benchmarks.child")
    parser.add_argument("peer")
    parser.add_argument("work")
    parser.add_argument("--steps", type=int, default=0, help="after the first")
    parser.add_argument("--trace", action="store_true", help="allocations too")
    options = parser.parse_args()
    spec = next(spec for spec in SPECS if spec.title == options.work)
    peer = load_peer(options.peer)(spec, draw_weights(spec))
    x, y = peer.prepare(*draw_batches(spec, 1)[0])
    peer.step(x, y)
    peer.wait()
    found: dict[str, float | None] = {"first_step_at": time.time()}
    for _ in range(options.steps):
        peer.step(x, y)
    peer.wait()
    found["peak_memory"] = peak_memory()
    if options.trace:
        found |= allocations(spec, peer)
    json.dump(found, sys.stdout)


def peak_memory() -> float | None:
    """Return the largest resident memory of this process, in bytes; None where the system does not tell."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the parent process as it was when it started this one
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return 1024 * float(line.split()[1])
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1.0 if sys.platform == "darwin" else 1024.0)


def allocations(spec: Spec, peer: Peer) -> dict[str, float | None]:
    """Return what a step allocates in steady state, as far as Python and NumPy trace it, in bytes.

    Returns
    -------
    dict
        ``step_peak``: how far traced memory rises above its level during a step, Python's own small objects included;
        ``step_kept``: what NumPy has allocated and not freed, a step.
    """
    import numpy as np

    x, y = peer.prepare(*draw_batches(spec, 1)[0])
    tracemalloc.start()
    for _ in range(3):
        peer.step(x, y)
    only_numpy = [tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)]
    rises = []
    before = tracemalloc.take_snapshot().filter_traces(only_numpy)
    for _ in range(TRACED_STEPS):
        tracemalloc.reset_peak()
        level, _ = tracemalloc.get_traced_memory()
        peer.step(x, y)
        rises.append(tracemalloc.get_traced_memory()[1] - level)
    after = tracemalloc.take_snapshot().filter_traces(only_numpy)
    tracemalloc.stop()
    sizes = [sum(trace.size for trace in snapshot.traces) for snapshot in (before, after)]
    return {"step_peak": float(np.median(rises)), "step_kept": (sizes[1] - sizes[0]) / TRACED_STEPS}


if __name__ == "__main__":
    main()
