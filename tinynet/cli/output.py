"""What commands print: columns of text, one JSON document, or an error in one line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinynet import files
from tinynet.text import columns


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text as columns."""
    return "\n".join(columns(rows, "   "))


def records(table: Sequence[Sequence[str]]) -> list[dict[str, str]]:
    """Return a table, its header first, as one mapping a row."""
    header, *rows = table
    return [dict(zip(header, row, strict=True)) for row in rows]


def print_json(document: Mapping[str, Any]) -> None:
    """Print strict JSON; numbers that are not finite are the strings "nan", "inf" and "-inf", as in results.json."""
    print(json.dumps(files.finite(document), indent=1, allow_nan=False))


def one_line(error: Exception, path: Path | None = None) -> str:
    """Return the error in words; ``path`` is what was written, should the error not tell."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        where = error.filename or path
        text = f"{where}: {error.strerror}" if where else error.strerror
    return " ".join(text.split())
