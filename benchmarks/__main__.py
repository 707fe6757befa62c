"""Time one training step of tinynet and its peers, in turns, after checking that they compute the same.

``python -m benchmarks [--against torch,numpy] [--rounds N] [--quick] [--out FILE]``
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl

from benchmarks import (
    CHECKED_STEPS,
    LEARNING_RATE,
    MOMENTUM,
    PEERS,
    SPECS,
    TOLERANCE,
    Peer,
    Spec,
    Tinynet,
    check,
    load_peer,
    task,
)
from tinynet import files
from tinynet.errors import InputError
from tinynet.typing import Array

BATCHES = 8  # of the same data, used in rotation
ROUNDS, TURN = 15, 0.2  # turns of each peer; seconds timed a turn
QUICK_ROUNDS, QUICK_TURN = 5, 0.05
# After a product, the threads of a BLAS keep a core busy for some 30 ms in case another follows. Each turn waits
# until the previous peer's threads sleep, then makes a few steps untimed to wake its own.
REST, UNTIMED_STEPS = 0.06, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit code."""
    options = parse(arguments)
    peers: dict[str, type[Peer]] = {"tinynet": Tinynet}
    for name in options.against:
        try:
            peers[name] = load_peer(name)
        except ModuleNotFoundError as error:
            print(f"{name}: left out, {error.name} is not installed")
    environment = describe(peers)
    print_environment(environment)

    over = ", ".join(f"{dtype} over {steps} step{'s' * (steps > 1)}" for dtype, steps in CHECKED_STEPS.items())
    print(f"\nIs it the same work? Largest difference from tinynet, relative; {over}")
    agree = True
    for spec, (name, peer) in itertools.product(SPECS, list(peers.items())[1:]):
        for dtype, tolerance in TOLERANCE.items():
            found = check(spec, peer, dtype, CHECKED_STEPS[dtype])
            same = all(value <= tolerance for value in found.values())
            agree = agree and same
            shown = ", ".join(f"{kind} {value:.0e}" for kind, value in found.items())
            verdict = f"at most {tolerance:.0e}" if same else f"NOT THE SAME: above {tolerance:.0e}"
            print(f"  {spec.title:18}  {name:6}  {dtype}: {shown}; {verdict}", flush=True)
    if not agree:
        print("benchmarks: a peer computes something else; nothing was timed", file=sys.stderr)
        return 1

    print(f"\nOne training step, SGD with momentum {MOMENTUM}: {options.rounds} rounds in turns, microseconds")
    print(f"  {'network':18}  {'batch':>5}  {'peer':8}  {'median':>8}  {'quartiles':>17}  {'x tinynet':>9}")
    results = []
    for spec in SPECS:
        for row in measure(spec, peers, options.rounds, options.turn):
            results.append(row)
            quartiles = f"{row['quartiles'][0]:.0f} - {row['quartiles'][1]:.0f}"
            print(
                f"  {spec.title:18}  {spec.batch:5}  {row['peer']:8}  {row['median']:8.0f}  {quartiles:>17}"
                f"  {row['ratio']:9.2f}",
                flush=True,
            )
    print("x tinynet: the median, over the rounds, of this peer's time by tinynet's in the same round.")
    if options.out:
        settings = {"learning_rate": LEARNING_RATE, "momentum": MOMENTUM, "dtype": "float32", "unit": "microseconds"}
        files.write_json(options.out, {"environment": environment, "settings": settings, "results": results})
        print(f"written: {options.out}")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--against", default="numpy", metavar="PEERS", help="of numpy, torch; default numpy")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"default {ROUNDS}, with --quick {QUICK_ROUNDS}")
    parser.add_argument("--quick", action="store_true", help="short turns and few rounds: under half a minute")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write every number as JSON")
    options = parser.parse_args(arguments)
    options.against = [name.strip() for name in options.against.split(",") if name.strip()]
    for name in options.against:
        if name not in PEERS:
            stop(f"unknown peer {name!r}; known: {', '.join(PEERS)}")
    options.turn = QUICK_TURN if options.quick else TURN
    if options.rounds is None:
        options.rounds = QUICK_ROUNDS if options.quick else ROUNDS
    if options.rounds < 1:
        stop(f"--rounds must be at least 1, not {options.rounds}")
    if options.out:
        try:
            files.writable_folder(options.out.parent)  # found out now, not after the measurement
        except InputError as error:
            stop(str(error))
    return options


def stop(problem: str) -> None:
    """Say in one line what is wrong with the arguments, and exit with code 2."""
    print(f"benchmarks: {problem}", file=sys.stderr)
    raise SystemExit(2)


def measure(spec: Spec, peers: dict[str, type[Peer]], rounds: int, turn: float) -> list[dict[str, Any]]:
    """Time every peer in turns, A B A B, so that whatever slows the machine for a while slows all of them."""
    weights, drawn = task(spec, BATCHES)
    batches = itertools.cycle(list(zip(drawn[::2], drawn[1::2], strict=True)))
    runs = {name: peer(spec, weights) for name, peer in peers.items()}
    steps = {}
    for name, run in runs.items():
        once = timed(run, batches, 1)
        steps[name] = max(1, round(turn / min(once, timed(run, batches, UNTIMED_STEPS))))
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            time.sleep(REST)
            timed(run, batches, UNTIMED_STEPS)
            times[name].append(1e6 * timed(run, batches, steps[name]))
    ours = np.array(times["tinynet"])
    return [
        {
            "network": spec.name,
            "batch_norm": spec.batch_norm,
            "peer": name,
            "median": float(np.median(taken)),
            "quartiles": np.percentile(taken, [25, 75]).tolist(),
            "ratio": float(np.median(np.array(taken) / ours)),
            "rounds": taken,
            "steps_a_round": steps[name],
        }
        for name, taken in times.items()
    ]


def timed(run: Peer, batches: Iterator[tuple[Array, Array]], steps: int) -> float:
    """Return the mean time of a step, in seconds, over so many."""
    start = time.perf_counter()
    for x, y in itertools.islice(batches, steps):
        run.step(x, y)
    return (time.perf_counter() - start) / steps


def describe(peers: dict[str, type[Peer]]) -> dict[str, Any]:
    """Return machine, versions and the BLAS libraries with the kernel set each of them chose."""
    packages = ["tinynet-lab", "numpy", "numba", *(["torch"] if "torch" in peers else [])]
    return {
        "machine": f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "threadpools": [
            {key: pool.get(key) for key in ("internal_api", "version", "architecture", "num_threads")}
            for pool in threadpoolctl.threadpool_info()
        ],
    }


def version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed, run from source"


def processor() -> str:
    """Return the processor's name, as far as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def print_environment(environment: dict[str, Any]) -> None:
    print(environment["machine"])
    print(f"Python {environment['python']}, {', '.join(f'{k} {v}' for k, v in environment['versions'].items())}")
    for pool in environment["threadpools"]:
        words = (pool["internal_api"], pool["version"], pool["architecture"])
        print(f"{' '.join(str(word) for word in words if word)}: {pool['num_threads']} threads")


if __name__ == "__main__":
    sys.exit(main())
