import argparse
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import tinynet as tn
from tinynet import cli, training

SMALL = ["--depth", "2", "--width", "8", "--batch-size", "20"]


@pytest.fixture(scope="module")
def compared(idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("compare") / "new" / "folder"
    arguments = ["compare", *SMALL, "--steps", "60", "--jobs", "2", "--data", str(idx_folder), "--out", str(out)]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert cli.main(arguments) == 0
    return out, printed.getvalue()


@pytest.mark.slow
def test_compare_prints_a_table_and_a_verdict(compared: tuple[Path, str]) -> None:
    _, printed = compared
    header, plain, normalized, *rest = printed.splitlines()
    assert header.split("   ")[0] == "arm"
    assert plain.startswith("plain ")
    assert normalized.startswith("batch norm ")
    assert any(line.startswith(("Holds", "Does not hold", "Not shown")) for line in rest)


@pytest.mark.slow
def test_compare_writes_plots_data_and_page(compared: tuple[Path, str]) -> None:
    out, printed = compared
    names = {path.name for path in out.iterdir()}
    plots = {"convergence", "gradient_by_layer", "gradient_over_training", "activation_percentiles"}
    assert names == {f"{p}.{e}" for p in plots for e in ("png", "svg")} | {
        "report.html",
        "results.json",
        "curves.csv",
        "runs",
    }
    results = json.loads((out / "results.json").read_text())
    assert results["verdict"] in printed
    assert results["command"].startswith("tinynet compare --depth 2")
    assert [(r["arm"], r["settings"]["seed"]) for r in results["runs"]] == [
        (arm, seed) for seed in range(3) for arm in ("plain", "batch norm")
    ]
    for seed, arm in ((0, "plain"), (2, "batch-norm")):
        history = tn.History.from_csv(out / "runs" / f"{arm}-seed{seed}.csv")
        assert history.steps[-1] == 60
    rows = (out / "curves.csv").read_text().splitlines()
    assert len(rows) == 1 + 6 * 60
    page = (out / "report.html").read_text()
    assert results["verdict"] in page
    assert page.count("data:image/svg+xml") == 4


@pytest.mark.slow
def test_saved_runs_are_plotted_over_each_other(compared: tuple[Path, str], tmp_path: Path) -> None:
    runs = [compared[0] / "runs" / f"{arm}-seed0.csv" for arm in ("plain", "batch-norm")]
    out = tmp_path / "curves.svg"
    assert cli.main(["plot", *map(str, runs), "--out", str(out)]) == 0
    assert "plain-seed0" in out.read_text() or out.stat().st_size > 10_000


def test_train_saves_a_network_and_its_history_and_evaluate_reads_it(
    idx_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs" / "net.safetensors"
    assert cli.main(["train", *SMALL, "--epochs", "4", "--data", str(idx_folder), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "60 steps, test accuracy " in printed
    accuracy = printed.split("test accuracy ")[1].split("%")[0]
    assert cli.main(["evaluate", str(out), "--data", str(idx_folder)]) == 0
    assert f"test accuracy {accuracy}%" in capsys.readouterr().out
    assert tn.History.from_csv(tmp_path / "runs" / "net.csv").steps[-1] == 60
    assert cli.main(["plot", str(out), "--out", str(tmp_path / "curves.png")]) == 0
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_train_says_when_a_run_diverged(idx_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--norm", "none", "--activation", "relu", "--lr", "1e20", "--steps", "50", "--data", str(idx_folder)]
    assert cli.main(["train", *SMALL, *arguments, "--out", str(tmp_path / "net.safetensors")]) == 0
    assert "diverged after" in capsys.readouterr().out
    assert tn.History.from_csv(tmp_path / "net.csv").diverged


def test_doctor_prints_facts(capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main(["doctor"])
    printed = capsys.readouterr().out
    assert "numba" in printed
    assert code == (0 if "No problem found." in printed else 1)


# -- wrong arguments ------------------------------------------------------------------------------------------

COMMANDS = next(a for a in cli._parser()._actions if isinstance(a, argparse._SubParsersAction)).choices
NEEDS = {"evaluate": ["net.safetensors"], "plot": ["a.csv"], "run": ["learning-rate"]}
NO_COUNTS = ["0", "-1", "1.5", "many", "nan", "inf", "", "1e3", "²", "9" * 5000, str(10**12)]
NO_SEEDS = ["-1", "1.5", "many", "nan", "9" * 5000, str(10**30)]
NO_RATES = {"--lr": ["0", "-1", "nan", "inf", "fast", ""], "--momentum": ["-0.1", "1", "nan", "inf", "fast", ""]}


def wrong_options() -> Iterator[tuple[list[str], str]]:
    """Every option of every command, wrong in every way that its kind has; and what the message must have."""
    for command, parser in COMMANDS.items():
        given = [command, *NEEDS.get(command, [])]
        yield [*given, "--no-such-option"], "unrecognized arguments: --no-such-option"
        yield [*given, "--no-such\noption"], "unrecognized arguments: --no-such option"
        if command in NEEDS:
            yield [command], "the following arguments are required"
        if command not in ("plot", "run"):  # they take many
            yield [*given, "one-more"], "unrecognized arguments: one-more"
        for action in parser._actions:
            if not action.option_strings or action.nargs == 0:
                continue
            option = action.option_strings[0]
            yield [*given, option], f"argument {option}: expected one argument"
            for value in {cli._positive: NO_COUNTS, cli._seed: NO_SEEDS}.get(action.type, []):
                yield [*given, option, value], f"argument {option}: {value[:30]!r}"[:-1]
            for value in NO_RATES[option] if action.type is float else []:
                yield [*given, option, value], option[2:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["comprae"], "invalid choice: 'comprae' (choose from"),
        (["--no-such-option", "list"], "unrecognized arguments"),
        *wrong_options(),
        # names
        (["compare", "--norm", "btach"], "invalid choice: 'btach' (choose from"),
        (["train", "--norm", ""], "invalid choice: ''"),
        (["compare", "--activation", "sigmid"], "did you mean 'sigmoid'?"),
        (["train", "--activation", "sigmid"], "did you mean 'sigmoid'?"),
        (["train", "--activation", ""], "known: "),
        (["compare", "--init", "he_norml"], "did you mean 'he_normal'?"),
        (["compare", "--init", "normal"], "needs a finite number, as in normal(0.05)"),
        (["train", "--init", "normal(nan)"], "needs a finite number"),
        (["run", "learning-rat"], "did you mean 'learning-rate'?"),
        (["run", "learning-rate", "nothing-like-it", "--out", "new"], "known: vanishing"),
        # values that do not go together
        (["compare", "--batch-size", "1"], "--batch-size must be at least 2"),
        (["compare", "--batch-size", "1", "--out", "new/folder"], "--batch-size must be at least 2"),
        (["compare", "--quick", "--steps", "9"], "not allowed with argument --quick"),
        (["train", "--epochs", "1", "--steps", "1"], "not allowed with argument"),
        (["train", "--checkpoint-every", "9"], "checkpoint_every needs a checkpoint"),
        (["train", "--checkpoint", "x", "--out", "x"], "the network goes there"),
        (["train", "--resume", "x", "--checkpoint", "y"], "--checkpoint: the checkpoint has its own"),
        (["run", "learning-rate", "--scheduler", "tcp://host:1", "--jobs", "2"], "not allowed with argument"),
        (["report", "--jobs", "2", "--scheduler", "tcp://host:1"], "not allowed with argument"),
        # what is not there
        (["compare", "--data", "nowhere"], "nowhere: no such folder"),
        (["train", "--data", "nowhere"], "nowhere: no such folder"),
        (["train", "--resume", "nothing"], "nothing: no such file"),
        (["evaluate", "nothing.safetensors"], "no such file"),
        (["evaluate", "not\nhing"], "not hing: no such file"),
        (["evaluate", "n\udcff"], "not UTF-8 text"),
        (["plot", "nothing.csv"], "No such file"),
        (["plot", "nothing.json"], "No such file"),
        (["plot", "nothing.safetensors"], "nothing.csv: No such file"),
        # what is something else
        (["compare", "--data", "a-file"], "a-file: no such folder"),
        (["train", "--data", "."], "looked for a file"),
        (["train", "--resume", "a-file"], "not a safetensors file"),
        (["train", "--resume", "a-folder"], "a-folder: not a file, but a folder"),
        (["evaluate", "a-file"], "not a safetensors file"),
        (["evaluate", "a-folder"], "a-folder: not a file, but a folder"),
        (["evaluate", ""], "not a file, but a folder"),
        (["plot", "a-file"], "a run is a history"),
        (["plot", "a-folder"], "a-folder: is a folder"),
        (["plot", "."], "is a folder"),
        (["plot", "a.csv", "a-folder/"], "a-folder: is a folder"),
        # where nothing can be written
        (["compare", "--out", "a-file/results"], "cannot write there"),
        (["compare", "--out", "a-file"], "a-file: cannot write there"),
        (["train", "--out", "."], "is a folder"),
        (["train", "--out", "a-file/net.safetensors"], "cannot write there"),
        (["train", "--checkpoint", "a-folder"], "is a folder"),
        (["train", "--checkpoint", "a-file/run"], "cannot write there"),
        (["plot", "a.csv", "--out", "curves.gif"], "must end in .png, .svg, .pdf"),
        (["plot", "a.csv", "--out", "a-file/curves.png"], "cannot write there"),
        (["plot", "a.csv", "--out", "folder.png"], "folder.png: is a folder"),
        (["run", "learning-rate", "--out", "a-file"], "a-file: cannot write there"),
        (["report", "--out", "a-file/results"], "cannot write there"),
    ],
    ids=lambda given: " ".join(given)[:60] if isinstance(given, list) else "",
)
def test_wrong_arguments_are_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a-file").write_text("neither a folder nor a network")
    for name in ("a-folder", "folder.png"):
        Path(name).mkdir()
    before = sorted(tmp_path.rglob("*"))
    try:
        code = cli.main(arguments)
    except SystemExit as exit:
        code = exit.code  # type: ignore[assignment]
    printed = capsys.readouterr()
    assert code == 2
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert len(printed.err) < 400
    assert message in printed.err
    assert printed.err.startswith("tinynet")
    assert sorted(tmp_path.rglob("*")) == before, "nothing was trained or written"


def test_every_command_is_put_to_the_test() -> None:
    assert set(COMMANDS) == {"compare", "train", "evaluate", "plot", "run", "list", "report", "doctor"}


def test_a_network_too_large_for_the_memory_is_one_line(
    idx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def too_large(*arguments: object, **more: object) -> None:
        raise MemoryError("Unable to allocate 5.70 TiB")

    monkeypatch.setattr(training, "fit", too_large)
    assert cli.main(["train", *SMALL, "--data", str(idx_folder), "--out", str(tmp_path / "net")]) == 2
    assert capsys.readouterr().err == "tinynet train: Unable to allocate 5.70 TiB\n"


def test_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["--help"])
    assert end.value.code == 0
    printed = capsys.readouterr().out
    assert all(f"{code} " in printed.split("Exit codes: ")[1] for code in (0, 1, 2, 130, 143))


# -- interruptions --------------------------------------------------------------------------------------------


def assert_group_ends(group: int) -> None:
    """Wait until no process of the group runs (zombies do not)."""
    for _ in range(50):
        listed = subprocess.run(["ps", "-eo", "pgid=,stat="], capture_output=True, text=True).stdout
        running = [row for row in map(str.split, listed.splitlines()) if row[0] == str(group) and row[1][0] != "Z"]
        if not running:
            return
        time.sleep(0.1)
    pytest.fail(f"{len(running)} worker processes are left")


def interrupted(*arguments: object, after: float) -> subprocess.CompletedProcess[str]:
    """Run the command in a process group of its own and send the whole group Ctrl-C, as a terminal does."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tinynet", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    time.sleep(after)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert_group_ends(process.pid)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.mark.slow
@pytest.mark.usefixtures("compared")  # compiles the kernels, so that steps are made before the interruption
def test_ctrl_c_while_comparing_writes_what_was_recorded(idx_folder: Path, tmp_path: Path) -> None:
    endless = ["--steps", 10_000_000, "--data", idx_folder, "--out", tmp_path]
    (tmp_path / "old.txt").write_text("stays")
    # records come every 200,000 steps at this length: the first is forced by the stop itself
    done = interrupted("compare", *SMALL, *endless, after=9)
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert "interrupted" in done.stdout
    results = json.loads((tmp_path / "results.json").read_text())
    assert all(r["interrupted"] and r["history"]["steps"] for r in results["runs"])
    assert (tmp_path / "report.html").exists()
    assert (tmp_path / "old.txt").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("compared")
def test_ctrl_c_while_training_saves_what_there_is(idx_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    done = interrupted("train", *SMALL, "--steps", 1_000_000, "--data", idx_folder, "--out", out, after=6)
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert tn.load(out).inputs == 36
    assert (tmp_path / "net.csv").exists()
