"""How plots look: the same in a file and in a notebook, whatever the user's own settings are.

Colours are from Okabe and Ito's set, which the colour-blind can tell apart (M. Okabe and K. Ito, Color Universal
Design, 2008); line styles and marks differ too, so that a plot survives a grey print. The user's rcParams are neither
used nor changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tinynet import files

COLORS = ["#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
LINES = ["--", "-", "-.", ":"]
STYLE: Any = {  # readable from the back of a room
    "font.size": 16,
    "axes.titlesize": 20,
    "legend.fontsize": 15,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.alpha": 0.3,
    "lines.linewidth": 2.5,
    "legend.framealpha": 0.9,
    "svg.hashsalt": "tinynet",  # the same plot gives the same file
}
SIZE = (10.0, 6.0)
HALO = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1}  # under text on lines
FEW = 30  # values: a line with no more has a mark at each
SHY = "\u200b"  # takes no room; put before a name that begins with "_", which a legend would leave out


@contextmanager
def styled() -> Iterator[None]:
    """Set matplotlib's defaults and `STYLE` in a block or a decorated function."""
    interactive = matplotlib.is_interactive()
    try:
        with matplotlib.style.context(["default", STYLE]):
            yield
            interactive = matplotlib.is_interactive()  # a notebook's backend, loaded with the first figure, sets it
    finally:
        matplotlib.interactive(interactive)  # the context has reset it, and figures would wait for plt.show()


def figure(columns: int = 1, *, one_scale: bool = True) -> tuple[Figure, list[Axes]]:
    """Return a figure outside pyplot, for files, with axes side by side.

    Parameters
    ----------
    columns : int
        How many axes.
    one_scale : bool
        Whether they share the scales of x and of y, so that they can be compared.

    Returns
    -------
    figure : Figure
        10 x 6 inches, or 7 x 6 per column if there are several.
    axes : list of Axes
    """
    with styled():
        fig = Figure(figsize=(SIZE[0] * (1 if columns == 1 else 0.7 * columns), SIZE[1]), layout="constrained")
        axes = fig.subplots(1, columns, sharex=one_scale, sharey=one_scale, squeeze=False)
    return fig, list(axes[0])


def save(fig: Figure, path: str | Path) -> list[Path]:
    """Write a figure as PNG (120 dots an inch) and SVG, whole or not at all.

    Parameters
    ----------
    fig : Figure
    path : path
        ``lr0.1`` gives ``lr0.1.png`` and ``lr0.1.svg``, and so do these two names themselves.

    Returns
    -------
    list of Path
        The PNG file and the SVG file.
    """
    paths = [files.beside(path, ending, own=(".png", ".svg")) for ending in (".png", ".svg")]
    with styled():
        with files.replacing(paths[0]) as temporary:
            fig.savefig(temporary, dpi=120, format="png")
        with files.replacing(paths[1]) as temporary:
            fig.savefig(temporary, metadata={"Date": None}, format="svg")
    return paths


def axes_or_new(ax: Axes | None, size: tuple[float, float] = SIZE) -> Axes:
    """Return ``ax``, or axes of a new pyplot figure in the style."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    with styled():
        return plt.subplots(figsize=size, layout="constrained")[1]


def shown(name: str) -> str:
    """Return the name as a label that is in the legend even if it begins with ``_``."""
    return SHY + name if name.startswith("_") else name


def say(ax: Axes, text: str) -> None:
    """Write in the middle of axes why nothing is drawn on them."""
    style: Any = {"ha": "center", "va": "center", "bbox": HALO, "parse_math": False}
    ax.text(0.5, 0.5, text, transform=ax.transAxes, **style)
