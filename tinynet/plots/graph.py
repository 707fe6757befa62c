"""The drawing of a layer graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from tinynet.plots.style import axes_or_new, styled

Row = tuple[str, str, tuple[str, ...], int, int]  # of `Network.describe`


@styled()
def draw_graph(rows: Sequence[Row], ax: Axes | None = None) -> Axes:
    """Draw a layer graph: the data at the top, kind and number of outputs in each box, an arrow for each input.

    Parameters
    ----------
    rows : sequence of tuple
        What `Network.describe` returns.
    ax : Axes, optional
    """
    place, breadth, depth = _places(rows)
    ax = axes_or_new(ax, _inches(breadth, depth))
    for name, settings, reads, outputs, _ in rows:
        x, y = place[name]
        kind = settings.split("(")[0]
        text = f"input: {outputs}" if name == "input" else f"{kind} {name.split('_')[-1]}: {outputs}"
        box = {"boxstyle": "round,pad=0.4", "facecolor": _fill(kind), "edgecolor": "black"}
        ax.text(x, y, text, ha="center", va="center", fontsize=12, parse_math=False, bbox=box)
        for read in reads:
            start, end, bend = _arrow(place[read], place[name])
            style = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "connectionstyle": f"arc3,rad={bend}"}
            ax.annotate("", end, start, arrowprops=style | {"color": "black", "linewidth": 1.5}, zorder=0)
    ax.set_xlim(-0.6, breadth - 0.4)
    ax.set_ylim(-depth + 0.4, 0.6)
    ax.set_axis_off()
    return ax


def size(rows: Sequence[Row]) -> tuple[float, float]:
    """Return the width and height in inches that suit the graph."""
    _, breadth, depth = _places(rows)
    return _inches(breadth, depth)


def _inches(breadth: int, depth: int) -> tuple[float, float]:
    return 3.5 * breadth, 0.75 * depth + 0.3


def _places(rows: Sequence[Row]) -> tuple[dict[str, tuple[int, int]], int, int]:
    """Return each node's place, and the number of columns and levels; a node is below all that it reads."""
    level: dict[str, int] = {}
    for name, _, reads, _, _ in rows:
        level[name] = max((level[r] + 1 for r in reads), default=0)
    across = _column_of_each(rows, level)
    place = {name: (across[name], -level[name]) for name in level}
    return place, max(across.values()) + 1, max(level.values()) + 1


def _arrow(source: tuple[int, int], target: tuple[int, int]) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Return start, end and bend of an arrow between two boxes: straight down, or round others into the side."""
    (from_x, from_y), (x, y) = source, target
    if from_y - y == 1:
        return (from_x, from_y - 0.23), (x, y + 0.25), 0.0
    if from_x == x:
        return (from_x - 0.12, from_y), (x - 0.16, y), 0.45
    return (from_x, from_y - 0.23), (x + (0.2 if from_x > x else -0.2), y), 0.0


def _column_of_each(rows: Sequence[Row], level: Mapping[str, int]) -> dict[str, int]:
    """Return each node's column: that of the first node it reads, or the next one to the right that is free."""
    column: dict[str, int] = {}
    taken: set[tuple[int, int]] = set()
    for name, _, reads, _, _ in rows:
        at = column[reads[0]] if reads else 0
        while (at, level[name]) in taken:
            at += 1
        column[name] = at
        taken.add((at, level[name]))
    return column


def _fill(kind: str) -> str:
    tints = {"Dense": "#cfe3f1", "BatchNorm": "#f8dcc8", "LayerNorm": "#f8dcc8", "Input": "#eeeeee"}
    return tints.get(kind, "#d9efe6" if kind not in ("Add", "Concat") else "#ffffff")
