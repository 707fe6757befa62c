"""What a sweep runs on: worker processes of this machine, or a Dask cluster."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

from tinynet.errors import InputError

CONNECT_SECONDS = 5  # a scheduler that has not answered by then is not there
STOPS = {signal.SIGINT, signal.SIGTERM}  # Ctrl-C goes to the whole process group, and so does what `timeout` sends


class _Worker(SpawnProcess):
    def start(self) -> None:
        """Start the worker with Ctrl-C held back: one that came while it imports would print a traceback."""
        with _stops_later():  # the new process inherits this
            super().start()

    def terminate(self) -> None:
        """Kill the worker. A pool that lost another worker would send SIGTERM, which it ignores, and wait for ever."""
        self.kill()


class _Spawn(SpawnContext):
    Process = _Worker


SPAWN = _Spawn()


class WorkerProcesses(ProcessPoolExecutor):
    """A pool of worker processes. They leave Ctrl-C and SIGTERM to their parent, and end when it ends.

    They are spawned: a forked process would have its parent's thread pools, whose threads do not run in it.

    Parameters
    ----------
    jobs : int
        The number of processes.
    prepare, *arguments
        A function that each calls before its first run, and its arguments.
    """

    def __init__(self, jobs: int, prepare: Callable[..., None] | None = None, *arguments: Any) -> None:
        super().__init__(jobs, SPAWN, _start_worker, (prepare, *arguments))
        self.jobs = jobs

    def submit(self, call: Callable[..., Any], /, *arguments: Any, **more: Any) -> Future[Any]:
        """Submit a call, which may start a worker. No Ctrl-C comes between its start and its being known to `stop`."""
        with _stops_later():
            return super().submit(call, *arguments, **more)

    def start(self) -> None:
        """Start all workers and wait for the first; raise InputError if they die while they start."""
        ready = [self.submit(os.getpid) for _ in range(self.jobs)]  # each starts one
        try:
            next(as_completed(ready)).result()
        except RuntimeError:  # BrokenProcessPool, or a script that starts itself again and again
            raise InputError(
                "the worker processes died as they were started; a script that runs a sweep needs "
                "`if __name__ == '__main__':` around it"
            ) from None

    def stop(self) -> None:
        """Kill the workers, whatever they are doing."""
        for process in list((self._processes or {}).values()):
            process.kill()
        self.shutdown(cancel_futures=True)


def _start_worker(prepare: Callable[..., None] | None, *arguments: Any) -> None:
    """Prepare this process, which is a worker."""
    for stop in STOPS:
        signal.signal(stop, signal.SIG_IGN)  # also of a signal that was held back while it started
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if prepare is not None:
        prepare(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)  # a parent that was killed has told no one: its workers would wait for ever


@contextlib.contextmanager
def _stops_later() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back until the block ends. In a process that is started there they stay held back."""
    if not hasattr(signal, "pthread_sigmask"):  # on Windows a process gets no signal to end
        yield
        return
    came: list[int] = []
    handlers: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():  # whose handlers see every thread's signals
        for stop in STOPS:
            handlers[stop] = signal.signal(stop, lambda number, _: came.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        for stop, handler in handlers.items():
            signal.signal(stop, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number in dict.fromkeys(came):
            signal.raise_signal(number)


@contextlib.contextmanager
def scheduler_executor(address: str) -> Iterator[Executor]:
    """Give the executor of a Dask cluster, whose workers have the same tinynet installed.

    Parameters
    ----------
    address : str
        Of the scheduler, such as ``tcp://10.0.0.1:8786``.

    Raises
    ------
    InputError
        If ``distributed`` is not installed, or no scheduler answers within five seconds.
    """
    try:
        import distributed
    except ImportError:
        raise InputError("a Dask scheduler needs one more package: pip install 'tinynet-lab[dask]'") from None
    dask: Any = distributed  # it is not typed

    async def kind() -> str:
        async with asyncio.timeout(CONNECT_SECONDS):
            comm = await dask.core.connect(address)
            try:
                await comm.write({"op": "identity", "reply": True})
                identity: dict[str, str] = await comm.read()
            finally:
                comm.abort()
        return identity["type"]

    # A Client waits for ever for a listener that is silent, and is hard to close if it fails: so first ask by hand.
    try:
        with ThreadPoolExecutor(1) as thread:  # a notebook's thread has an event loop of its own
            found = thread.submit(lambda: asyncio.run(kind())).result()
    except TimeoutError:
        raise InputError(f"no Dask scheduler answers at {address} within {CONNECT_SECONDS} s") from None
    except (OSError, ValueError) as error:
        raise InputError(f"no Dask scheduler answers at {address} ({' '.join(str(error).split())})") from None
    if found != "Scheduler":
        raise InputError(f"no Dask scheduler answers at {address}: that is a {found.lower()}")
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # the sweep says when a scheduler is gone
    with dask.Client(address, timeout=CONNECT_SECONDS, set_as_default=False) as client:
        # No retries: a run that raised would raise again. A run whose worker died is done again without being asked.
        yield client.get_executor(pure=False, retries=0)
