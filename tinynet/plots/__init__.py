"""Histories, probes, results and graphs -> matplotlib axes.

Every function draws on the axes it is given, or on new ones, and returns them; see `tinynet.plots.style` for how they
look.
"""

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
