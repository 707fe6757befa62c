"""Tables of any program as rows of named cells: CSV, TSV, JSON lines and JSON, a row at a time."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from tinynet.convergence.lines import Lines
from tinynet.errors import FileFormatError
from tinynet.files import brief

Cell = float | str | None  # a number, other text, or no measurement
COLUMN_LIMIT = 10_000
DEPTH_LIMIT = 8  # of objects inside a line's object
NOTHING = ("", "na", "n/a", "none", "null", "-")  # NA is Keras' word for a metric that an epoch has not
DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+([eE][-+]?\d+)?", re.ASCII)


class Row(NamedTuple):
    """One row of a table."""

    line: int  # of the file, from 1
    cells: Mapping[str, Cell]
    again: bool  # whether the header was repeated before it: a program was started again


@dataclass
class Table:
    """A table that is read row by row, once.

    Attributes
    ----------
    where : str
        The file, for messages.
    kind : str
        "CSV", "TSV", "JSON lines" or "JSON".
    columns : list of str
        Those of the header; those of the first row that has any, if each row names its own.
    rows : iterator of Row
    notes : list of str
        What reading left out. It is whole when the last row was read.
    """

    where: str
    kind: str
    columns: list[str]
    rows: Iterator[Row]
    notes: list[str] = field(default_factory=list)


def cell(text: str, *, commas: bool = False) -> Cell:
    """Return the number that a text is, None if it says that there is none, else the text.

    Parameters
    ----------
    text : str
        As of a cell. ``93.5%`` is a share, 0.935.
    commas : bool
        Whether ``0,5`` is a half.
    """
    try:
        if "_" not in text:  # float() alone takes "2_3" for 23
            return float(text)
    except ValueError:
        pass
    text = text.strip()
    if text.lower() in NOTHING:
        return None
    if commas and DECIMAL_COMMA.fullmatch(text):
        return float(text.replace(",", "."))
    if text.endswith("%"):
        share = cell(text[:-1], commas=commas)
        return share / 100 if isinstance(share, float) else text
    return text


def separator(line: str) -> str:
    """Return what separates a header's cells: the character that makes most of them; a comma, if none does."""

    def cells(character: str) -> int:
        try:
            return len(_cells(line, character))
        except csv.Error:  # the wrong one, beside quotes
            return 0

    return max(",;\t", key=cells)


def separated(lines: Lines) -> Table:
    """Read CSV, or with semicolons or tabs in place of commas. The first row is the header.

    Raises
    ------
    FileFormatError
        Now or while rows are read: if there is no header, or a line does not fit to it. It names the line.
    """
    source = iter(lines)
    first = next(source, "")
    if first.startswith("sep="):  # as spreadsheets say what separates the cells
        first = next(source, "")
    try:
        comma = separator(first)
        header = _cells(first, comma)
        rows: Iterator[str] = source
        if header and all(isinstance(cell(name, commas=comma != ","), float) for name in header):
            rows = _before(first, source)  # numbers: the names may be in the comment above, as NumPy writes them
            header = _cells(lines.comments[-1].lstrip("# "), comma) if lines.comments else []
    except csv.Error as error:
        raise FileFormatError(f"{lines.name}: line {lines.number}: {error}") from None
    if not first or not header:
        raise FileFormatError(f"{lines.name}: {'no header, which names its columns' if first else 'empty'}")
    if len(header) > COLUMN_LIMIT:
        raise FileFormatError(f"{lines.name}: {len(header):,} columns; there can be {COLUMN_LIMIT:,}")
    table = Table(lines.name, "TSV" if comma == "\t" else "CSV", _distinct(header), iter(()))
    table.rows = _separated(lines, rows, comma, table)
    return table


def _before(line: str, rest: Iterator[str]) -> Iterator[str]:
    yield line
    yield from rest


def _cells(line: str, comma: str) -> list[str]:
    return [name.strip() for name in next(csv.reader([line], delimiter=comma, strict=True), [])]


def _distinct(header: list[str]) -> list[str]:
    """Return names of which none is there twice: the second ``loss`` is ``loss (2)``."""
    seen = Counter[str]()
    names = []
    for name in header:
        seen[name] += 1
        names.append(f"{name} ({seen[name]})" if seen[name] > 1 else name)
    return names


def _separated(lines: Lines, source: Iterator[str], comma: str, table: Table) -> Iterator[Row]:
    header, again, length = table.columns, False, len(table.columns)
    parsed = cell if comma == "," else partial(cell, commas=True)
    reader = csv.reader(source, delimiter=comma, strict=True)
    while True:
        try:
            texts = next(reader, None)
        except csv.Error as error:
            if not lines.ended:
                table.notes.append(f"line {lines.number}, the last, is not whole and was left out")
                return
            raise FileFormatError(f"{lines.name}: line {lines.number}: {error}") from None
        if texts is None:
            if not lines.ended:
                table.notes.append("the last line has no end; it was taken as whole")
            return
        if texts[0].strip() == header[0] and _is_header(texts, header):
            header, again, length = _distinct([text.strip() for text in texts]), True, len(texts)
            table.columns += [name for name in header if name not in table.columns]
            continue
        if len(texts) != length:
            if not lines.ended:
                table.notes.append(f"line {lines.number}, the last, is not whole and was left out")
                return
            if len(texts) > len(header) and not any(text.strip() for text in texts[len(header) :]):
                texts = texts[: len(header)]  # a spreadsheet's empty columns
            else:
                raise FileFormatError(
                    f"{lines.name}: line {lines.number} has {len(texts)} cells, where the header has {len(header)}"
                )
        yield Row(lines.number, dict(zip(header, map(parsed, texts), strict=True)), again)
        again = False


def _is_header(texts: list[str], header: list[str]) -> bool:
    return all(isinstance(cell(text), str) for text in texts) and len(set(map(str.strip, texts)) & set(header)) > 1


def json_lines(lines: Lines) -> Table:
    """Read a JSON object a line; an object inside another gives ``train/loss``.

    Raises
    ------
    FileFormatError
        Now or while rows are read: if a line is not a JSON object. It names the line.
    """
    notes: list[str] = []
    rows = _json_rows(lines, notes)
    first = next(rows, None)
    if first is None:
        raise FileFormatError(f"{lines.name}: no line of it is whole")
    table = Table(lines.name, "JSON lines", list(first.cells), iter(()), notes)
    table.rows = _noted(first, rows, table)
    return table


def _noted(first: Row, rest: Iterator[Row], table: Table) -> Iterator[Row]:
    """Yield all rows, and keep the names of the columns that come up."""
    yield first
    known = set(table.columns)
    for row in rest:
        if new := [name for name in row.cells if name not in known]:
            known.update(new)
            table.columns += new
            if len(known) > COLUMN_LIMIT:
                raise FileFormatError(f"{table.where}: more than {COLUMN_LIMIT:,} columns by line {row.line}")
        yield row


def _json_rows(lines: Lines, notes: list[str]) -> Iterator[Row]:
    for line in lines:
        try:
            content = json.loads(line)
            if not isinstance(content, dict):
                raise ValueError(f"{brief(line.strip())!r} is not an object")
        except (ValueError, RecursionError) as error:
            if not lines.ended:
                notes.append(f"line {lines.number}, the last, is not whole and was left out")
                return
            raise FileFormatError(f"{lines.name}: line {lines.number} is not JSON ({brief(error)})") from None
        yield Row(lines.number, flat(content), False)


def flat(content: Mapping[str, Any], before: str = "", depth: int = 0) -> dict[str, Cell]:
    """Return an object's numbers and texts by name; those of an object inside it with its name before, and a slash."""
    cells: dict[str, Cell] = {}
    for name, value in content.items():
        name = f"{before}{name}"
        if isinstance(value, Mapping) and depth < DEPTH_LIMIT:
            cells |= flat(value, f"{name}/", depth + 1)
        else:
            cells[name] = plain(value)
    return cells


def plain(value: Any) -> Cell:
    """Return a value of JSON as a cell; what is neither a number nor text is its text, and so no number."""
    if isinstance(value, str):
        return cell(value)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:  # an integer of more than 308 digits
            return "too large"
    return type(value).__name__


def from_records(where: str, records: list[Any]) -> Table:
    """Return the table of JSON's list of objects; its lines are their places in the list, from 1.

    Raises
    ------
    FileFormatError
        If something else is in the list.
    """
    rows = []
    for k, record in enumerate(records, 1):
        if not isinstance(record, Mapping):
            raise FileFormatError(f"{where}: entry {k} of its list is not an object but {brief(record)!r}")
        rows.append(Row(k, flat(record), False))
    columns = list(dict.fromkeys(name for row in rows for name in row.cells))
    if len(columns) > COLUMN_LIMIT:
        raise FileFormatError(f"{where}: {len(columns):,} columns; there can be {COLUMN_LIMIT:,}")
    return Table(where, "JSON", columns, iter(rows))


def from_lists(where: str, lists: Mapping[str, list[Any]]) -> Table:
    """Return the table of JSON's lists by name, such as ``{"loss": [0.7, 0.5]}``; shorter ones end sooner."""
    length = max(map(len, lists.values()), default=0)
    columns = {name: list(map(plain, values)) for name, values in lists.items()}
    rows = (Row(k + 1, {n: c[k] for n, c in columns.items() if k < len(c)}, False) for k in range(length))
    return Table(where, "JSON", list(columns), rows)
