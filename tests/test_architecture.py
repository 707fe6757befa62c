"""The page of the house says what the code says."""

from pathlib import Path

import pytest

from tests import architecture
from tests.architecture import END, START
from tests.test_house import CORE, HOUSE, ROOT


def test_the_page_is_what_the_program_writes() -> None:
    text = architecture.PAGE.read_text(encoding="utf-8")
    assert text == architecture.page(text), "docs/architecture.md is old: run `python -m tests.architecture`"


def test_every_file_is_in_the_table_once_on_its_floor_with_its_purpose() -> None:
    rows = [line.split(" | ") for line in architecture.house().splitlines() if "](../tinynet/" in line]
    files = [row[1].split("](../tinynet/")[1].rstrip("*)") for row in rows]
    assert sorted(files) == sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
    floors = [int(row[0].removeprefix("| ")) for row in rows]
    assert floors == sorted(floors, reverse=True)
    assert (floors[0], floors[-1]) == (len(HOUSE), 1)
    network = rows[files.index("network.py")]
    assert network[1:] == [
        "**[network.py](../tinynet/network.py)**",
        "The layer graph: connected, ordered, checked; run forward and, in reverse, backward. |",
    ]


def test_the_core_is_bold_and_its_machinery_is_not() -> None:
    bold = {line.split("**")[1].split("]")[0].strip("[") for line in architecture.house().splitlines() if "**" in line}
    core = [path for part in CORE for path in ([ROOT / part] if part.endswith(".py") else (ROOT / part).glob("*.py"))]
    assert bold == {path.relative_to(ROOT).as_posix() for path in core}


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
