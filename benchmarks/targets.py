"""What tinynet must reach, as ratios of medians, and whether it does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.kernels import COPY
from benchmarks.measure import Group
from benchmarks.peer import title
from benchmarks.spec import FLOOR


@dataclass(frozen=True)
class Target:
    """A time of ours over another in the same turns, and how large it may be."""

    title: str
    part: str
    work: str
    against: str
    limit: float
    ours: str = "tinynet"


def targets() -> list[Target]:
    """Return all of them; with and without batch norm where both exist."""
    found = []
    for name, torch, jax, floor in (
        ("paper", 0.30, 0.55, 1.20),
        ("deep", 0.25, 0.48, 1.10),
        ("wide", 0.45, 0.85, 1.05),
    ):
        for work in (name, f"{name} + batch norm"):
            for against, limit in (("torch", torch), ("jax", jax), (FLOOR, floor)):
                found.append(Target(f"{work}, step", "steps", work, against, limit))
    for work in ("paper", "paper + batch norm"):
        for against, limit in (("torch (DataLoader)", 0.15), ("torch (arrays)", 0.30), ("jax (arrays)", 0.55)):
            found.append(Target(f"{work}, epoch of fit", "epoch", work, against, limit))
        watched = "tinynet (fit, probe and bar)"
        found.append(Target(f"{work}, epoch of fit", "epoch", work, "tinynet (steps alone)", 1.10, watched))
    for activation in ("relu", "sigmoid"):
        for shape, torch in (((60, 100), 0.12), ((4096, 1024), 0.35)):
            work = f"{shape} {activation}, forward and backward"
            title = f"batch norm and {activation} {shape}, forward and backward"
            found.append(Target(title, "kernels", work, "torch", torch))
            if shape[0] == 4096:
                found.append(Target(title, "kernels", work, COPY, 4.0))
    for against, limit in (("torch, folded", 0.25), ("jax, folded", 0.6), ("tinynet, plain", 1.03)):
        title = "paper folded, inference at batch 60"
        found.append(Target(title, "inference", "batch 60", against, limit, "tinynet, folded"))
    return found


def reached(target: Target, groups: Sequence[Group]) -> float:
    """Return the ratio that was measured; nan if it was not."""
    return _ratio(target, groups, target.ours)


def least(target: Target, groups: Sequence[Group]) -> float:
    """Return what the matrix products alone take of the other's time: no network can go below it; nan if unknown."""
    return _ratio(target, groups, FLOOR)


def _ratio(target: Target, groups: Sequence[Group], of: str) -> float:
    same = [group for group in groups if (group.part, group.work) == (target.part, target.work)]
    return same[0].ratio(target.against, of) if same else math.nan


def judged(groups: Sequence[Group]) -> list[tuple[Target, float, str]]:
    """Return every target with what was reached and "met", "not met" or "not measured"."""
    found = []
    for target in targets():
        ratio = reached(target, groups)
        verdict = "not measured" if math.isnan(ratio) else "met" if ratio <= target.limit else "not met"
        found.append((target, ratio, verdict))
    return found


def table(groups: Sequence[Group], unmeasured: bool = True) -> list[list[str]]:
    """Return rows: work, the two compared, at most, reached, floor, verdict; those not measured if wanted."""
    rows = [["work", "time of", "over that of", "at most", "reached", "products alone", "verdict"]]
    for target, ratio, verdict in judged(groups):
        if math.isnan(ratio) and not unmeasured:
            continue
        floor = math.nan if target.against == FLOOR else least(target, groups)
        shown = ["" if math.isnan(number) else f"{number:.2f}" for number in (ratio, floor)]
        compared = [title(target.ours), title(target.against)]
        rows.append([target.title, *compared, f"{target.limit:.2f}", *shown, verdict])
    return rows
