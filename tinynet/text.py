"""Tables as text, for the terminal and for pages in Markdown."""

from collections.abc import Sequence


def columns(table: Sequence[Sequence[str]], gap: str = "  ") -> list[str]:
    """Return one line per row, with the cells of each column padded to equal width."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [gap.join(map(str.ljust, row, widths)).rstrip() for row in table]


def markdown(table: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown; its first row is the header."""
    header, *rows = ([cell.replace("|", "\\|") for cell in row] for row in table)
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows])


def network(rows: Sequence[tuple[str, str, Sequence[str], int, int]], dtype: str) -> str:
    """Return the table of a network's layers, from what `Network.describe` gives."""
    cells = [("layer", "settings", "reads", "outputs", "parameters")]
    cells += [(n, s, ", ".join(r), str(w), f"{p:,}") for n, s, r, w, p in rows]
    head, *body = columns(cells)
    rule = "-" * max(map(len, [head, *body]))
    return "\n".join([head, rule, *body, rule, f"{sum(row[-1] for row in rows):,} parameters, {dtype}"])
