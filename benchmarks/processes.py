"""What is measured in processes of their own: what it takes before the first step is done, and how much memory.

``python -m benchmarks.processes`` is such a process. It reads this file, which therefore imports little.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.peers import Peer, load
from benchmarks.spec import PAPER, SPECS, WIDE, Spec, draw_batches, draw_weights

if TYPE_CHECKING:
    from benchmarks.measure import Group, Pace

ROOT = Path(__file__).parents[1]
IMPORTS = {  # of all that a training step needs: tinynet loads a name's file when the name is asked for
    "tinynet": "from tinynet import SGD, SoftmaxCrossEntropy, fit, mlp",
    "torch": "import torch",
    "jax": "import jax, jax.numpy",
    "numpy": "import numpy",
    "sklearn": "from sklearn.neural_network import MLPClassifier",
}
CACHES = {"tinynet": "NUMBA_CACHE_DIR", "torch-compile": "TORCHINDUCTOR_CACHE_DIR"}
ROUNDS = 5
STEPS, TRACED_STEPS = 50, 20
TRACED = ("tinynet", "numpy")


def start(peers: Mapping[str, type[Peer]], pace: Pace, spec: Spec = PAPER[1]) -> Iterator[Group]:
    """Time imports and first steps."""
    import tempfile

    from benchmarks.measure import Group

    rounds = 1 if pace.quick else ROUNDS
    imports: dict[str, list[float]] = {name: [] for name in IMPORTS if name in peers}
    for _ in range(rounds):
        for name, times in imports.items():
            code = f"import time; t = time.perf_counter(); {IMPORTS[name]}; print(time.perf_counter() - t)"
            times.append(float(python(["-c", code])))
    yield Group("start", "import", {}, imports)

    able = [name for name, peer in peers.items() if peer.can(spec)]
    cold: dict[str, list[float]] = {name: [] for name in able if name in CACHES}
    warm: dict[str, list[float]] = {name: [] for name in able}
    for _ in range(rounds):
        for name in able:
            with tempfile.TemporaryDirectory() as folder:
                cache = {CACHES[name]: folder} if name in CACHES else {}
                if cache:
                    cold[name].append(first_step(name, spec, cache))
                warm[name].append(first_step(name, spec, cache))
    yield Group("start", "first step, cold", {}, cold)
    yield Group("start", "first step, warm", {}, warm)


def first_step(name: str, spec: Spec, variables: Mapping[str, str]) -> float:
    """Return seconds from starting Python to the end of the first step."""
    begin = time.time()
    return float(child(name, spec, [], variables)["first_step_at"]) - begin


def memory(
    peers: Mapping[str, type[Peer]], pace: Pace, specs: Sequence[Spec] = (PAPER[1], WIDE[1])
) -> Iterator[dict[str, Any]]:
    """Return a row for each network and peer: peak memory and allocations, in bytes."""
    for spec in specs[:1] if pace.quick else specs:
        for name, peer in peers.items():
            if peer.can(spec):
                trace = ["--trace"] if name in TRACED else []
                found = child(name, spec, ["--steps", str(STEPS), *trace], {})
                del found["first_step_at"]
                yield {"work": spec.title, "peer": name, **found}


def child(name: str, spec: Spec, options: Sequence[str], variables: Mapping[str, str]) -> dict[str, Any]:
    """Train in a process of its own and return what it found."""
    found: dict[str, Any] = json.loads(python(["-m", __name__, name, spec.title, *options], variables))
    return found


def python(arguments: Sequence[str], variables: Mapping[str, str] | None = None) -> str:
    """Run this Python in a new process, with this source first on its path; return what it prints."""
    import subprocess

    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, *arguments], env={**os.environ, "PYTHONPATH": path, **(variables or {})}, cwd=ROOT,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise RuntimeError(f"a measured process failed: {last}")
    return done.stdout


# -- in the process of its own ----------------------------------------------------------------------------------------


def main() -> None:
    """Make a first step, then more, and print JSON."""
    parser = argparse.ArgumentParser("python -m benchmarks.processes")
    parser.add_argument("peer")
    parser.add_argument("work")
    parser.add_argument("--steps", type=int, default=0, help="after the first")
    parser.add_argument("--trace", action="store_true", help="allocations too")
    options = parser.parse_args()
    spec = next(spec for spec in SPECS if spec.title == options.work)
    peer = load(options.peer)(spec, draw_weights(spec))
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
        found = re.search(r"VmHWM:\s*(\d+)", status.read_text())
        return 1024 * float(found[1]) if found else None
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
