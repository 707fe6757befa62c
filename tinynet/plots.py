"""Histories and probes -> matplotlib axes (the only matplotlib import)."""

from typing import Any

from matplotlib.axes import Axes


def draw_graph(rows: Any, ax: Axes | None = None) -> Axes:
    raise NotImplementedError
