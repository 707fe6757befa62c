"""Convergence curves of runs from anywhere: read, align, compare, draw."""

from tinynet.convergence.align import Aligned, align, smoothed
from tinynet.convergence.arms import Arms, gather
from tinynet.convergence.bands import BANDS
from tinynet.convergence.draw import draw
from tinynet.convergence.logs import UNITS, Curve, Log
from tinynet.convergence.metrics import choose, meaning, pick
from tinynet.convergence.read import read

__all__ = [
    "BANDS",
    "UNITS",
    "Aligned",
    "Arms",
    "Curve",
    "Log",
    "align",
    "choose",
    "draw",
    "gather",
    "meaning",
    "pick",
    "read",
    "smoothed",
]
