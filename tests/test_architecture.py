"""The page of the house says what the code says."""

from pathlib import Path

import pytest

from tests import architecture
from tests.architecture import END, START
from tests.test_house import HOUSE, ROOT


def test_the_page_is_what_the_program_writes() -> None:
    text = architecture.PAGE.read_text(encoding="utf-8")
    assert text == architecture.page(text), "docs/architecture.md is old: run `python -m tests.architecture`"


def test_every_part_of_the_house_is_in_the_table_once_on_its_line_with_its_purpose() -> None:
    rows = [line.split(" | ") for line in architecture.house().splitlines() if "](../tinynet/" in line]
    parts = [row[1].split("](../tinynet/")[1].rstrip(")") for row in rows]
    names = [name.removesuffix("/").removesuffix(".py") for name in parts]
    assert names == [name for line in HOUSE for name in line.split()]
    assert all((ROOT / name).exists() for name in parts)
    lines = [int(row[0].removeprefix("| ")) for row in rows]
    assert (lines, lines[0], lines[-1]) == (sorted(lines, reverse=True), len(HOUSE), 1)
    assert rows[parts.index("network.py")][2] == (
        "The layer graph: connected, ordered, checked; run forward and, in reverse, backward. |"
    )


def test_a_purpose_is_the_first_paragraph_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "file.py"
    path.write_text('"""One | thing,\nand another.\n\nMore of it.\n"""\n')
    assert architecture.purpose(path) == "One \\| thing, and another."
    path.write_text("x = 1\n")
    with pytest.raises(AssertionError, match=r"file.py: a file begins with a docstring"):
        architecture.purpose(path)


def test_only_what_is_between_the_marks_is_written() -> None:
    assert architecture.page(f"Words.\n{START}old\n{END}More.\n") == (
        f"Words.\n{START}\n{architecture.house()}\n{END}More.\n"
    )
    for text in ("", START, END + START):
        with pytest.raises(ValueError, match=r"architecture\.md: needs the lines"):
            architecture.page(text)
