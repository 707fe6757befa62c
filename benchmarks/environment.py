"""What the numbers were measured with: machine, versions, the BLAS and its kernels, threads."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import threadpoolctl

from benchmarks.peer import Peer

VARIABLES = (
    "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_CORETYPE",
    "OMP_WAIT_POLICY", "XLA_FLAGS",
)  # fmt: skip


def describe(peers: Mapping[str, type[Peer]]) -> dict[str, Any]:
    """Return machine, date, versions, thread pools as they are after the peers were loaded, and what the user set."""
    packages = dict.fromkeys(package for peer in peers.values() for package in peer.packages)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "threadpools": [
            {
                "of": owner(pool["filepath"]),
                **{key: pool.get(key) for key in ("internal_api", "version", "architecture", "num_threads")},
            }
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
        if package != "tinynet-lab":
            return "unknown"
        import tinynet

        return f"{tinynet.__version__} (from source)"


def processor() -> str:
    """Return the processor's name, as far as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def lines(environment: Mapping[str, Any]) -> list[str]:
    """Return the same as lines to read."""
    versions = ", ".join(f"{name} {number}" for name, number in environment["versions"].items())
    found = [environment["machine"], f"Python {environment['python']}, {versions}"]
    for pool in environment["threadpools"]:
        words = [
            pool["internal_api"],
            pool["version"],
            pool["architecture"] and f"with {pool['architecture']} kernels",
        ]
        of = f" ({pool['of']})" if pool["of"] else ""
        found.append(f"{' '.join(str(word) for word in words if word)}{of}: {pool['num_threads']} threads")
    settings = ", ".join(f"{name}={value}" for name, value in environment["set by the user"].items())
    found.append(f"thread and kernel settings in the environment: {settings or 'none, all as they come'}")
    return found
