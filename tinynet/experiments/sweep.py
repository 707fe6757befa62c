"""Many runs, on whatever executes them: finished ones are kept on disk, so that a sweep goes on where it was."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import multiprocessing
import traceback
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from threadpoolctl import threadpool_limits

import tinynet
from tinynet import files, progress

# what a run's numbers depend on: a change there makes kept results stale, one in a plot does not
NUMBERS = (
    "kernels",
    "layers",
    "datasets",
    "network.py",
    "models.py",
    "inference.py",
    "initializers.py",
    "losses.py",
    "optimizers.py",
    "schedules.py",
    "training.py",
    "probes.py",
    "experiments/runs.py",
)


class Settings(Protocol):
    """A frozen dataclass of plain values whose `run` depends on nothing else and returns plain data."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def run(self) -> dict[str, Any]:
        """Do the run; the result survives JSON."""
        ...


@dataclass
class Sweep:
    """What a sweep gave.

    Attributes
    ----------
    results : dict of settings to dict
        The result of every run that finished, now or before.
    failures : dict of settings to str
        The error of every run that raised one; the others went on.
    ran : int
        How many were not on disk already.
    """

    results: dict[Any, dict[str, Any]] = field(default_factory=dict)
    failures: dict[Any, str] = field(default_factory=dict)
    ran: int = 0


def code_version(settings: Settings) -> str:
    """Return a hash of the source that a run's numbers depend on: tinynet's own and the settings' module."""
    root = Path(tinynet.__file__).parent
    paths = [p for part in NUMBERS for p in sorted((root / part).rglob("*.py"))] + [
        root / part for part in NUMBERS if part.endswith(".py")
    ]
    module = type(settings).__module__.removeprefix("tinynet.").replace(".", "/") + ".py"
    if (root / module).is_file():
        paths.append(root / module)
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def key(settings: Settings, version: str) -> str:
    """Return the name under which a run is kept: a hash of its kind, settings and code version."""
    content = [type(settings).__qualname__, dataclasses.asdict(settings), version]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def execute(settings: Settings) -> dict[str, Any]:
    """Do one run, wherever this is called: on one thread, so that the numbers are the same everywhere."""
    with threadpool_limits(1):
        result: dict[str, Any] = json.loads(json.dumps(settings.run()))  # what is read back later is no different
    return result


def process_pool(jobs: int) -> ProcessPoolExecutor:
    """Return the default executor: spawned processes, since a forked child inherits thread pools that do not run."""
    return ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"))


def run_sweep(
    runs: Iterable[Settings], *, store: Path, executor: Executor | None = None, description: str = "sweep"
) -> Sweep:
    """Do every run that is not in the store yet.

    Parameters
    ----------
    runs : iterable of Settings
        The same settings twice are one run.
    store : Path
        Folder of finished runs, one JSON file each, written whole or not at all.
    executor : concurrent.futures.Executor, optional
        What executes the runs: `process_pool`, Dask's ``Client.get_executor()``, or by default this process.
    description : str
        Before the progress bar.
    """
    sweep = Sweep()
    versions: dict[type, str] = {}
    missing: dict[Settings, Path] = {}
    for settings in dict.fromkeys(runs):
        kind = type(settings)
        versions[kind] = versions.get(kind) or code_version(settings)
        name = key(settings, versions[kind])
        path = store / name[:2] / f"{name}.json"
        kept = _read(path)
        if kept is None:
            missing[settings] = path
        else:
            sweep.results[settings] = kept
    with progress.bar(len(missing), description, unit=" runs") as bar:
        for settings, outcome in _outcomes(list(missing), executor):
            sweep.ran += 1
            if isinstance(outcome, str):
                sweep.failures[settings] = outcome
            else:
                sweep.results[settings] = outcome
                content = {"settings": dataclasses.asdict(settings), "result": outcome}
                files.write_text(missing[settings], json.dumps(content))
            diverged = sum(bool(result.get("diverged")) for result in sweep.results.values())
            bar.set_postfix({"diverged": diverged, "failed": len(sweep.failures)}, refresh=False)
            bar.update(1)
    return sweep


def _read(path: Path) -> dict[str, Any] | None:
    """Return a kept result; a file that is damaged counts as none, and is made again."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))["result"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return result if isinstance(result, dict) else None


def _outcomes(runs: Sequence[Settings], executor: Executor | None) -> Iterable[tuple[Settings, dict[str, Any] | str]]:
    """Yield each run with its result, or its error in words, as they finish."""
    if executor is None:
        for settings in runs:
            try:
                yield settings, execute(settings)
            except Exception as error:
                yield settings, _words(error)
        return
    futures: dict[Future[dict[str, Any]], Settings] = {executor.submit(execute, s): s for s in runs}
    try:
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except BrokenProcessPool:
                yield futures[future], "its worker process was killed"
            except Exception as error:
                yield futures[future], _words(error)
    finally:  # Ctrl-C: what is kept is kept, what has not begun does not begin
        for future in futures:
            future.cancel()


def _words(error: Exception) -> str:
    return "".join(traceback.format_exception_only(error)).strip()
