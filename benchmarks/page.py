"""The page: everything that was measured, as Markdown with plots. No number in it is written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import (
    breakdown,
    check,
    draw,
    environment,
    epoch,
    growth,
    inference,
    kernels,
    start,
    steps,
    targets,
    text,
    threads,
)
from benchmarks.measure import Group
from benchmarks.peer import TITLES, Peer, title
from tinynet import files
from tinynet.text import markdown

PARTS = {
    "steps": steps,
    "breakdown": breakdown,
    "epoch": epoch,
    "inference": inference,
    "kernels": kernels,
    "threads": threads,
    "growth": growth,
    "start": start,
}


def write(
    folder: Path,
    command: str,
    described: Mapping[str, Any],
    peers: Mapping[str, type[Peer]],
    left_out: Mapping[str, str],
    agreements: Sequence[check.Agreement],
    groups: Sequence[Group],
    memory: Sequence[Mapping[str, Any]],
) -> None:
    """Write performance.md, performance.json and images into a folder."""
    judged = targets.judged(groups)
    files.write_json(
        folder / "performance.json",
        {
            "command": command,
            "environment": described,
            "left out": left_out,
            "unit": "seconds; memory in bytes",
            "agreement": [{"work": a.work, "peer": a.peer, "dtype": a.dtype, **a.found} for a in agreements],
            "targets": [{**vars(target), "reached": ratio, "verdict": verdict} for target, ratio, verdict in judged],
            "timed": [group.as_json() for group in groups],
            "memory": list(memory),
        },
    )
    measured = [part for part in PARTS if any(group.part == part for group in groups)]
    sections = [head(command, described, peers, left_out), *([agreement(agreements)] if agreements else [])]
    if {"steps", "epoch", "inference", "kernels"} & set(measured):
        sections.insert(1, reached(groups))
    for part in measured:
        chosen = [group for group in groups if group.part == part]
        pictures = [
            f"![{path.stem.replace('_', ' ')}](images/{path.name})"
            for path in draw.save(groups, part, folder / "images")
        ]
        sections.append("\n\n".join([*section(part, chosen), *pictures]))
    if memory:
        sections.append(f"## Memory\n\n{start.MEMORY_NOTE}\n\n{markdown(memory_table(memory))}")
    files.write_text(folder / "performance.md", "\n\n".join(sections) + "\n")


def head(
    command: str, described: Mapping[str, Any], peers: Mapping[str, type[Peer]], left_out: Mapping[str, str]
) -> str:
    """Return title, machine, and who takes part how."""
    machine = "\n".join(f"- {line}" for line in environment.lines(described))
    how = [f"- *{TITLES[name]}*: {peer.how}." for name, peer in peers.items()]
    how += [f"- *{TITLES[name]}* was left out: {reason}." for name, reason in left_out.items()]
    return "\n\n".join(
        [
            "# Performance",
            f"Written by `{command}` on {described['date']}; every number is in [performance.json](performance.json).",
            machine,
            "All compute in float32, with the settings and threads that a user gets by default. What is compared is "
            "timed in turns, A B C A B C, after a warm-up in every turn and a rest before it, so that no one's idle "
            "threads are in another's way; a number is the median over rounds with its quartiles. Ratios are ratios "
            "of medians: below 1, tinynet is faster. Their quartiles are taken round by round.",
            "\n".join(how),
        ]
    )


def reached(groups: Sequence[Group]) -> str:
    """Return the table of targets."""
    judged = targets.judged(groups)
    verdicts = [verdict for *_, verdict in judged]
    counts = ", ".join(f"{verdicts.count(word)} {word}" for word in ("met", "not met", "not measured"))
    below = sum(verdict == "not met" and targets.least(target, groups) > target.limit for target, _, verdict in judged)
    return (
        "## What was to be reached\n\nThe targets were set before the code was written, on a processor on which NumPy "
        "multiplied matrices about twice as fast as PyTorch did. *Products alone* is the time of a step's matrix "
        "products over the same peer's step: where it is above a target, no code around the products can meet it on "
        f"this machine. {counts}; of those not met, {below} ask for less than the products alone.\n\n"
        f"{markdown(targets.table(groups))}"
    )


def agreement(agreements: Sequence[check.Agreement]) -> str:
    """Return the section on whether it is the same work."""
    rows = [["peer", "precision", "steps", *check.KINDS, "allowed"]]
    for name, dtype in dict.fromkeys((a.peer, a.dtype) for a in agreements):
        same = [a for a in agreements if (a.peer, a.dtype) == (name, dtype)]
        worst = [f"{max(a.found[kind] for a in same):.0e}" for kind in check.KINDS]
        steps_made, allowed = str(check.CHECKED_STEPS[dtype]), f"{check.TOLERANCE[dtype]:.0e}"
        rows.append([title(name), dtype, steps_made, *worst, allowed])
    return (
        "## Is it the same work?\n\nFrom the same weights, on the same batches: the largest difference from tinynet "
        f"over all networks, relative, in the Euclidean norm of an array.\n\n{markdown(rows)}"
    )


def section(part: str, groups: Sequence[Group]) -> list[str]:
    """Return heading, note and table of a part."""
    module: Any = PARTS[part]
    if part == "growth":
        return [f"## {module.TITLE}", module.NOTE, markdown(growth_table(groups))]
    if part in ("breakdown", "threads"):
        return [f"## {module.TITLE}", module.NOTE, markdown(module.rows(list(groups)))]
    header = list(text.HEADER)
    note = start.START_NOTE if part == "start" else module.NOTE
    rows = [row for group in groups for row in text.rows(group)]
    return [f"## {module.TITLE}", note, markdown([header, *rows])]


def growth_table(groups: Sequence[Group]) -> list[list[str]]:
    """Return a row for each peer and what varies: exponent, and time at both ends."""
    rows = [["what varies", "by", "exponent", "over", "at the smallest", "at the largest"]]
    for varied in growth.SIZES:
        for name, (sizes, times) in growth.curves(groups, varied).items():
            slope, begin = growth.exponent(sizes, times)
            ends = [f"{text.duration(times[k])} at {sizes[k]:,}" for k in (0, -1)]
            rows.append([varied, title(name), f"{slope:.2f}", f"{begin:,} to {sizes[-1]:,}", *ends])
    return rows


def memory_table(memory: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return a row for each network and peer."""
    rows = [["work", "by", "peak of the process", "rise during a step", "kept after a step"]]
    for row in memory:
        sizes = [text.size(row.get(key)) for key in ("peak_memory", "step_peak", "step_kept")]
        rows.append([row["work"], title(row["peer"]), *sizes])
    return rows
