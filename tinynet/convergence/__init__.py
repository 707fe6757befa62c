"""Convergence curves of runs from anywhere: read, align, compare, draw."""

from tinynet.convergence.align import Aligned, align, smoothed
from tinynet.convergence.logs import UNITS, Curve, Log
from tinynet.convergence.metrics import meaning, pick

__all__ = ["UNITS", "Aligned", "Curve", "Log", "align", "meaning", "pick", "smoothed"]
