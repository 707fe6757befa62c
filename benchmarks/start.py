"""Part: what it takes before the first step is done, and how much memory training needs; in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import Group, Pace
from benchmarks.peer import Peer
from benchmarks.spec import PAPER, WIDE, Spec

TITLE = "Start and memory"
START_NOTE = (
    "*import* is the import alone, in a new Python, files in the system's cache. *first step* goes from the start of "
    "the Python process to the end of the first training step of the paper network with batch norm; *cold*: nothing "
    "that a library compiles is on disk yet; *warm*: the second time on a machine."
)
MEMORY_NOTE = (
    "Largest resident memory of a process that trains on one batch, and what a step allocates in steady state as far "
    "as Python and NumPy trace it (not so for PyTorch and JAX): how far memory rises during a step, Python's small "
    "objects included, and what NumPy keeps after it."
)
ROOT = Path(__file__).parents[1]
MODULES = {"tinynet": "tinynet", "numpy": "numpy", "torch": "torch", "jax": "jax", "sklearn": "sklearn.neural_network"}
CACHES = {"tinynet": "NUMBA_CACHE_DIR", "torch-compile": "TORCHINDUCTOR_CACHE_DIR"}
ROUNDS = 5
STEPS = 50
TRACED = ("tinynet", "numpy")


def measure(peers: Mapping[str, type[Peer]], pace: Pace, spec: Spec = PAPER[1]) -> Iterator[Group]:
    """Time imports and first steps."""
    rounds = 1 if pace.quick else ROUNDS
    modules = {name: module for name, module in MODULES.items() if name in peers}
    imports: dict[str, list[float]] = {name: [] for name in modules}
    for _ in range(rounds):
        for name, module in modules.items():
            code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
            imports[name].append(float(python(["-c", code])))
    yield Group("start", "import", imports, {})

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
    yield Group("start", "first step, cold", cold, {})
    yield Group("start", "first step, warm", warm, {})


def first_step(name: str, spec: Spec, environment: Mapping[str, str]) -> float:
    """Return seconds from starting Python to the end of the first step."""
    begin = time.time()
    found = child(name, spec, [], environment)
    return float(found["first_step_at"]) - begin


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


def child(name: str, spec: Spec, options: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Run `benchmarks.child` and return what it found."""
    found: dict[str, Any] = json.loads(python(["-m", "benchmarks.child", name, spec.title, *options], environment))
    return found


def python(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Run this Python in a new process, with this source first on its path; return what it prints."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    variables = {**os.environ, "PYTHONPATH": path, **(environment or {})}
    done = subprocess.run(
        [sys.executable, *arguments], env=variables, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise RuntimeError(f"a measured process failed: {last}")
    return done.stdout
