"""Numbers and tables as text, for the terminal and the page."""

from __future__ import annotations

import math

from benchmarks.measure import Group
from benchmarks.peer import title

HEADER = ["work", "by", "median", "quartiles", "tinynet's time over it", "quartiles"]


def duration(seconds: float) -> str:
    """Return a time with three digits in a suitable unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size or unit == "µs":
            value = seconds / size
            digits = max(0, 2 - math.floor(math.log10(value))) if value > 0 else 0
            return f"{value:,.{min(digits, 2)}f} {unit}"
    raise AssertionError


def ratio(value: float) -> str:
    """Return a ratio with two decimals, or three digits if it is small."""
    return "" if math.isnan(value) else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def rows(group: Group) -> list[list[str]]:
    """Return a row for each name that was timed, as under `HEADER`; ratios to tinynet in the same turns."""
    found = []
    for name in group.times:
        low, high = (duration(q) for q in group.quartiles(name))
        ours = reference(group, name)
        compared = ["", ""]
        if ours is not None and ours != name:
            compared = [ratio(group.ratio(name, ours)), " - ".join(ratio(q) for q in group.spread(name, ours))]
        found.append([group.work, title(name), duration(group.median(name)), f"{low} - {high}", *compared])
    return found


def reference(group: Group, name: str) -> str | None:
    """Return which of tinynet's times to compare with: the one of the same network, where there are several."""
    same = f"tinynet,{name.partition(',')[2]}" if "," in name and "(" not in name else "tinynet"
    return same if same in group.times else None


def size(count: float | None) -> str:
    """Return bytes in a suitable unit."""
    if count is None:
        return ""
    for unit, scale in (("MB", 1e6), ("kB", 1e3)):
        if abs(count) >= scale:
            return f"{count / scale:,.3g} {unit}" if count < 1000 * scale else f"{count / scale:,.0f} {unit}"
    return f"{count:.0f} B"
