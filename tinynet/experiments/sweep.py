"""Many runs, on whatever executes them: finished ones are kept on disk, so that a sweep goes on where it was."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
import traceback
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, as_completed, wait
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from threadpoolctl import threadpool_limits

import tinynet
from tinynet import files, progress
from tinynet.errors import InputError
from tinynet.experiments.executors import WorkerProcesses

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
    "history.py",
    "probes.py",
    "experiments/runs.py",
    "experiments/variants.py",
)

Outcome = dict[str, Any] | str  # a run's result, or its error in words


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
    paths += _source(type(settings).__module__, root)
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _source(module: str, root: Path) -> list[Path]:
    """Return the file of the settings' module, if it has one: tinynet's, or the user's own."""
    name = module.removeprefix("tinynet.")
    if name != module:
        return [root / f"{name.replace('.', '/')}.py"]
    file = getattr(sys.modules[module], "__file__", None)
    return [Path(file)] if file else []


def key(settings: Settings, version: str) -> str:
    """Return the name under which a run is kept: a hash of its kind, settings and code version."""
    content = [type(settings).__qualname__, dataclasses.asdict(settings), version]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def execute(settings: Settings) -> dict[str, Any]:
    """Do one run, wherever this is called: on one thread, so that the numbers are the same everywhere."""
    # Not given back after the run: with two runs in two threads, the first to end would change the other's numbers.
    threadpool_limits(1)
    result: dict[str, Any] = json.loads(json.dumps(settings.run()))  # what is read back later is no different
    return result


def attempt(settings: Settings) -> Outcome:
    """Do one run and return its result, or its error in words, which any worker can send back."""
    try:
        return execute(settings)
    except Exception as error:
        return _words(error)


def run_sweep(
    runs: Iterable[Settings],
    *,
    store: Path,
    jobs: int | None = None,
    executor: Executor | None = None,
    description: str = "sweep",
) -> Sweep:
    """Do every run that is not in the store yet.

    Parameters
    ----------
    runs : iterable of Settings
        The same settings twice are one run.
    store : Path
        Folder of finished runs, one JSON file each, written whole or not at all.
    jobs : int, optional
        On so many worker processes; when one is killed, the others' runs go on in new ones. By default in this
        process.
    executor : concurrent.futures.Executor, optional
        Or on this one, as it is, such as Dask's ``Client.get_executor()``.
    description : str
        Before the progress bar.

    Raises
    ------
    InputError
        If the store cannot be written, or a cluster's scheduler is gone. As after Ctrl-C, what has not begun does not
        begin, and what is kept is kept.
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
    if not missing:
        return sweep
    files.writable_folder(store)  # known before any work is done
    diverged = sum(bool(result.get("diverged")) for result in sweep.results.values())
    with (
        threadpool_limits(1),  # for runs in this process; see `execute`
        progress.bar(len(missing), description, unit=" runs") as bar,
        closing(_outcomes(list(missing), jobs, executor)) as outcomes,
    ):
        for settings, outcome in outcomes:
            sweep.ran += 1
            if isinstance(outcome, str):
                sweep.failures[settings] = outcome
            else:
                sweep.results[settings] = outcome
                _keep(missing[settings], settings, outcome, store)
                diverged += bool(outcome.get("diverged"))
            bar.set_postfix({"diverged": diverged, "failed": len(sweep.failures)}, refresh=False)
            bar.update(1)
    return sweep


def _keep(path: Path, settings: Settings, result: dict[str, Any], store: Path) -> None:
    try:
        files.write_text(path, json.dumps({"settings": dataclasses.asdict(settings), "result": result}))
    except OSError as error:
        raise InputError(
            f"{store}: cannot keep a result there ({error.strerror}); the runs finished before are kept: "
            "make room and start again to go on, or choose another folder"
        ) from None


def _read(path: Path) -> dict[str, Any] | None:
    """Return a kept result; a file that is damaged counts as none, and is made again."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))["result"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return result if isinstance(result, dict) else None


Outcomes = Generator[tuple[Settings, Outcome], None, None]


def _outcomes(runs: Sequence[Settings], jobs: int | None, executor: Executor | None) -> Outcomes:
    """Yield the outcome of each run as it finishes."""
    if executor is not None:
        yield from _on_executor(runs, executor)
    elif jobs is not None:
        yield from _on_processes(runs, jobs)
    else:
        for settings in runs:
            yield settings, attempt(settings)


def _on_executor(runs: Sequence[Settings], executor: Executor) -> Outcomes:
    futures: dict[Future[Outcome], Settings] = {}
    try:
        for settings in runs:
            futures[executor.submit(attempt, settings)] = settings
        for future in as_completed(futures):
            yield futures[future], _outcome(future)
    finally:
        for future in futures:
            future.cancel()


def _on_processes(runs: Sequence[Settings], jobs: int) -> Outcomes:
    """Do the runs on worker processes.

    When one is killed, all the pool's runs are lost with it. Those that may have been under way are done again one at
    a time, so that the one that kills its process (for want of memory, say) is known; then the others go on.
    """
    waiting = deque(runs)
    while waiting:
        suspects = deque((yield from _until_killed(waiting, jobs)))
        while suspects:
            for settings in (yield from _until_killed(suspects, 1)):
                yield settings, "its worker process was killed, twice (out of memory?)"


def _until_killed(waiting: deque[Settings], jobs: int) -> Generator[tuple[Settings, Outcome], None, list[Settings]]:
    """Take runs from ``waiting`` until there are none or a worker is killed; return what was lost with it."""
    at_once = 2 * jobs if jobs > 1 else 1  # a worker finds its next run waiting
    lost: list[Settings] = []
    pool = WorkerProcesses(jobs)
    try:
        pool.start()
        futures: dict[Future[Outcome], Settings] = {}
        while not lost and (waiting or futures):
            finished = wait(futures, return_when=FIRST_COMPLETED).done if futures else set()
            ended = [(futures.pop(future), future) for future in finished]
            lost = [settings for settings, future in ended if isinstance(future.exception(), BrokenExecutor)]
            while not lost and waiting and len(futures) < at_once:
                try:
                    futures[pool.submit(attempt, waiting[0])] = waiting[0]
                except BrokenExecutor:
                    lost.append(waiting[0])
                waiting.popleft()
            for settings, future in ended:
                if settings not in lost:
                    yield settings, _outcome(future)
        for future, settings in futures.items():
            if isinstance(future.exception(), BrokenExecutor):
                lost.append(settings)
            else:
                yield settings, _outcome(future)
    finally:
        pool.stop()
    return lost


def _outcome(future: Future[Outcome]) -> Outcome:
    try:
        return future.result()
    except BrokenExecutor:
        return "its worker process was killed"
    except CancelledError:  # not by us: what is cancelled here is not waited for any more
        raise InputError(
            "the scheduler that the runs were given to is gone; the runs finished before are kept: "
            "start again to go on"
        ) from None
    except Exception as error:
        return _words(error)


def _words(error: Exception) -> str:
    return "".join(traceback.format_exception_only(error)).strip()
