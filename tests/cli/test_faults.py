"""What befalls the command's output: a reader that goes, a full disk. What is finished is kept."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import tinynet as tn
from tests.experiments.test_suite import toy  # noqa: F401  one small experiment, alone in the suite
from tinynet import cli

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")
ROOT = Path(__file__).parents[2]
SMALL = ["--depth", "2", "--width", "60", "--batch-size", "20", "--momentum", "0.9"]


# -- standard output ------------------------------------------------------------------------------------------

LIST = [sys.executable, "-m", "tinynet", "list"]
HELP = [sys.executable, "-m", "tinynet", "--help"]
LONG = [
    sys.executable,
    "-c",
    "import sys; from tinynet import cli; from tinynet.experiments import suite;"
    "suite.listed = lambda: [['name', 'claim']] * 100_000; sys.exit(cli.main(['list']))",
]


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", [LIST, HELP, LONG], ids=["list", "help", "long"])
def test_a_reader_that_goes_is_no_error(command: list[str], unbuffered: str) -> None:
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    if command is LONG:
        process.stdout.readline()
    process.stdout.close()
    with process.stderr as stream:
        said = stream.read()
    assert process.wait(timeout=60) == 0
    assert said == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
@pytest.mark.parametrize("command", [LIST, HELP, LONG], ids=["list", "help", "long"])
def test_output_to_a_full_disk_is_one_line(command: list[str]) -> None:
    environment = os.environ | {"PYTHONUNBUFFERED": ""}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("tinynet")
    assert "No space left on device" in line


def test_output_that_was_closed_before_the_start_is_no_error() -> None:
    command = ["sh", "-c", 'exec "$0" -m tinynet list >&-', sys.executable]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


# -- a full disk ----------------------------------------------------------------------------------------------


def limit_files(size: int) -> None:
    """Let no file of this process grow beyond so many bytes; -1 ends it.

    To write more raises OSError, as on a full disk, and as there what was written before it stays.
    """
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    limit_files(size)
    try:
        yield
    finally:
        limit_files(-1)


@pytest.fixture
def trained(idx_folder: Path, tmp_path: Path) -> Path:
    """A folder with the network that a training comes to when nothing goes wrong; kernels are compiled, too."""
    folder = tmp_path / "whole"
    arguments = ["train", *SMALL, "--steps", "60", "--data", str(idx_folder)]
    assert cli.main([*arguments, "--out", str(folder / "net.safetensors"), "--checkpoint", str(folder / "run")]) == 0
    return folder


def test_a_network_for_which_there_is_no_room_leaves_its_history_and_its_checkpoint(
    idx_folder: Path, tmp_path: Path, trained: Path, at_step: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    out, run = tmp_path / "net.safetensors", tmp_path / "run"
    arguments = ["train", *SMALL, "--steps", "60", "--data", str(idx_folder), "--out", str(out)]
    at_step(59, lambda: limit_files(5000))
    capsys.readouterr()
    with full_disk(-1):
        assert cli.main([*arguments, "--checkpoint", str(run), "--checkpoint-every", "20"]) == 2
    printed = capsys.readouterr()
    assert printed.err == f"tinynet train: {run}: File too large; {out}: File too large\n"
    assert f"history: {out.with_suffix('.csv')}\ngo on: tinynet train --resume {run}" in printed.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.csv", "run", "whole"]
    assert cli.main(["train", "--resume", str(run), "--data", str(idx_folder), "--out", str(out)]) == 0
    assert out.read_bytes() == (trained / "net.safetensors").read_bytes()


def test_a_network_that_no_file_can_hold_leaves_its_history(
    idx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(where: object, *_: object) -> None:
        raise tn.InputError(f"{where}: batch_norm_1.running_var[0] is inf")

    monkeypatch.setattr("tinynet.io.network_file.check_statistics", refuse)
    out = tmp_path / "net.safetensors"
    assert cli.main(["train", *SMALL, "--steps", "6", "--data", str(idx_folder), "--out", str(out)]) == 2
    assert capsys.readouterr().err == f"tinynet train: {out}: batch_norm_1.running_var[0] is inf\n"
    assert [path.name for path in tmp_path.iterdir()] == ["net.csv"]
    assert tn.History.from_csv(tmp_path / "net.csv").steps[-1] == 6


def test_a_checkpoint_for_which_there_is_no_room_leaves_the_one_before_and_the_network(
    idx_folder: Path, tmp_path: Path, trained: Path, at_step: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    out, run = tmp_path / "net.safetensors", tmp_path / "run"
    arguments = ["train", *SMALL, "--steps", "60", "--data", str(idx_folder), "--out", str(out)]
    sizes = [(trained / name).stat().st_size for name in ("net.safetensors", "run")]
    at_step(31, lambda: limit_files(sum(sizes) // 2))  # room for a network, but not for its velocities, too
    capsys.readouterr()
    with full_disk(-1):
        assert cli.main([*arguments, "--checkpoint", str(run), "--checkpoint-every", "7"]) == 2
    printed = capsys.readouterr()
    assert printed.err == f"tinynet train: {run}: File too large\n"
    assert tn.load(out).inputs == 36
    assert tn.History.from_csv(out.with_suffix(".csv")).steps == list(range(3, 34, 3))
    assert cli.main(["train", "--resume", str(run), "--data", str(idx_folder), "--out", str(out)]) == 0
    assert out.read_bytes() == (trained / "net.safetensors").read_bytes()


@pytest.mark.usefixtures("trained")
def test_a_first_checkpoint_for_which_there_is_no_room_ends_it_before_training(
    idx_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, run = tmp_path / "net.safetensors", tmp_path / "run"
    capsys.readouterr()
    with full_disk(5000):
        arguments = ["train", *SMALL, "--data", str(idx_folder), "--out", str(out)]
        assert cli.main([*arguments, "--checkpoint", str(run)]) == 2
    printed = capsys.readouterr()
    assert printed.err == f"tinynet train: {run}: File too large\n"
    assert printed.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


@pytest.mark.slow
@pytest.mark.usefixtures("trained")
def test_a_comparison_for_which_there_is_no_room_prints_its_table_and_verdict(
    idx_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new"
    small = [*SMALL[:6], "--steps", "20", "--seeds", "1", "--jobs", "1", "--data", str(idx_folder)]
    capsys.readouterr()
    with full_disk(3000):
        assert cli.main(["compare", *small, "--out", str(out)]) == 2
    printed = capsys.readouterr()
    assert re.fullmatch(rf"tinynet compare: {re.escape(str(out))}/\S+: File too large\n", printed.err)
    assert printed.out.startswith("arm ")
    assert "\nNot shown: 1 paired seed is too few" in printed.out
    assert list(out.iterdir()) == []


@pytest.mark.slow
@pytest.mark.usefixtures("toy", "trained")
def test_a_sweep_for_which_there_is_no_room_keeps_the_finished_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new"
    command = ["run", "toy", "--jobs", "1", "--out", str(out)]
    capsys.readouterr()
    with full_disk(3000):  # a run takes less, a plot more
        assert cli.main(command) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(rf"tinynet run: {re.escape(str(out))}/\S+: File too large", last)
    assert cli.main(command) == 0
    assert "6 kept from before" in capsys.readouterr().err
