"""What the helps say is true: examples can be run, exit codes are all there."""

import re
import shlex
from pathlib import Path

import pytest

from tinynet import cli
from tinynet.cli import command, parser
from tinynet.experiments import suite

ROOT = Path(__file__).parents[2]
COMMANDS = {c.name: c for c in parser.commands()}
EXAMPLES = [(c.name, line) for c in COMMANDS.values() for line in c.examples.values()]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "how_to").glob("*.md"))]


def printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 0
    return capsys.readouterr().out


def parsed(line: str) -> str:
    """Return the name of the command that a shell's line calls; SystemExit if its arguments are wrong."""
    words = shlex.split(line, comments=True)
    end = min(words.index(sign) if sign in words else len(words) for sign in (">", "|"))
    assert words[0] == "tinynet"
    args = parser.build().parse_args(words[1:end])
    suite.find(getattr(args, "experiments", []))
    name: str = args.name
    return name


def lines_of(page: Path) -> list[str]:
    """Return the lines of a page's sh blocks that call tinynet, without what is set before them."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line.removeprefix("uv run ") for line in lines if re.match(r"(uv run )?tinynet\b", line)]


@pytest.mark.parametrize(("name", "line"), EXAMPLES)
def test_every_example_can_be_run_as_it_stands(name: str, line: str) -> None:
    assert parsed(line) == name


def test_the_first_help_has_examples_that_can_be_run_in_order() -> None:
    lines = [line for line in parser.START.splitlines() if line.startswith("    ")]
    assert [parsed(line) for line in lines] == ["compare", "train", "evaluate", "report"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_commands_help_ends_with_two_or_more_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    examples = COMMANDS[name].examples
    assert len(examples) >= 2
    *_, end = printed([name, "--help"], capsys).partition("\nexamples:\n")
    assert end == "".join(f"  {wanted}\n    {line}\n" for wanted, line in examples.items())


@pytest.mark.parametrize("page", [page for page in PAGES if lines_of(page)], ids=lambda page: page.stem)
def test_every_line_of_the_documentation_is_one_that_the_command_takes(page: Path) -> None:
    for line in lines_of(page):
        if not re.search(r"\bCOMMAND\b|--help", line):
            assert parsed(line) in COMMANDS


def test_the_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    codes = printed(["--help"], capsys).partition("exit codes:\n")[2]
    assert re.findall(r"^  (\d+) ", codes, re.MULTILINE) == ["0", "1", "2", "130", "143"]
    assert (command.FAILED, command.UNUSABLE, command.INTERRUPTED, command.TERMINATED) == (1, 2, 130, 143)


def test_the_documentation_tells_the_same_exit_codes() -> None:
    page = (ROOT / "docs" / "how_to" / "command_line.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (\d+) \|", page, re.MULTILINE) == ["0", "1", "2", "130", "143"]


def test_the_documentation_names_every_command() -> None:
    page = (ROOT / "docs" / "how_to" / "command_line.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`tinynet .*?) \|", page, re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"[a-z]+", row.replace("tinynet ", ""))]
    assert sorted(named) == sorted(COMMANDS)


def test_the_list_of_commands_is_in_the_help_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    listed = re.findall(r"^    ([a-z]+)\b", printed(["--help"], capsys), re.MULTILINE)
    assert [name for name in listed if name in COMMANDS] == list(COMMANDS)
    assert printed(["--version"], capsys).startswith("tinynet ")
