"""Text as wide as the terminal is; for a program, always the same."""

import os

import pytest

from tests.cli.test_terminal import streams
from tinynet import cli
from tinynet.cli.output import aligned, filled

TABLE = [["arm", "accuracy", "steps"], ["plain", "10 %", "none"], ["batch norm", "", "300"]]
PAIRS = [["a", "one two three"], ["long", "four five"]]


@pytest.fixture
def terminal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((request.param, 24)))


def test_for_a_program_nothing_is_folded() -> None:
    assert aligned([["a", "b" * 500], ["c", "d"]]).splitlines() == [f"a   {'b' * 500}", "c   d"]
    assert filled("word " * 100) == "word " * 100


@pytest.mark.parametrize("terminal", [27], indirect=True)
def test_a_table_that_fits_is_columns(terminal: None) -> None:
    wide = "arm          accuracy   steps\nplain        10 %       none\nbatch norm              300"
    assert aligned([row[:2] for row in TABLE]) == "\n".join(line[:21].rstrip() for line in wide.splitlines())
    assert aligned(TABLE) != wide  # 29 wide


@pytest.mark.parametrize("terminal", [28], indirect=True)
def test_a_table_that_is_too_wide_becomes_a_list_for_each_row(terminal: None) -> None:
    assert aligned(TABLE) == ("plain\n  accuracy   10 %\n  steps      none\nbatch norm\n  steps   300")


@pytest.mark.parametrize("terminal", [15], indirect=True)
def test_of_two_columns_the_second_goes_on_under_itself(terminal: None) -> None:
    assert aligned(PAIRS) == "a      one two\n       three\nlong   four\n       five"


@pytest.mark.parametrize("terminal", [12], indirect=True)
def test_a_sentence_is_folded_between_words_and_a_path_is_not(terminal: None) -> None:
    assert filled("- set learning-rate /a/long/path/to", "  ") == "- set\n  learning-rate\n  /a/long/path/to"


def test_no_line_is_wider_than_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pty", reason="Windows has no pseudo-terminals")
    monkeypatch.setenv("COLUMNS", "60")
    with streams(monkeypatch, "stdout", terminal=True) as received:
        assert cli.main(["list"]) == 0
    lines = b"".join(received).decode().splitlines()
    assert lines[0].startswith("vanishing-gradients    Batch normalization")
    assert max(map(len, lines)) <= 60
    assert len(lines) > 8
