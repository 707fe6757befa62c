"""The page: everything that was measured, as Markdown with plots. No number in it is written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import draw, tables
from benchmarks.measure import Group, described
from benchmarks.parts import PARTS
from benchmarks.peers import LIBRARIES, library_of
from benchmarks.spec import Agreement
from tinynet import files
from tinynet.text import markdown

MEMORY_NOTE = (
    "Largest resident memory of a process that trains on one batch, and what a step allocates in steady state as far "
    "as Python and NumPy trace it (not so for PyTorch and JAX): how far memory rises during a step, Python's small "
    "objects included, and what NumPy keeps after it."
)
METHOD = (
    "All compute in float32, with the settings and threads that a user gets by default. What is compared is timed in "
    "turns, A B C A B C, after a warm-up in every turn and a rest before it, so that no one's idle threads are in "
    "another's way; a number is the median over rounds with its quartiles. Ratios are ratios of medians; their "
    "quartiles are taken round by round."
)
SAME_WORK = (
    "From the same weights, on the same batches: the largest difference from tinynet over all networks, relative, in "
    "the Euclidean norm of an array."
)
GOALS_NOTE = (
    "For whoever works on tinynet. A goal is stated against the machine's own limit, timed in the same turns: the "
    "matrix products alone, and for batch norm alone a copy of the array."
)


@dataclass
class Measurement:
    """All that was measured, and with what."""

    command: str
    environment: Mapping[str, Any]
    left_out: Mapping[str, str]  # why, by peer
    agreements: Sequence[Agreement] = ()
    groups: list[Group] = field(default_factory=list)
    memory: Sequence[Mapping[str, Any]] = ()
    unit: str = "seconds; memory in bytes"

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain data, seconds to four digits."""
        groups = []
        for group in self.groups:
            times = {name: [float(f"{t:.4g}") for t in taken] for name, taken in group.times.items()}
            groups.append({**vars(group), "times": times})
        return {**vars(self), "agreements": [vars(one) for one in self.agreements], "groups": groups}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Measurement:
        """Return what `as_json` wrote."""
        agreements = [Agreement(**one) for one in content["agreements"]]
        return cls(**content | {"agreements": agreements, "groups": [Group(**one) for one in content["groups"]]})


def write(folder: Path, measured: Measurement) -> None:
    """Write performance.md, performance.json and images into a folder: the page is made of what the JSON has."""
    content = measured.as_json()
    files.write_json(folder / "performance.json", content)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    files.write_text(folder / "performance.md", page(Measurement.from_json(content), folder / "images"))


def page(measured: Measurement, images: Path) -> str:
    """Return the page, and draw its plots into a folder: first what users want to know, last what we want to reach."""
    groups = measured.groups
    limits = [group for group in groups if group.limit and tables.undertaking(group)[0]]
    sections = [head(measured)]
    if len(overview := tables.overview(groups, measured.memory)) > 1:
        sections.append(markdown(overview))
    if limits:
        sections.append(f"## How close to the machine's limit\n\n{closeness(limits)}")
        sections += plots("limit", limits, images)
    sections.append(method(measured))
    if measured.agreements:
        sections.append(f"## Is it the same work?\n\n{SAME_WORK}\n\n{markdown(tables.agreement(measured.agreements))}")
    for name, part in PARTS.items():
        if chosen := [group for group in groups if group.part == name]:
            sections += [f"## {part.title}", part.note, markdown(tables.of(name, chosen))]
            sections += plots(name, chosen, images)
    if measured.memory:
        sections.append(f"## Memory\n\n{MEMORY_NOTE}\n\n{markdown(tables.memory(measured.memory))}")
    if limits:
        sections.append(f"## What is to be reached\n\n{GOALS_NOTE}\n\n{markdown(tables.goals(groups))}")
    return "\n\n".join(sections) + "\n"


def head(measured: Measurement) -> str:
    """Return the title, and how to read the table that follows."""
    return (
        f"# Performance\n\nMeasured by `{measured.command}` on {measured.environment['date']}, on "
        f"{measured.environment['machine']}; every number is in [performance.json](performance.json).\n\n"
        "The time that tinynet takes, then that of the others over it: 2.00 means twice as long as tinynet. What is "
        "faster than tinynet is bold. *The machine's limit* is the time of the matrix products alone, which everybody "
        "has to make."
    )


def closeness(limits: Sequence[Group]) -> str:
    """Return how many times as long as the matrix products alone the work of each part takes, in words."""
    ranges = []
    for name, part in PARTS.items():
        if chosen := [group for group in limits if group.part == name]:
            ratios = [group.ratio(tables.undertaking(group)[1], group.limit) for group in chosen]
            ranges.append(f"{part.title.lower()}, {min(ratios):.2f} to {max(ratios):.2f}")
    return (
        "A network's matrix products cannot be left out, and everybody makes them with a library that others have "
        "made fast. How many times as long as these products alone, on as many threads as they are fastest with, "
        f"tinynet takes: {'; '.join(ranges)}. Below 1.00 is possible where a product reads what the one before has "
        "left in the cache."
    )


def method(measured: Measurement) -> str:
    """Return machine, method, and who takes part how."""
    timed = {library_of(name) for group in measured.groups for name in group.times}
    who = [f"- *{one.title}*: {one.how}." for name, one in LIBRARIES.items() if name in timed]
    who += [f"- *{LIBRARIES[name].title}* was left out: {reason}." for name, reason in measured.left_out.items()]
    machine = "\n".join(f"- {line}" for line in described(measured.environment))
    return "\n\n".join(["## How it was measured", machine, METHOD, "\n".join(who)])


def plots(section: str, groups: Sequence[Group], images: Path) -> list[str]:
    """Draw the plots of a section, and return them as Markdown."""
    found = []
    for name, (where, figure) in draw.PLOTS.items():
        if where == section:
            figure(groups).savefig(images / f"performance_{name}.png", dpi=draw.DPI)
            found.append(f"![performance {name.replace('_', ' ')}](images/performance_{name}.png)")
    return found
