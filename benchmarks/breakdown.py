"""Part: where a step's time goes, kernel by kernel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks import tinynet_peer
from benchmarks.measure import Group, Pace, in_turns
from benchmarks.peer import Peer
from benchmarks.spec import QUICK_SPECS, SPECS, draw_weights
from benchmarks.steps import training

TITLE = "Where a step's time goes"
NOTE = (
    "The calls of a training step, sorted by kernel: all calls of one kernel are replayed alone, on the arrays that "
    "they have in the step, in turns with the whole step. *All else* is the difference from the whole step: Python "
    "between the passes, and arrays that another kernel has pushed out of the cache; it is negative where kernels are "
    "faster among others. The matrix products are the floor."
)
WHOLE, REST = "tinynet", "all else"


def measure(_: Mapping[str, type[Peer]], pace: Pace) -> Iterator[Group]:
    """Time every network's step, and each of its kernels."""
    for spec in QUICK_SPECS if pace.quick else SPECS:
        weights = draw_weights(spec)
        parts = tinynet_peer.kernels_of_a_step(spec, weights)
        runs = {WHOLE: training(tinynet_peer.Peer(spec, weights)), **{name: run for name, (run, _) in parts.items()}}
        calls = {name: count for name, (_, count) in parts.items()}
        yield Group("breakdown", spec.title, in_turns(runs, pace), {"batch": spec.batch, "calls": calls})


def shares(group: Group) -> dict[str, float]:
    """Return the share of the step's time for each kernel, the longest first, and for what is left."""
    parts = {name: group.median(name) / group.median(WHOLE) for name in group.times if name != WHOLE}
    longest = dict(sorted(parts.items(), key=lambda item: -item[1]))
    return {**longest, REST: 1 - sum(parts.values())}


def rows(groups: list[Group]) -> list[list[str]]:
    """Return the table: for each network its step, then a row for each kernel."""
    from benchmarks import text

    found = [["work", "kernel", "calls", "time", "quartiles", "share of the step"]]
    for group in groups:
        low, high = (text.duration(q) for q in group.quartiles(WHOLE))
        found.append([group.work, "the whole step", "", text.duration(group.median(WHOLE)), f"{low} - {high}", ""])
        for name, share in shares(group).items():
            if name == REST:
                found.append([group.work, name, "", "", "", f"{share:.1%}"])
                continue
            low, high = (text.duration(q) for q in group.quartiles(name))
            calls = str(group.setting["calls"][name])
            time = text.duration(group.median(name))
            found.append([group.work, name, calls, time, f"{low} - {high}", f"{share:.1%}"])
    return found
