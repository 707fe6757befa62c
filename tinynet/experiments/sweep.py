"""Sweeps: many runs, here or on an executor. Those that finish are kept, so that a sweep goes on where it was."""

from __future__ import annotations

import functools
import json
import platform
import sys
import time
import traceback
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, as_completed, wait
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from tinynet import __version__, files, progress
from tinynet.errors import InputError
from tinynet.experiments.executors import WorkerProcesses
from tinynet.experiments.store import Settings, Store, code_version, folder_of, made_by, shared_module, version_of_data

Outcome = dict[str, Any] | str  # a run's result and how it came about, or its error in words
Outcomes = Generator[tuple[Settings, Outcome], None, None]  # of each run as it finishes


@dataclass
class Sweep:
    """What a sweep gave."""

    results: dict[Any, dict[str, Any]] = field(default_factory=dict)  # of every run that finished, now or before
    failures: dict[Any, str] = field(default_factory=dict)  # the error of every run that raised one
    ran: int = 0  # how many were not on disk already
    seconds: float = 0.0  # how long those took, all together


def execute(settings: Settings) -> dict[str, Any]:
    """Do one run, on one thread, so that its numbers are the same on every machine of this kind."""
    # The limit stays: of two runs in two threads the first to end would lift it, and change the other's numbers.
    threadpool_limits(1)
    result: dict[str, Any] = json.loads(json.dumps(settings.run()))  # what is read back later is no different
    return result


def attempt(settings: Settings, version: str | None = None) -> Outcome:
    """Do one run; return its ``result``, what it was ``made_by`` and on which ``data``, or its error in words.

    A worker elsewhere is given the ``version`` of the sweep's code. If its own code has another, the run fails, since
    its numbers could be others.
    """
    try:
        if version is not None and (found := _own_version(shared_module(settings))) != version:
            raise InputError(
                f"its worker on {platform.node()} has other code than this sweep ({found[:8]}, tinynet "
                f"{__version__}, not {version[:8]}): install the same tinynet on every worker and start it again"
            )
        result = execute(settings)
        data = version_of_data(folder_of(settings))  # as it is after the run
        return {"result": result, "made_by": made_by(), "data": data}
    except Exception as error:
        return _message(error)


_own_version = functools.cache(code_version)  # asked for once: files may change, but not what this process runs


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
        Folder of finished runs. Each has a JSON file, which is written whole or not at all. Runs that another version
        of the code made are left alone. A run whose file is damaged is made again. Standard error says of both.
    jobs : int, optional
        The number of worker processes. When one is killed, new ones do the other runs. By default the runs are done
        in this process.
    executor : concurrent.futures.Executor, optional
        What does the runs in place of processes, such as Dask's ``Client.get_executor()``.
    description : str
        What stands before the progress bar.

    Raises
    ------
    InputError
        If the store cannot be written, or a cluster's scheduler is gone. Then, as after Ctrl-C, no other run begins,
        and what was kept stays.
    """
    sweep, kept = Sweep(), Store(store)
    missing: list[Settings] = []
    for settings in dict.fromkeys(runs):
        result = kept.read(settings)
        if result is None:
            missing.append(settings)
        else:
            sweep.results[settings] = result
    if not missing:
        return sweep
    files.writable_folder(store)  # known before any work is done
    for remark in kept.remarks({type(settings) for settings in missing}):
        print(remark, file=sys.stderr)
    diverged = sum(bool(result.get("diverged")) for result in sweep.results.values())
    start = time.monotonic()
    outcomes: Outcomes = ((settings, attempt(settings)) for settings in missing)
    if executor is not None:
        outcomes = _on_executor(missing, kept, executor)
    elif jobs is not None:
        outcomes = _on_processes(missing, jobs)
    with (
        threadpool_limits(1),  # for runs in this process; see `execute`
        progress.bar(len(missing), description, unit=" runs") as bar,
        closing(outcomes),
    ):
        for settings, outcome in outcomes:
            sweep.ran += 1
            folder = folder_of(settings)
            if isinstance(outcome, dict) and outcome.pop("data") != kept.data_version(folder):
                outcome = f"{folder}: is not the data set that it was when this sweep began; start it again"
            if isinstance(outcome, str):
                sweep.failures[settings] = outcome
            else:
                kept.keep(settings, outcome)
                sweep.results[settings] = outcome["result"]
                diverged += bool(outcome["result"].get("diverged"))
            bar.set_postfix({"diverged": diverged, "failed": len(sweep.failures)}, refresh=False)
            bar.update(1)
    sweep.seconds = time.monotonic() - start
    return sweep


def _on_executor(runs: Sequence[Settings], kept: Store, executor: Executor) -> Outcomes:
    futures: dict[Future[Outcome], Settings] = {}
    try:
        for settings in runs:
            futures[executor.submit(attempt, settings, kept.version(shared_module(settings)))] = settings
        for future in as_completed(futures):
            yield futures[future], _outcome(future)
    finally:
        for future in futures:
            future.cancel()


def _on_processes(runs: Sequence[Settings], jobs: int) -> Outcomes:
    """Do the runs on worker processes.

    When a worker is killed, for want of memory, say, all runs of its pool are lost. They are done again one at a time:
    so it is found which one kills its process. Then the others go on.
    """
    waiting = deque(runs)
    while waiting:
        suspects = deque((yield from _until_killed(waiting, jobs)))
        while suspects:
            for settings in (yield from _until_killed(suspects, 1)):
                yield settings, "its worker process was killed, twice (out of memory?)"


def _until_killed(waiting: deque[Settings], jobs: int) -> Generator[tuple[Settings, Outcome], None, list[Settings]]:
    """Do the waiting runs until there are none or a worker is killed; return the runs that were lost with it."""
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
    except CancelledError:  # by the scheduler: what is cancelled here is not waited for any more
        raise InputError(
            "the scheduler that the runs were given to is gone; the runs finished before are kept: "
            "start again to go on"
        ) from None
    except Exception as error:
        return _message(error)


def _message(error: Exception) -> str:
    if isinstance(error, InputError):
        return str(error)
    return "".join(traceback.format_exception_only(error)).strip()
