"""A few runs watched live: one bar over all their steps, and Ctrl-C keeps what they recorded until then."""

from __future__ import annotations

import contextlib
import os
import queue
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from tinynet import progress
from tinynet.errors import InputError
from tinynet.experiments.executors import SPAWN, WorkerProcesses
from tinynet.experiments.runs import RunSettings
from tinynet.training import Callback, Run

POLL_SECONDS = 0.1  # between looks at what the workers have done


def run_all(settings: Sequence[RunSettings], *, jobs: int, description: str) -> dict[RunSettings, dict[str, Any]]:
    """Do the runs on ``jobs`` worker processes of one thread each; return the results of those that recorded anything.

    On Ctrl-C the workers stop after their current step, and the results end with what was recorded until then.

    Raises
    ------
    InputError
        If a worker process was killed, say for want of memory.
    """
    done, stop = SPAWN.Queue(), SPAWN.Event()
    with (
        progress.bar(sum(s.steps for s in settings), description) as bar,
        WorkerProcesses(jobs, _prepare, done, stop) as pool,
    ):
        finished: list[Future[dict[str, Any] | None]] = []
        try:
            pool.start()
            finished += [pool.submit(_run_in_worker, s) for s in settings]
            waiting = set(finished)
            while waiting:
                waiting = wait(waiting, POLL_SECONDS, FIRST_COMPLETED).not_done
                _advance(bar, done)
        except KeyboardInterrupt:
            stop.set()
            if not finished:  # the workers are being started, and would go on with that
                pool.stop()
                raise
            pool.shutdown(cancel_futures=True)
    try:
        results = [None if future.cancelled() else future.result() for future in finished]
    except BrokenProcessPool:
        raise InputError("a worker process was killed (out of memory?); try fewer with --jobs 1") from None
    return {s: result for s, result in zip(settings, results, strict=False) if result is not None and result["steps"]}


def available_cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# -- in the worker processes ------------------------------------------------------------------------------

_done: Any = None  # a queue to the parent, of steps made
_stop: Any = None  # an event: whether to stop. Both are set once, when a worker starts


def _prepare(done: Any, stop: Any) -> None:
    from threadpoolctl import threadpool_limits

    global _done, _stop
    _done, _stop = done, stop
    threadpool_limits(1)  # two workers with two threads each get in each other's way


def _run_in_worker(settings: RunSettings) -> dict[str, Any] | None:
    return None if _stop.is_set() else settings.train(_Report())


class _Report(Callback):
    """Tells the parent, a few times a second, how many steps were made, and stops when it says so."""

    def __init__(self) -> None:
        self.reported, self.time = 0, time.monotonic()

    def on_step(self, run: Run) -> None:
        now = time.monotonic()
        if now - self.time > POLL_SECONDS or run.step == run.total_steps:
            _done.put(run.step - self.reported)
            self.reported, self.time = run.step, now
            run.stop = _stop.is_set()


# -- in the parent ----------------------------------------------------------------------------------------


def _advance(bar: Any, done: Any) -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            bar.update(done.get_nowait())
