"""What was measured as tables of text, for the terminal and the page; and what tinynet is to reach.

Ratios are all of one kind, a time over tinynet's in the same turns: above 1, tinynet is faster.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from benchmarks.measure import ALL, ONE, Group, is_limit
from benchmarks.parts import BOTH, PARTS, SIZES
from benchmarks.peers import LIBRARIES, library_of, title
from benchmarks.spec import CHECKED_STEPS, KINDS, TOLERANCE, Agreement

Table: TypeAlias = list[list[str]]
Memory: TypeAlias = Mapping[str, Any]

HEADER = ["work", "by", "median", "quartiles", "over tinynet's time", "quartiles"]
REST = "all else"
LIMIT = "the machine's limit"

# What is to be reached: at most so many times the machine's limit. An epoch of `fit` may take a tenth more than its
# steps, a prediction no more than a step.
ARMS = ("", " + batch norm")
STEP_GOALS = {"paper": 1.20, "deep": 1.10, "wide": 1.05}
GOALS: list[tuple[str, str, str, float]] = [  # part, work, whose time, at most
    *(("steps", f"{work}{arm}", "tinynet", most) for work, most in STEP_GOALS.items() for arm in ARMS),
    *(("epoch", f"paper{arm}", "tinynet (fit, probe and bar)", 1.10 * STEP_GOALS["paper"]) for arm in ARMS),
    ("inference", "batch 60", "tinynet, folded", STEP_GOALS["paper"]),
    *(("kernels", f"(4096, 1024) {activation}, {BOTH}", "tinynet", 4.0) for activation in ("relu", "sigmoid")),
]


# -- numbers ----------------------------------------------------------------------------------------------------------


def duration(seconds: float) -> str:
    """Return a time with three digits in a suitable unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size or unit == "µs":
            value = seconds / size
            digits = max(0, 2 - math.floor(math.log10(value))) if value > 0 else 0
            return f"{value:,.{min(digits, 2)}f} {unit}"
    raise AssertionError


def between(quartiles: tuple[float, float], shown: Callable[[float], str]) -> str:
    """Return both quartiles as text."""
    return " - ".join(map(shown, quartiles))


def number(ratio: float) -> str:
    """Return a ratio with two decimals, or three digits if it is small; "" for nan."""
    return "" if math.isnan(ratio) else f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.3f}"


def size(count: float | None) -> str:
    """Return bytes in a suitable unit; "" for None."""
    if count is None:
        return ""
    for unit, scale in (("MB", 1e6), ("kB", 1e3)):
        if abs(count) >= scale:
            return f"{count / scale:,.3g} {unit}" if count < 1000 * scale else f"{count / scale:,.0f} {unit}"
    return f"{count:.0f} B"


# -- all together -----------------------------------------------------------------------------------------------------


def overview(groups: Sequence[Group], memory: Sequence[Memory]) -> Table:
    """Return a row for each thing that a user does: tinynet's cost, and the limit's and everybody's over it.

    Of several ways of one library, as to bring the data of an epoch, the fastest counts. What is less is bold.
    """
    found: list[tuple[str, str, dict[str, float]]] = []
    for group in groups:
        what, mine = undertaking(group)
        if mine in group.times:
            ratios: dict[str, float] = {}
            for name in group.times:
                if is_limit(name) or (library_of(name) != "tinynet" and reference(group, name) == mine):
                    key = LIMIT if is_limit(name) else library_of(name)
                    ratios[key] = min(group.ratio(name, mine), ratios.get(key, math.inf))
            found.append((what, duration(group.median(mine)), ratios))
    for work in dict.fromkeys(row["work"] for row in memory):
        peaks = {row["peer"]: row["peak_memory"] for row in memory if row["work"] == work and row["peak_memory"]}
        if taken := peaks.pop("tinynet", None):
            ratios = {name: peak / taken for name, peak in peaks.items()}
            found.append((f"{work}: memory at its peak", size(taken), ratios))
    names = [name for name in [LIMIT, *LIBRARIES] if any(name in ratios for *_, ratios in found)]
    rows = [["", "tinynet", *map(title, names)]]
    for what, cost, ratios in found:
        shown = {name: number(ratios.get(name, math.nan)) for name in names}
        better = {name for name, ratio in ratios.items() if ratio < 1 and name != LIMIT}
        rows.append([what, cost, *(f"**{text}**" if name in better else text for name, text in shown.items())])
    return rows


def undertaking(group: Group) -> tuple[str, str]:
    """Return what a user does, and which of tinynet's times is for it; "" and "" for what users do not do as such."""
    if group.part == "inference":
        return f"paper + batch norm, folded: a prediction of {group.setting['batch']:,}", "tinynet, folded"
    return {
        "steps": (f"{group.work}: a step", "tinynet"),
        "epoch": (f"{group.work}: an epoch", "tinynet"),
        "import": ("import", "tinynet"),
        "first step, warm": ("Python, import and a first step", "tinynet"),
    }.get(group.work if group.part == "start" else group.part, ("", ""))


def reference(group: Group, name: str) -> str:
    """Return which of tinynet's times a name's is compared with: of the same network, if there are several; or ""."""
    network = name.partition(", ")[2]
    return next((ours for ours in (f"tinynet, {network}", "tinynet") if ours in group.times), "")


def goals(groups: Sequence[Group]) -> Table:
    """Return a row for each goal: work, limit, at most, reached, verdict."""
    rows = [["work", "time of", LIMIT, "at most", "reached", "verdict"]]
    for part, work, ours, most in GOALS:
        group = next((group for group in groups if (group.part, group.work) == (part, work)), None)
        ratio = group.ratio(ours, group.limit) if group else math.nan
        verdict = "not measured" if math.isnan(ratio) else "met" if ratio <= most else "not met"
        limit = title(group.limit) if group and group.limit else ""
        rows.append([f"{PARTS[part].title}: {work}", title(ours), limit, f"{most:.2f}", number(ratio), verdict])
    return rows


def agreement(agreements: Sequence[Agreement]) -> Table:
    """Return a row for each peer and precision: how far it is from tinynet, at most over all networks."""
    rows = [["peer", "precision", "steps", *KINDS, "allowed"]]
    for name, dtype in dict.fromkeys((a.peer, a.dtype) for a in agreements):
        same = [a for a in agreements if (a.peer, a.dtype) == (name, dtype)]
        worst = [f"{max(a.differences[kind] for a in same):.0e}" for kind in KINDS]
        rows.append([title(name), dtype, str(CHECKED_STEPS[dtype]), *worst, f"{TOLERANCE[dtype]:.0e}"])
    return rows


# -- part by part -----------------------------------------------------------------------------------------------------


def timed(groups: Sequence[Group]) -> Table:
    """Return a row for each name that was timed, as under `HEADER`."""
    rows = [HEADER]
    for group in groups:
        for name in group.times:
            ours = reference(group, name)
            compared = ["", ""]
            if ours not in ("", name):
                compared = [number(group.ratio(name, ours)), between(group.spread(name, ours), number)]
            spread = between(group.quartiles(name), duration)
            rows.append([group.work, title(name), duration(group.median(name)), spread, *compared])
    return rows


def breakdown(groups: Sequence[Group]) -> Table:
    """Return for each network its step, then a row for each kernel."""
    rows = [["work", "kernel", "calls", "time", "quartiles", "share of the step"]]
    for group in groups:
        for name, share in {"tinynet": 1.0, **shares(group)}.items():
            took = ["", ""]
            if name in group.times:
                took = [duration(group.median(name)), between(group.quartiles(name), duration)]
            calls = str(group.setting["calls"].get(name, ""))
            rows.append([group.work, "the whole step" if name == "tinynet" else name, calls, *took, f"{share:.1%}"])
    return rows


def shares(group: Group) -> dict[str, float]:
    """Return the share of the step's time for each kernel, the longest first, and for what is left."""
    parts = {name: group.ratio(name) for name in group.times if name != "tinynet"}
    longest = dict(sorted(parts.items(), key=lambda item: -item[1]))
    return {**longest, REST: 1 - sum(parts.values())}


def threads(groups: Sequence[Group]) -> Table:
    """Return a row for each size of a layer."""
    rows = [["a layer's three products", ONE, ALL, "one over all", "quartiles"]]
    for group in groups:
        times = [duration(group.median(name)) for name in (ONE, ALL)]
        rows.append([group.work, *times, number(group.ratio(ONE, ALL)), between(group.spread(ONE, ALL), number)])
    return rows


def growth(groups: Sequence[Group]) -> Table:
    """Return a row for each peer and what varies: exponent, and time at both ends."""
    rows = [["what varies", "by", "exponent", "over", "at the smallest", "at the largest"]]
    for varied in SIZES:
        for name, (sizes, times) in curves(groups, varied).items():
            slope, begin = exponent(sizes, times)
            ends = [f"{duration(times[k])} at {sizes[k]:,}" for k in (0, -1)]
            rows.append([varied, title(name), f"{slope:.2f}", f"{begin:,} to {sizes[-1]:,}", *ends])
    return rows


def curves(groups: Sequence[Group], varied: str) -> dict[str, tuple[list[int], list[float]]]:
    """Return sizes and median seconds of a step, by peer."""
    chosen = [group for group in groups if group.setting.get("varied") == varied]
    names = dict.fromkeys(name for group in chosen for name in group.times)
    sizes = [int(group.setting["size"]) for group in chosen]
    return {name: (sizes, [group.median(name) for group in chosen]) for name in names}


def exponent(sizes: Sequence[int], times: Sequence[float]) -> tuple[float, int]:
    """Return the slope on log axes over the upper half of the range, and the size where that begins."""
    middle = np.sqrt(sizes[0] * sizes[-1])
    upper = [k for k, size in enumerate(sizes) if size >= middle]
    upper = upper if len(upper) > 1 else list(range(len(sizes)))[-2:]
    slope, _ = np.polyfit(np.log([sizes[k] for k in upper]), np.log([times[k] for k in upper]), 1)
    return float(slope), sizes[upper[0]]


def memory(rows: Sequence[Memory]) -> Table:
    """Return a row for each network and peer."""
    found = [["work", "by", "peak of the process", "rise during a step", "kept after a step"]]
    for row in rows:
        sizes = [size(row.get(key)) for key in ("peak_memory", "step_peak", "step_kept")]
        found.append([row["work"], title(row["peer"]), *sizes])
    return found


def of(part: str, groups: Sequence[Group]) -> Table:
    """Return the table of a part."""
    own: dict[str, Callable[[Sequence[Group]], Table]] = {"breakdown": breakdown, "threads": threads, "growth": growth}
    return own.get(part, timed)(groups)
