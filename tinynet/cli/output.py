"""What commands print: columns of text, one JSON document, or an error in one line."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinynet import files
from tinynet.text import columns

GAP = "   "  # between columns


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text as columns that fit the terminal.

    A table that is too wide changes its form. Of two columns the second is wrapped. Of more, whose first row is the
    header, each row becomes a list.
    """
    lines, width = columns(rows, GAP), _terminal_width()
    if width is None or max(map(len, lines)) <= width:
        return "\n".join(lines)
    if len(rows[0]) == 2:
        left = max(len(name) for name, _ in rows)
        return "\n".join(filled(f"{name:{left}}{GAP}{value}", " " * left + GAP) for name, value in rows)
    (_, *header), *body = rows
    named = [(name, [pair for pair in zip(header, values, strict=True) if pair[1]]) for name, *values in body]
    lists = [[name, *columns(pairs, GAP)] for name, pairs in named]
    return "\n".join("\n  ".join(lines) for lines in lists)


def filled(text: str, indent: str = "") -> str:
    """Wrap text to the terminal's width, all lines but the first indented; a pipe or file gets one line."""
    width = _terminal_width()
    if width is None:
        return text
    return textwrap.fill(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _terminal_width() -> int | None:
    in_terminal = sys.stdout is not None and sys.stdout.isatty()
    return shutil.get_terminal_size().columns if in_terminal else None


def records(table: Sequence[Sequence[str]]) -> list[dict[str, str]]:
    """Return one mapping for each row of a table, whose first row is the header."""
    header, *rows = table
    return [dict(zip(header, row, strict=True)) for row in rows]


def print_json(document: Mapping[str, Any]) -> None:
    """Print strict JSON. Numbers that are not finite become "nan", "inf" and "-inf", as in results.json."""
    print(json.dumps(files.finite(document), indent=1, allow_nan=False))


def one_line(error: Exception, path: Path | None = None) -> str:
    """Return the error's message on one line; ``path`` is the file, if the error does not name it."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        where = error.filename or path
        text = f"{where}: {error.strerror}" if where else error.strerror
    return " ".join(text.split())
