"""Ctrl-C and SIGTERM, to the process or to its whole group: one line, and what is finished is kept."""

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import tinynet as tn
from tests.experiments.test_suite import toy  # noqa: F401  one small experiment, alone in the suite
from tests.experiments.test_sweep import Lab, Logged
from tinynet import cli
from tinynet.experiments import executors, runner, store
from tinynet.experiments.sweep import run_sweep

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
ROOT = Path(__file__).parents[2]
SMALL = ["--depth", "2", "--width", "8", "--batch-size", "20"]
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
# `tinynet` that leaves a file behind when its worker processes have made steps
COMPARING = """
import sys
from pathlib import Path
from tinynet import cli
from tinynet.experiments import runner

class Bar:
    def update(self, steps):
        Path(sys.argv[1]).touch()

advance = runner._advance
runner._advance = lambda bar, done: advance(Bar(), done)
sys.exit(cli.main(sys.argv[2:]))
"""


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def processes(group: int) -> list[str]:
    """Return the command line of every process of the group that runs (zombies do not)."""
    listed = subprocess.run(["ps", "-ww", "-eo", "pgid=,stat=,args="], capture_output=True, text=True).stdout
    rows = [row.split(None, 2) for row in listed.splitlines()]
    return [row[2] for row in rows if row[0] == str(group) and row[1][0] != "Z"]


def until(condition: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    """Wait for something that a process is to do."""
    end = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def stopped_when(
    condition: Callable[["subprocess.Popen[str]"], object], *arguments: object, by: signal.Signals
) -> subprocess.CompletedProcess[str]:
    """Run Python in a process group of its own; send the whole group the signal, as a terminal or `timeout` does."""
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    until(lambda: condition(process), process)
    if by == signal.SIGTERM:
        process.send_signal(by)  # `timeout` tells its child, and then the group, in which the child is
    os.killpg(process.pid, by)
    out, err = process.communicate(timeout=300)
    end = time.monotonic() + 60
    while processes(process.pid):
        assert time.monotonic() < end, "worker processes are left"
        time.sleep(0.1)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


# -- the whole group ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_comparison_writes_what_was_recorded(idx_folder: Path, tmp_path: Path) -> None:
    by = signal.SIGINT
    endless = ["--steps", 10_000_000, "--seeds", 1, "--jobs", 2, "--data", idx_folder, "--out", tmp_path]
    mark = tmp_path / "mark"
    # records come every 200,000 steps at this length: the first is forced by the stop itself
    done = stopped_when(lambda _: mark.exists(), "-c", COMPARING, mark, "compare", *SMALL, *endless, by=by)
    assert (done.returncode, done.stderr) == (CODES[by], "")
    assert "interrupted" in done.stdout
    runs = json.loads((tmp_path / "results.json").read_text())["runs"]
    assert runs
    assert all(r["interrupted"] and r["history"]["steps"] for r in runs)
    assert (tmp_path / "report.html").exists()


@pytest.mark.slow
def test_a_sweep_keeps_the_finished_runs(tmp_path: Path) -> None:
    Lab(tmp_path)
    results = tmp_path / "results" / "runs"

    def kept() -> list[Path]:
        return sorted(results.glob("*/*.json"))

    done = stopped_when(lambda _: len(kept()) >= 3, "-m", "tests.cli.long_sweep", tmp_path, by=signal.SIGTERM)
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "tinynet run: interrupted\n")
    assert 3 <= len(kept()) < 900
    finished = [Logged(**json.loads(path.read_text())["settings"]) for path in kept()]
    assert run_sweep(finished, store=results).ran == 0


@pytest.mark.slow
def test_workers_that_are_just_starting_say_nothing_either(tmp_path: Path) -> None:
    Lab(tmp_path)
    by = signal.SIGTERM

    def starting(process: "subprocess.Popen[str]") -> bool:
        return any("spawn_main" in line for line in processes(process.pid))

    done = stopped_when(starting, "-m", "tests.cli.long_sweep", tmp_path, by=by)
    assert (done.returncode, done.stdout, done.stderr) == (CODES[by], "", "tinynet run: interrupted\n")


def test_a_signal_waits_until_a_worker_is_started_whichever_thread_receives_it() -> None:
    leave, started = threading.Event(), []

    def interrupted_start() -> None:
        with executors._stops_later():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
            started.append(True)

    other = threading.Thread(target=leave.wait)  # it does not block signals, as BLAS's threads do not
    other.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted_start()
    finally:
        leave.set()
        other.join()
    assert started
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & executors.STOPS


@pytest.mark.slow
def test_a_training_is_saved_and_can_be_resumed(idx_folder: Path, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "net.safetensors"
    endless = ["--steps", 10_000_000, "--checkpoint", run, "--checkpoint-every", 100, "--data", idx_folder]
    seen: set[int] = set()

    def written_again(_: object) -> bool:
        if run.exists():
            seen.add(run.stat().st_mtime_ns)  # a new file each time
        return len(seen) >= 3

    by = signal.SIGINT
    done = stopped_when(written_again, "-m", "tinynet", "train", *SMALL, *endless, "--out", out, by=by)
    assert (done.returncode, done.stderr) == (CODES[by], "")
    assert "go on: tinynet train --resume" in done.stdout
    assert tn.load(out).inputs == tn.load(run).inputs == 36


@pytest.mark.slow
def test_a_comparison_whose_worker_is_killed_is_one_line(
    idx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    advance = runner._advance

    class Bar:
        def update(self, steps: int) -> None:
            for worker in multiprocessing.active_children()[:1]:
                worker.kill()

    monkeypatch.setattr(runner, "_advance", lambda bar, done: advance(Bar(), done))
    endless = ["--steps", "10000000", "--seeds", "1", "--jobs", "2", "--data", str(idx_folder)]
    assert cli.main(["compare", *SMALL, *endless, "--out", str(tmp_path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("tinynet compare: a worker process was killed (out of memory?)")
    assert printed.err.count("\n") == 1


# -- the process alone ----------------------------------------------------------------------------------------


def test_sigterm_while_training_saves_what_there_is(
    idx_folder: Path, tmp_path: Path, at_step: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "net.safetensors"
    at_step(31, terminate)
    assert cli.main(["train", *SMALL, "--steps", "60", "--data", str(idx_folder), "--out", str(out)]) == 143
    assert re.match(r"31 steps \(interrupted\), test accuracy \S+% at step 30\n", capsys.readouterr().out)
    assert tn.load(out).inputs == 36
    assert tn.History.from_csv(out.with_suffix(".csv")).steps == list(range(3, 31, 3))
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_interrupted_before_its_first_record_it_still_tells_its_steps(
    idx_folder: Path, tmp_path: Path, at_step: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", *SMALL, "--steps", "60", "--data", str(idx_folder), "--out", str(tmp_path / "net")]
    at_step(2, terminate)
    assert cli.main([*arguments, "--json"]) == 143
    found = json.loads(capsys.readouterr().out)
    assert (found["steps"], found["interrupted"], found["test_accuracy"]) == (2, True, "nan")
    at_step(2, terminate)
    assert cli.main(arguments) == 143
    assert capsys.readouterr().out.startswith("2 steps (interrupted)\nnetwork: ")
    assert cli.main(["plot", str(tmp_path / "net.csv"), "--out", str(tmp_path / "curves.png")]) == 2
    assert "net.csv: has no record yet" in capsys.readouterr().err


def test_a_callers_own_handler_of_sigterm_stays(
    idx_folder: Path, tmp_path: Path, at_step: Callable[..., None]
) -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        at_step(31, terminate)
        out = str(tmp_path / "net.safetensors")
        assert cli.main(["train", *SMALL, "--steps", "60", "--data", str(idx_folder), "--out", out]) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM]


@pytest.mark.slow
@pytest.mark.usefixtures("toy")
def test_sigterm_during_a_sweep_keeps_the_finished_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keep, kept = store.Store.keep, []

    def keep_two(self: store.Store, settings: store.Settings, made: dict[str, object]) -> None:
        keep(self, settings, made)
        kept.append(settings)
        if len(kept) == 2:
            terminate()

    command = ["run", "toy", "--jobs", "1", "--out", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr(store.Store, "keep", keep_two)
        assert cli.main(command) == 143
    assert capsys.readouterr().err == "tinynet run: interrupted\n"
    assert len(list(tmp_path.rglob("RunSettings-*/*.json"))) == 2
    assert cli.main(command) == 0
    assert capsys.readouterr().err.endswith("2 kept from before\n")


# -- the program, at any moment -------------------------------------------------------------------------------

# `tinynet` to which a signal comes while it loads
LOADING = """
import os, signal, sys
from tinynet import cli
assert "numpy" not in sys.modules
import tinynet.cli.parser
tinynet.cli.parser.parse = lambda given: os.kill(os.getpid(), int(sys.argv[1]))
sys.exit(cli.main())
"""
# `tinynet` to which a signal comes at step 31, in code that loses what is raised in it, or passes it on
TRAINING = """
import ctypes, os, signal, sys
from tinynet import cli, training

number, how = int(sys.argv.pop(1)), sys.argv.pop(1)

def come():
    os.kill(os.getpid(), number)
    for _ in range(1000):
        pass  # here it is raised, if not before

def swallow():
    try:
        come()
    except BaseException:
        pass

def turn():
    try:
        come()
    except BaseException:
        raise ImportError("failed to import") from None

ways = {
    "called by C": ctypes.CFUNCTYPE(None)(come),  # as LLVM calls Numba while a kernel is loaded
    "caught": swallow,  # as by a bare except
    "in exec": lambda: exec("come()", {"come": come}),
    "turned": turn,
}

class Bar(training.Callback):
    def __init__(self, run):
        pass

    def on_step(self, run):
        if run.step == 31:
            ways[how]()

    def close(self):
        pass

training.StepBar = Bar
sys.exit(cli.main())
"""


def program(text: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", text, *map(str, arguments)]
    return subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


@pytest.mark.parametrize("by", CODES)
def test_while_it_loads_it_ends_at_once_in_one_line(by: signal.Signals) -> None:
    done = program(LOADING, int(by))
    assert (done.returncode, done.stdout, done.stderr) == (CODES[by], "", "tinynet: interrupted\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("by", "how"), [(signal.SIGINT, "called by C"), (signal.SIGTERM, "caught"), (signal.SIGINT, "in exec")]
)
def test_a_training_ends_wherever_the_signal_comes(
    by: signal.Signals, how: str, idx_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "net"
    endless = ["--steps", 10_000_000, "--data", idx_folder, "--out", out]
    done = program(TRAINING, int(by), how, "train", *SMALL, *endless)
    assert (done.returncode, done.stderr) == (CODES[by], "")
    steps = 31 if how == "in exec" else 32
    assert done.stdout == f"{steps} steps (interrupted)\nnetwork: {out}, history: {out}.csv\n"


@pytest.mark.slow
def test_an_interruption_that_became_another_error_is_one_all_the_same(idx_folder: Path, tmp_path: Path) -> None:
    endless = ["--steps", 10_000_000, "--data", idx_folder, "--out", tmp_path / "net"]
    done = program(TRAINING, int(signal.SIGINT), "turned", "train", *SMALL, *endless)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "tinynet train: interrupted\n")


def test_a_signal_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    ignored = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); from tinynet import cli\n"
    ignored += "import tinynet.cli.parser as p; parse = p.parse\n"
    ignored += "p.parse = lambda given: os.kill(os.getpid(), signal.SIGINT) or parse(given)\nsys.exit(cli.main())"
    done = program(ignored, "list")
    assert (done.returncode, done.stderr) == (0, "")
    assert "learning-rate" in done.stdout


@pytest.mark.slow
def test_a_comparison_that_is_stopped_as_its_workers_start_is_one_line(idx_folder: Path, tmp_path: Path) -> None:
    arguments = [*SMALL, "--steps", 10_000_000, "--jobs", 2, "--data", idx_folder, "--out", tmp_path]

    def starting(process: "subprocess.Popen[str]") -> bool:
        return any("spawn_main" in line for line in processes(process.pid))

    done = stopped_when(starting, "-m", "tinynet", "compare", *arguments, by=signal.SIGINT)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "tinynet compare: interrupted\n")


class _Interrupting(executors._Worker):
    """A worker in whose start a signal comes."""

    def start(self) -> None:
        super().start()
        os.kill(os.getpid(), signal.SIGINT)


def test_a_worker_in_whose_start_a_signal_comes_is_known_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors._Spawn, "Process", _Interrupting)
    pool = executors.WorkerProcesses(1)
    with pytest.raises(KeyboardInterrupt):
        pool.start()
    (worker,) = multiprocessing.active_children()
    pool.stop()
    worker.join(30)
    assert worker.exitcode == -signal.SIGKILL
