"""A sweep on a real Dask scheduler with two worker processes, all on this machine."""

import contextlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("distributed")

import tinynet as tn
from tests.experiments.test_suite import toy  # noqa: F401 (a fixture)
from tests.experiments.test_sweep import ROOT, Lab, trainings, until  # noqa: F401 (a fixture)
from tests.timeless import timeless
from tinynet import cli
from tinynet.experiments import executors, store
from tinynet.experiments.executors import scheduler_executor
from tinynet.experiments.runs import RunSettings
from tinynet.experiments.sweep import run_sweep

pytestmark = pytest.mark.slow


@dataclass
class Cluster:
    address: str
    scheduler: "subprocess.Popen[bytes]"
    workers: "list[subprocess.Popen[bytes]]"


def dask(*arguments: str | Path) -> "subprocess.Popen[bytes]":
    """Start one of Dask's programs, on ports of the system's choice."""
    command = [sys.executable, "-m", "dask", *arguments, "--dashboard-address", "127.0.0.1:0", "--no-dashboard"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "10s"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with started(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@contextlib.contextmanager
def started(tmp_path: Path) -> Iterator[Cluster]:
    """Start a scheduler and two workers, and kill them at the end."""
    tmp_path.mkdir(exist_ok=True)
    file = tmp_path / "scheduler.json"
    programs = [dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", file)]
    try:
        until(file.exists)
        until(lambda: file.read_text().endswith("}"))
        address = json.loads(file.read_text())["address"]
        for name in ("a", "b"):
            local = ("--host", "127.0.0.1", "--local-directory", tmp_path / name)
            programs.append(dask("worker", address, *local, "--nthreads", "1", "--no-nanny"))
        with scheduler_executor(address) as executor:
            until(lambda: len(executor._client.scheduler_info()["workers"]) == 2)  # type: ignore[attr-defined]
        yield Cluster(address, programs[0], programs[1:])
    finally:
        for program in reversed(programs):
            program.kill()
            program.wait()


def test_numbers_are_the_same_on_a_cluster(
    cluster: Cluster,
    trainings: list[RunSettings],  # noqa: F811
    tmp_path: Path,
) -> None:
    here = run_sweep(trainings, store=tmp_path / "here")
    with scheduler_executor(cluster.address) as executor:
        there = run_sweep(trainings, store=tmp_path / "there", executor=executor)
    assert there.failures == {}
    assert timeless(there.results) == timeless(here.results)


@pytest.mark.usefixtures("toy")
def test_the_command_runs_on_a_cluster(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["run", "toy", "--quick", "--scheduler", cluster.address, "--out", str(tmp_path / "results")]
    assert cli.main(arguments) == 0
    assert "Holds: 6 runs" in capsys.readouterr().out
    monkeypatch.setattr(store, "code_version", lambda module: "0123456789abcdef")  # here, not on the workers
    assert cli.main(arguments) == 1
    (failed,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("failed: ")]
    assert "has other code than this sweep" in failed
    assert "not 01234567): install the same tinynet on every worker" in failed
    assert failed.endswith("(and 5 more alike, see results.json)")


def test_a_run_that_raises_is_reported_and_the_others_go_on(cluster: Cluster, tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    runs = lab.runs(4, raises="1")
    with scheduler_executor(cluster.address) as executor:
        done = run_sweep(runs, store=lab.store, executor=executor)
        assert run_sweep(runs, store=lab.store, executor=executor).failures == done.failures
    assert done.failures == {runs[1]: "ArithmeticError: no root of -1"}
    assert len(done.results) == 3
    assert lab.begun() == [0, 1, 1, 2, 3], "once a sweep: the cluster neither repeats a failure nor remembers it"


def test_a_worker_and_then_the_scheduler_killed_in_mid_sweep_cost_only_what_was_under_way(tmp_path: Path) -> None:
    with started(tmp_path / "cluster") as cluster:
        _kill_a_worker(cluster, tmp_path / "first")
        _kill_the_scheduler(cluster, tmp_path / "second")


def _kill_a_worker(cluster: Cluster, folder: Path) -> None:
    folder.mkdir()
    lab = Lab(folder)
    runs = lab.runs(30, seconds=0.1)
    killer = kill_when_under_way(lab, cluster.workers[0])
    with scheduler_executor(cluster.address) as executor:
        done = run_sweep(runs, store=lab.store, executor=executor)
    killer.join()
    assert cluster.workers[0].wait() == -signal.SIGKILL
    assert done.failures == {}
    assert {s.seed: result["root"] for s, result in done.results.items()} == {k: math.sqrt(k) for k in range(30)}
    workers = {path.name.split("-")[1] for path in lab.log.iterdir()}
    assert len(workers) == 2, "both had a share"


def _kill_the_scheduler(cluster: Cluster, folder: Path) -> None:
    folder.mkdir()
    lab = Lab(folder)
    runs = lab.runs(30, seconds=0.1)
    killer = kill_when_under_way(lab, cluster.scheduler)
    with (
        pytest.raises(tn.InputError, match="scheduler that the runs were given to is gone"),
        scheduler_executor(cluster.address) as executor,
    ):
        run_sweep(runs, store=lab.store, executor=executor)
    killer.join()
    kept = len(lab.kept())
    assert 5 <= kept < 30
    assert run_sweep(runs, store=lab.store).ran == 30 - kept


def kill_when_under_way(lab: Lab, program: "subprocess.Popen[bytes]") -> threading.Thread:
    def kill() -> None:
        until(lambda: len(lab.kept()) >= 5)
        program.send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    return killer


def refused(address: str) -> str:
    """Return the error of an address where no scheduler is, which must come within ten seconds and in one line."""
    start = time.monotonic()
    with pytest.raises(tn.InputError) as caught, scheduler_executor(address):
        pass
    assert time.monotonic() - start < 10
    assert str(caught.value).startswith(f"no Dask scheduler answers at {address}")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("listens", [False, True])
def test_no_scheduler_at_an_address_is_said_in_time(listens: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert executors.CONNECT_SECONDS == 5
    monkeypatch.setattr(executors, "CONNECT_SECONDS", 1)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        if listens:
            other.listen()
        assert "within 1 s" in refused(f"tcp://127.0.0.1:{other.getsockname()[1]}")


@pytest.mark.parametrize("address", ["no such address", "tcp://127.0.0.1:port", "carrier://pigeon:1"])
def test_what_is_no_address_is_said_at_once(address: str) -> None:
    refused(address)


def test_a_worker_is_no_scheduler(cluster: Cluster) -> None:
    with scheduler_executor(cluster.address) as executor:
        worker = next(iter(executor._client.scheduler_info()["workers"]))  # type: ignore[attr-defined]
    assert refused(worker).endswith("that is a worker")


def test_distributed_missing_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(tn.InputError, match=r"pip install 'tinynet-lab\[dask\]'"), scheduler_executor("any"):
        pass


def test_the_executor_is_an_executor_like_any_other(cluster: Cluster) -> None:
    with scheduler_executor(cluster.address) as executor:
        assert isinstance(executor, Executor)
        assert executor.submit(math.sqrt, 4).result() == 2
