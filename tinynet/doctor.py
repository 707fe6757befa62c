"""What this machine runs tinynet with, and what to do about each problem found."""

import importlib.metadata
import os
import platform
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

PACKAGES = ("tinynet-lab", "numpy", "numba", "llvmlite", "matplotlib", "tqdm", "threadpoolctl", "safetensors")
# OpenBLAS's kernel sets that use AVX-512; on a processor that has it, the others run at about half the speed
AVX512_KERNELS = ("SkylakeX", "Cooperlake", "SapphireRapids", "Zen4", "Zen5")


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
            if package != "tinynet-lab":  # run from a checkout it need not be
                problems.append(f"{package} is missing: install it, or install tinynet-lab again.")
    for part in (_blas, _cache, _data):
        part(facts, problems)
    return facts, problems


def _blas(facts: list[tuple[str, str]], problems: list[str]) -> None:
    found = [info for info in threadpool_info() if info.get("user_api") == "blas"]
    if not found:
        facts.append(("BLAS", "not recognized"))
        problems.append("The BLAS that NumPy uses is not recognized; training works, its speed is not known here.")
        return
    info: dict[str, Any] = found[0]
    kernel_set = info.get("architecture", "unknown")
    facts.append(("BLAS", f"{info['internal_api']} {info['version']}, kernel set {kernel_set}"))
    facts.append(("BLAS threads", f"{info['num_threads']} (compare: one in each of its worker processes)"))
    simd: Any = np.show_config(mode="dicts")
    has_avx512 = any(name.startswith("AVX512") for name in simd["SIMD Extensions"]["found"])
    if info["internal_api"] == "openblas" and has_avx512 and kernel_set not in AVX512_KERNELS:
        problems.append(
            f"This processor has AVX-512, but OpenBLAS chose its {kernel_set} kernels: set OPENBLAS_CORETYPE=SkylakeX "
            "in the environment before Python starts; matrix products may then take half the time."
        )
    if info["num_threads"] > available_cores():
        problems.append(
            f"BLAS uses {info['num_threads']} threads on {available_cores()} cores: "
            f"set OPENBLAS_NUM_THREADS={available_cores()}."
        )


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
