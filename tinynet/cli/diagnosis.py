"""What this machine runs tinynet with, and what to do about each problem found."""

import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from tinynet import datasets, kernels
from tinynet.errors import InputError
from tinynet.experiments.runner import available_cores
from tinynet.machinery import blas

PACKAGES = ("tinynet-lab", "numpy", "numba", "llvmlite", "matplotlib", "tqdm", "threadpoolctl", "safetensors")
PRODUCTS = {"60x100x100": (60, 100, 100), "256x1024x1024": (256, 1024, 1024)}  # batch, inputs, units; float32
MEASURE_SECONDS = 0.04  # for each product and number of threads
WORTH_SAYING = 1.05  # a smaller ratio may be noise
# it leaves other processes out; on Windows its ticks of 16 ms are too long
ONE_THREADS_CLOCK = time.thread_time if os.name == "posix" else time.perf_counter
Speeds = dict[str, dict[str, float]]  # GFLOP/s by product and number of threads


def examine() -> tuple[list[tuple[str, str]], list[str]]:
    """Return facts (name, value) and problems, each a sentence with what to do about it."""
    facts: list[tuple[str, str]] = [
        ("python", f"{platform.python_version()} ({sys.executable})"),
        ("machine", f"{platform.system()} {platform.machine()}, {available_cores()} cores for this process"),
    ]
    problems: list[str] = []
    for package in PACKAGES:
        try:
            facts.append((package, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            facts.append((package, "not installed"))
            if package != "tinynet-lab":  # a checkout runs without being installed
                problems.append(f"{package} is missing: install it, or install tinynet-lab again.")
    for part in (_blas, _cache, _data):
        part(facts, problems)
    return facts, problems


def _blas(facts: list[tuple[str, str]], problems: list[str]) -> None:
    found = blas.library()
    pools = {os.path.realpath(pool["filepath"]): pool for pool in threadpool_info() if pool["user_api"] == "blas"}
    if found is None:
        facts.append(("BLAS", ", ".join(f"{p['internal_api']} {p['version']}" for p in pools.values()) or "not known"))
        problems.append(
            "The BLAS that NumPy uses is not one that tinynet can call: NumPy calls it, which costs a little on small "
            "networks, and its speed is not known here."
        )
        return
    pool: dict[str, Any] = pools[os.path.realpath(found.path)]
    extra = blas.EXTRA in Path(found.path).parts
    owner = "of scipy-openblas32" if extra else "of NumPy"
    facts.append(("BLAS", f"{pool['internal_api']} {pool['version']} {owner}, kernel set {found.kernels}"))
    threads: int = pool["num_threads"]
    use = " (tinynet takes 1)" if found.chosen_by_itself() else ""
    facts.append(("BLAS threads", f"{threads}{use}"))
    if threads > available_cores():
        problems.append(
            f"BLAS uses {threads} threads on {available_cores()} cores: set OPENBLAS_NUM_THREADS={available_cores()}."
        )
    if not extra and importlib.util.find_spec(blas.EXTRA):
        problems.append("scipy-openblas32 is installed, but its library could not be used: install it again.")
    _blas_speed(found, extra, facts, problems)


def _blas_speed(found: blas.Library, extra: bool, facts: list[tuple[str, str]], problems: list[str]) -> None:
    """Measure the BLAS in use beside what may be better, each in a new process: kernels are chosen at the start."""
    now = _measured("library", {})
    _add_speeds(facts, "BLAS", now)
    others: list[tuple[str, Speeds, str]] = []
    best = blas.suitable_kernels()
    if best and found.kernels != "unknown" and not blas.suits(found.kernels):
        setting = f"OPENBLAS_CORETYPE={best}"
        cure = f"set {setting} in the environment before Python starts"
        if not extra and "OPENBLAS_CORETYPE" not in os.environ:
            cure += ", or install tinynet-lab[blas], which needs no setting (the command tinynet sets it for itself)"
        others.append((setting, _measured("library", {"OPENBLAS_CORETYPE": best}), cure))
    if extra:
        others.append(("NumPy's BLAS", _measured("numpy_library", {}), "uninstall scipy-openblas32"))
    for name, speeds, cure in others:
        _add_speeds(facts, name, speeds)
        gains = {p: _first(speeds[p]) / _first(now[p]) for p in PRODUCTS if p in speeds and p in now}
        if gains and min(gains.values()) > 1 and math.prod(gains.values()) > WORTH_SAYING ** len(gains):
            times = " and ".join(f"{product} {gain:.2f} times" for product, gain in gains.items())
            problems.append(f"With {name} one thread computes {times} as fast as now: {cure}.")


def _first(speeds: dict[str, float]) -> float:
    """Return the speed of one thread, which can be compared on a busy machine too."""
    return next(iter(speeds.values()))


def _add_speeds(facts: list[tuple[str, str]], name: str, speeds: Speeds) -> None:
    for product in PRODUCTS:
        words = "could not be measured"
        if product in speeds:
            words = ", ".join(f"{v:.3g} GFLOP/s with {threads}" for threads, v in speeds[product].items())
            if len(speeds[product]) > 1:
                *_, most = speeds[product].values()
                words += f" ({most / _first(speeds[product]):.2f} times)"
        facts.append((f"{name}, {product}", words))


def _measured(which: str, settings: dict[str, str]) -> Speeds:
    """Return what `measure` prints in a new process with these settings; empty if that process fails."""
    code = f"from tinynet.cli import diagnosis; diagnosis.measure({which!r})"
    path = os.pathsep.join(filter(None, [str(Path(kernels.__file__).parents[2]), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, **settings}
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=30
        )
        speeds: Speeds = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return {}
    return speeds


def measure(which: str) -> None:
    """Print as JSON the GFLOP/s of the BLAS that a function of `blas` finds, by product and number of threads."""
    found: blas.Library | None = getattr(blas, which)()
    if found is None:
        return
    counts = sorted({1, found.get_threads()}) if found.set_threads else [None]
    speeds: Speeds = {product: {} for product in PRODUCTS}
    for count in counts:
        if count:
            found.set_threads(count)
        for product, sizes in PRODUCTS.items():
            words = f"{count} thread{'s' * (count > 1)}" if count else "its own threads"
            speeds[product][words] = _gflops(
                found, *sizes, clock=ONE_THREADS_CLOCK if count == 1 else time.perf_counter
            )
    print(json.dumps(speeds))


def _gflops(found: blas.Library, batch: int, inputs: int, units: int, clock: Callable[[], float]) -> float:
    a, b, out = (np.ones(shape, np.float32) for shape in ((batch, inputs), (inputs, units), (batch, units)))
    gemm, arguments = found.gemm["float32"], blas.gemm_arguments(a, b, out)
    best, end = math.inf, time.perf_counter() + MEASURE_SECONDS
    while time.perf_counter() < end or best == math.inf:
        start = clock()
        gemm(*arguments)
        best = min(best, clock() - start)
    return 2e-9 * batch * inputs * units / best


def _cache(facts: list[tuple[str, str]], problems: list[str]) -> None:
    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or Path(kernels.__file__).parent / "__pycache__")
    writable = os.access(next(p for p in (folder, *folder.parents) if p.exists()), os.W_OK)
    facts.append(("kernel cache", f"{folder}{'' if writable else ' (not writable)'}"))
    if not writable:
        problems.append(
            "Compiled kernels cannot be kept beside the package: Numba will use its folder in your home, if it can; "
            "else they are compiled in every process (about 10 s). Set NUMBA_CACHE_DIR to a folder you can write."
        )
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        problems.append("NUMBA_DISABLE_JIT is set: kernels run as plain Python, a thousand times slower; unset it.")
    first_step = _timed(_first_step)
    facts.append(("first training step", f"{first_step:.2f} s, kernels loaded or compiled included"))


def _first_step() -> None:
    from tinynet import training
    from tinynet.models import mlp

    data = datasets.spirals(60)
    training.fit(mlp(2, [10], 3, activation="sigmoid", norm="batch"), data, steps=1)


def _data(facts: list[tuple[str, str]], problems: list[str]) -> None:
    try:
        seconds = _timed(datasets.mnist)
    except (InputError, OSError) as error:
        problems.append(str(error))
    else:
        facts.append(("MNIST", f"loaded and checked in {seconds:.2f} s"))


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
