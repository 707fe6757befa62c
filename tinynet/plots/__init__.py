"""Histories, probes, results and graphs -> matplotlib axes.

Every function draws on the axes it is given, or on new ones, and returns them; see `tinynet.plots.style` for how they
look.

Matplotlib is loaded when the first of them is asked for, since that takes longer than all else of tinynet.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinynet.plots.charts import (
        curves,
        dots,
        gradient_by_layer,
        gradient_over_training,
        heat_map,
        histograms,
        history,
        lines_with_bands,
        percentiles,
        positive,
    )
    from tinynet.plots.graph import draw_graph
    from tinynet.plots.style import COLORS, LINES, SIZE, STYLE, figure, save

__all__ = [
    "COLORS",
    "LINES",
    "SIZE",
    "STYLE",
    "curves",
    "dots",
    "draw_graph",
    "figure",
    "gradient_by_layer",
    "gradient_over_training",
    "heat_map",
    "histograms",
    "history",
    "lines_with_bands",
    "percentiles",
    "positive",
    "save",
]

_PLACES = {"graph": ("draw_graph",), "style": ("COLORS", "LINES", "SIZE", "STYLE", "figure", "save")}  # others: charts


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'tinynet.plots' has no attribute {name!r}")
    place = next((file for file, names in _PLACES.items() if name in names), "charts")
    return getattr(importlib.import_module(f"tinynet.plots.{place}"), name)


def __dir__() -> list[str]:
    return __all__
