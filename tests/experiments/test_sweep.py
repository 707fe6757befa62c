import dataclasses
import errno
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import tinynet as tn
from tests.timeless import timeless
from tinynet import files
from tinynet.experiments import sweep
from tinynet.experiments.runs import RunSettings
from tinynet.experiments.sweep import run_sweep

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Logged:
    """A run that leaves a file behind when it begins, named after its seed and process."""

    log: str
    seed: int = 0
    seconds: float = 0.0
    fault: str = ""

    def run(self) -> dict[str, Any]:
        before = len(list(Path(self.log).glob(f"{self.seed}-*")))
        (Path(self.log) / f"{self.seed}-{os.getpid()}-{uuid.uuid4()}").touch()
        time.sleep(self.seconds)
        if self.fault == "raises":
            raise ArithmeticError(f"no root of {-self.seed}")
        if self.fault == "interrupts":
            raise KeyboardInterrupt
        if self.fault == "kills" or (self.fault == "kills once" and not before):
            os.kill(os.getpid(), signal.SIGKILL)
        return {"root": math.sqrt(self.seed)}


@dataclass(frozen=True)
class Diverging:
    def run(self) -> dict[str, Any]:
        return {"diverged": True, "loss": [math.nan, math.inf, -math.inf], "steps": (1, 2)}


class Lab:
    """A log of what has begun, and a store."""

    def __init__(self, folder: Path) -> None:
        self.log, self.store = folder / "log", folder / "store"
        self.log.mkdir(exist_ok=True)

    def runs(self, count: int, seconds: float = 0.0, **faults: str) -> list[Logged]:
        """Return runs of seeds 0, 1, ...; ``raises="2"`` makes that of seed 2 do so."""
        fault = {int(seed): name.replace("_", " ") for name, seed in faults.items()}
        return [Logged(log=str(self.log), seed=k, seconds=seconds, fault=fault.get(k, "")) for k in range(count)]

    def begun(self) -> list[int]:
        """Return the seed of every run that has begun."""
        return sorted(int(path.name.split("-")[0]) for path in self.log.iterdir())

    def kept(self) -> list[Path]:
        return sorted(self.store.glob("*/*.json"))


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


@pytest.fixture
def trainings(idx_folder: Path) -> list[RunSettings]:
    base = RunSettings(depth=2, width=8, steps=20, batch_size=20, record_every=10, data=str(idx_folder))
    return [dataclasses.replace(base, norm=norm, seed=k) for k in range(3) for norm in (None, "batch")]


# -- what is run, and what is kept -------------------------------------------------------------------------


def test_numbers_are_the_same_in_this_process_and_on_threads(trainings: list[RunSettings], tmp_path: Path) -> None:
    here = run_sweep(trainings, store=tmp_path / "here")
    with ThreadPoolExecutor(3) as threads:
        there = run_sweep(trainings, store=tmp_path / "there", executor=threads)
    assert timeless(here.results) == timeless(there.results)
    assert here.ran == there.ran == len(here.results) == len(trainings)


@pytest.mark.slow
def test_numbers_are_the_same_in_worker_processes(trainings: list[RunSettings], tmp_path: Path) -> None:
    here = run_sweep(trainings, store=tmp_path / "here")
    there = run_sweep(trainings, store=tmp_path / "there", jobs=2)
    assert timeless(here.results) == timeless(there.results)


def test_what_is_read_back_is_what_was_given(trainings: list[RunSettings], tmp_path: Path) -> None:
    first = run_sweep(trainings, store=tmp_path)
    again = run_sweep(trainings, store=tmp_path)
    assert again.results == first.results
    assert again.ran == 0


def test_a_finished_run_is_not_run_again_and_another_seed_runs_one_seed(lab: Lab) -> None:
    assert run_sweep(lab.runs(3), store=lab.store).ran == 3
    assert run_sweep(lab.runs(4), store=lab.store).ran == 1
    assert lab.begun() == [0, 1, 2, 3]


def test_the_same_settings_twice_are_one_run(lab: Lab) -> None:
    assert len(run_sweep(lab.runs(2) + lab.runs(2), store=lab.store).results) == 2
    assert lab.begun() == [0, 1]


def test_settings_of_another_kind_are_another_run(lab: Lab) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Other(Logged): ...

    run_sweep([*lab.runs(1), *(Other(**dataclasses.asdict(s)) for s in lab.runs(1))], store=lab.store)
    assert lab.begun() == [0, 0]


def test_nan_and_infinities_survive(tmp_path: Path) -> None:
    for ran in (1, 0):
        done = run_sweep([Diverging()], store=tmp_path)
        assert done.ran == ran
        result = done.results[Diverging()]
        assert math.isnan(result["loss"][0])
        assert result["loss"][1:] == [math.inf, -math.inf]
        assert result["steps"] == [1, 2], "plain JSON from the first time on"


def test_a_run_that_raises_is_reported_and_the_others_go_on(lab: Lab) -> None:
    runs = lab.runs(4, raises="1")
    with ThreadPoolExecutor(2) as threads:
        for executor in (None, threads):
            done = run_sweep(runs, store=lab.store, executor=executor)
            assert done.failures == {runs[1]: "ArithmeticError: no root of -1"}
            assert list(done.results) == [runs[0], runs[2], runs[3]]
    assert lab.begun() == [0, 1, 1, 2, 3], "a failure is not kept"


def test_a_worker_with_other_code_fails_its_runs_and_says_so(lab: Lab) -> None:
    class Cluster(ThreadPoolExecutor):
        """Workers that a sweep with other code sent runs to."""

        def submit(self, call: Any, settings: Any, version: str) -> Any:  # type: ignore[override]
            return super().submit(call, settings, version if settings.seed else "0123456789abcdef")

    runs = lab.runs(3)
    with Cluster(1) as cluster:
        done = run_sweep(runs, store=lab.store, executor=cluster)
    assert list(done.failures) == [runs[0]]
    (failure,) = done.failures.values()
    assert (
        f"other code than this sweep ({sweep.code_version('tinynet')[:8]}, tinynet {tn.__version__}, not 01234567)"
        in failure
    )
    assert "install the same tinynet on every worker" in failure
    assert lab.begun() == [1, 2]


# -- when the store fails ----------------------------------------------------------------------------------


def test_a_store_that_cannot_be_written_is_named_before_anything_is_run(lab: Lab) -> None:
    lab.store.write_text("a file where the folder should be")
    with pytest.raises(tn.InputError, match=f"{lab.store}: cannot write there"):
        run_sweep(lab.runs(2), store=lab.store)
    assert lab.begun() == []


@pytest.mark.parametrize("threads", [0, 1])
def test_a_full_disk_is_one_error_and_what_was_kept_is_kept(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    write: Callable[[Path, str], None] = files.write_text

    def full_after_two(path: Path, text: str) -> None:
        if len(lab.kept()) == 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, text)

    runs = lab.runs(20, seconds=0.01)
    monkeypatch.setattr(files, "write_text", full_after_two)
    with ThreadPoolExecutor(1) as pool, pytest.raises(tn.InputError, match="No space left on device") as caught:
        run_sweep(runs, store=lab.store, executor=pool if threads else None)
    assert str(caught.value).startswith(f"{lab.store}: cannot keep a result there")
    assert len(lab.begun()) < 10, "what had not begun did not begin"
    monkeypatch.undo()
    assert run_sweep(runs, store=lab.store).ran == 18


# -- Ctrl-C and kill ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [0, 1])
def test_an_interrupt_keeps_what_is_finished_and_begins_nothing_more(lab: Lab, threads: int) -> None:
    runs = lab.runs(20, seconds=0.01, interrupts="3")
    with ThreadPoolExecutor(1) as pool, pytest.raises(KeyboardInterrupt):
        run_sweep(runs, store=lab.store, executor=pool if threads else None)
    assert len(lab.begun()) < 10
    assert run_sweep(runs[:3], store=lab.store).ran == 0


@pytest.mark.slow
def test_a_killed_worker_costs_only_what_was_under_way(lab: Lab) -> None:
    runs = lab.runs(12, seconds=0.02, kills_once="3")
    done = run_sweep(runs, store=lab.store, jobs=2)
    assert done.failures == {}
    assert {s.seed: result["root"] for s, result in done.results.items()} == {k: math.sqrt(k) for k in range(12)}
    again = [seed for seed in set(lab.begun()) if lab.begun().count(seed) > 1]
    assert 3 in again
    assert len(again) <= 3, "one a worker, and what the other had just done"


@pytest.mark.slow
def test_a_run_that_kills_its_worker_twice_is_a_failure_and_only_that_one(lab: Lab) -> None:
    runs = lab.runs(8, seconds=0.1, kills="2")
    done = run_sweep(runs, store=lab.store, jobs=2)
    assert list(done.failures) == [runs[2]]
    assert "its worker process was killed, twice" in done.failures[runs[2]]
    assert len(done.results) == 7
    assert lab.begun().count(2) == 2


@pytest.mark.slow
def test_workers_that_cannot_start_are_one_error(lab: Lab) -> None:
    script = lab.log.parent / "script.py"
    script.write_text(
        "from pathlib import Path\nfrom tinynet.experiments.runs import RunSettings\n"
        "from tinynet.experiments.sweep import run_sweep\n"
        f"run_sweep([RunSettings()], store=Path({str(lab.store)!r}), jobs=1)\n"
    )
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    assert "needs `if __name__ == '__main__':` around it" in run.stderr.splitlines()[-1]


def start_sweep(lab: Lab, count: int, seconds: float) -> "subprocess.Popen[str]":
    """Start a sweep on two worker processes in a process group of its own; return when three runs are kept."""
    code = (
        "import sys; from pathlib import Path; from tests.experiments.test_sweep import *\n"
        f"lab = Lab(Path({str(lab.log.parent)!r}))\n"
        f"run_sweep(lab.runs({count}, {seconds}), store=lab.store, jobs=2)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    until(lambda: len(lab.kept()) >= 3 or process.poll() is not None)
    assert process.poll() is None, process.stderr and process.stderr.read()
    return process


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_a_sweep_killed_and_started_again_runs_only_what_was_not_finished(lab: Lab) -> None:
    runs = lab.runs(30, 0.05)
    with start_sweep(lab, 30, 0.05) as process:
        os.killpg(process.pid, signal.SIGKILL)
    begun, kept = lab.begun(), lab.kept()
    assert 3 <= len(kept) < 30
    assert len(begun) - len(kept) <= 4, "at most what two workers were at, and had just done"
    for path in kept:
        assert set(json.loads(path.read_text())) == {"settings", "made_by", "result", "sha256"}
    assert len(kept) == len([path for path in lab.store.glob("*/*") if path.name[0] != "."])
    again = run_sweep(runs, store=lab.store)
    assert again.ran == 30 - len(kept)
    assert {s.seed: result["root"] for s, result in again.results.items()} == {k: math.sqrt(k) for k in range(30)}
    assert len(lab.kept()) == 30


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_workers_end_with_a_parent_that_is_killed(lab: Lab) -> None:
    def pids() -> set[int]:
        return {int(path.name.split("-")[1]) for path in lab.log.iterdir()}

    with start_sweep(lab, 1000, 0.05) as process:
        until(lambda: len(pids()) == 2)
        workers = pids()
        assert all(alive(pid) for pid in workers)
        process.kill()
    until(lambda: not any(alive(pid) for pid in workers), 10)


@pytest.mark.slow
def test_ctrl_c_ends_a_sweep_at_once_and_keeps_what_is_finished(lab: Lab) -> None:
    with start_sweep(lab, 1000, 0.05) as process:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: the workers too
        _, errors = process.communicate(timeout=10)
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")
    kept = [Logged(**json.loads(path.read_text())["settings"]) for path in lab.kept()]
    assert 3 <= len(kept) < 500
    assert len(lab.begun()) - len(kept) <= 4, "at most what two workers were at, and had just done"
    assert run_sweep(kept, store=lab.store).ran == 0


def test_a_sweep_runs_in_a_thread_too(lab: Lab) -> None:
    thread = threading.Thread(target=run_sweep, args=(lab.runs(2),), kwargs={"store": lab.store})
    thread.start()
    thread.join()
    assert lab.begun() == [0, 1]
