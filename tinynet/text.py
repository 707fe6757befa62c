"""Tables as text, for the terminal."""

from collections.abc import Sequence


def columns(table: Sequence[Sequence[str]], gap: str = "  ") -> list[str]:
    """Return a line for each row, its cells under one another, as wide as the widest of their column."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [gap.join(map(str.ljust, row, widths)).rstrip() for row in table]
