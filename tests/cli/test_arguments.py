"""Every option of every command, wrong in every way there is: one line, exit code 2, and nothing is written."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinynet import cli, training
from tinynet.cli import arguments as types
from tinynet.cli import parser

SMALL = ["--depth", "2", "--width", "8", "--batch-size", "20"]
COMMANDS = next(a for a in parser.build()._actions if isinstance(a, argparse._SubParsersAction)).choices
NEEDS = {"evaluate": ["net.safetensors"], "plot": ["a.csv"], "run": ["learning-rate"], "completion": ["bash"]}
NEEDS["export"] = ["net.safetensors", "net.onnx"]
NO_COUNTS = ["0", "-1", "1.5", "many", "nan", "inf", "", "1e3", "²", "9" * 5000, str(10**12)]
NO_DEPTHS = [*NO_COUNTS, "100001", "300000000"]
NO_SEEDS = ["-1", "1.5", "many", "nan", "9" * 5000, str(10**30)]
NO_RATES = {"--lr": ["0", "-1", "nan", "inf", "fast", ""], "--momentum": ["-0.1", "1", "nan", "inf", "fast", ""]}


def wrong_options() -> Iterator[tuple[list[str], str]]:
    """Every option of every command, wrong in every way that its kind has; and what the message must have."""
    for command, own in COMMANDS.items():
        given = [command, *NEEDS.get(command, [])]
        yield [*given, "--no-such-option"], "unrecognized arguments: --no-such-option"
        yield [*given, "--no-such\noption"], "unrecognized arguments: --no-such option"
        if command in NEEDS:
            yield [command], "the following arguments are required"
        if command not in ("plot", "run"):  # they take many
            yield [*given, "one-more"], "unrecognized arguments: one-more"
        for action in own._actions:
            if not action.option_strings or action.nargs == 0:
                continue
            option = action.option_strings[0]
            yield [*given, option], f"argument {option}: expected one argument"
            wrong = {
                types.count: NO_COUNTS,
                types.depth: NO_DEPTHS,
                types.seeds: [*NO_COUNTS, "10000"],
                types.seed: NO_SEEDS,
                types.path: [""],
                types.given: [""],
                types.weight: ["-0.1", "1", "nan", "inf", "much", ""],
                types.pair: ["1", "1,", "a,b", "1,nan", "1,1", "1,2,3", ""],
            }
            for value in wrong.get(action.type, []):
                yield [*given, option, value], f"argument {option}: {value[:30]!r}"[:-1]
            for value in NO_RATES[option] if action.type is float else []:
                yield [*given, option, value], option[2:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "--depth", "300000000"], "'300000000' is not a whole number of at least 1 and at most 100000"),
        (["train", "--depth", "2000", "--json"], "a file can hold 2,500 layers, and this network has 6,001"),
        (["train", "--width", "900000000"], "layers with 1.62e+18 weights would take"),
        (["completion", "tcsh"], "unknown value 'tcsh'; known: bash, zsh, fish"),
        (["list", "--json", "--no-such-option"], "tinynet list: unrecognized arguments"),
        (["compare", "--quik"], "tinynet compare: unrecognized arguments: --quik; did you mean '--quick'?"),
        (["compare", "--sead=9"], "did you mean '--seeds'?"),
        (["evaluate", "nothing.safetensors", "--json"], "no such file"),
        (["comprae"], "unknown command 'comprae'; did you mean 'compare'?"),
        (["--no-such-option", "list"], "unrecognized arguments"),
        *wrong_options(),
        # names
        (["compare", "--norm", "btach"], "unknown value 'btach'; did you mean 'batch'?"),
        (["train", "--norm", ""], "unknown value ''; known: batch, layer, none"),
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
        (["train", "--checkpoint", "x.csv", "--out", "x"], "x.csv: the history goes there"),
        (["train", "--out", "x.csv"], "x.csv: the history goes there"),
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
        (["plot", "nothing.csv"], "nothing.csv: no such file"),
        (["plot", "nothing.json"], "nothing.json: no such file"),
        (["plot", "nothing.safetensors"], "nothing.csv: no such file"),
        # what is something else
        (["compare", "--data", "a-file"], "a-file: no such folder"),
        (["train", "--data", "."], "looked for a file"),
        (["train", "--resume", "a-file"], "not a safetensors file"),
        (["train", "--resume", "a-folder"], "a-folder: not a file, but a folder"),
        (["evaluate", "a-file"], "not a safetensors file"),
        (["evaluate", "a-folder"], "a-folder: not a file, but a folder"),
        (["evaluate", ""], "argument FILE: '' is empty"),
        (["plot", "a.csv", ""], "argument RUN: '' is empty"),
        (["export", "net.safetensors", ""], "argument OUT: '' is empty"),
        (["plot", "a-file"], "a-file: no log of a program that is known here"),
        (["plot", "a-folder"], "a-folder: no log in it"),
        (["plot", "a.csv", "a-folder/"], "a.csv: no such file"),
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


def test_without_a_command_it_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([])
    printed = capsys.readouterr()
    assert (end.value.code, printed.out) == (2, "")
    assert printed.err == parser.build().format_help()


def test_every_command_is_put_to_the_test() -> None:
    files = {path.stem for path in Path(cli.__file__).parent.glob("*.py")}
    assert len(COMMANDS) == len(
        files - {"__init__", "arguments", "command", "diagnosis", "interrupts", "output", "parser", "sweeping"}
    )


def test_a_network_too_large_for_the_memory_is_one_line(
    idx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def too_large(*arguments: object, **more: object) -> None:
        raise MemoryError("Unable to allocate 5.70 TiB")

    monkeypatch.setattr(training, "fit", too_large)
    assert cli.main(["train", *SMALL, "--data", str(idx_folder), "--out", str(tmp_path / "net")]) == 2
    assert capsys.readouterr().err == "tinynet train: Unable to allocate 5.70 TiB\n"
