"""Check that tinynet and its peers compute the same, time them in turns, and write what came out.

``python -m benchmarks [--against torch,compile,jax,numpy,sklearn] [--quick] [--only PART,...] [--out FOLDER]``
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import check, environment, page, start, targets, text
from benchmarks.measure import FULL, QUICK, Group, Pace
from benchmarks.peer import PEERS, TITLES, Peer, UnusableError, load_peer
from benchmarks.spec import PAPER, QUICK_SPECS, SPECS, Spec
from tinynet import files
from tinynet.errors import InputError
from tinynet.text import columns

PARTS = [*page.PARTS, "memory"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit code."""
    options = parse(arguments)
    peers, left_out = load(options.against)
    described = environment.describe(peers)
    print("\n".join(environment.lines(described)))

    agreements = agree(peers, checked(options.only, options.pace.quick))
    if not all(agreement.agrees for agreement in agreements):
        print("benchmarks: a peer computes something else; nothing was timed", file=sys.stderr)
        return 1

    groups: list[Group] = []
    memory: list[dict[str, Any]] = []
    try:
        for part in options.only:
            if part == "memory":
                memory = list(start.memory(peers, options.pace))
                print(f"\nMemory\n{indented(page.memory_table(memory))}")
            else:
                groups += timed(part, peers, options.pace)
    finally:  # what an interruption or a failure leaves of the parts before
        if len(table := targets.table(groups, unmeasured=False)) > 1:
            print(f"\nWhat was to be reached\n{indented(table)}")
        if options.out:
            command = " ".join(["python -m benchmarks", *(sys.argv[1:] if arguments is None else arguments)])
            page.write(options.out, command, described, peers, left_out, agreements, groups, memory)
            print(f"\nwritten: {options.out / 'performance.md'}")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; exit with code 2 and one line if it is wrong."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--against",
        default="numpy",
        metavar="PEERS",
        help=f"of {', '.join(PEERS)}; default numpy; absent ones are named",
    )
    parser.add_argument("--only", metavar="PARTS", help=f"of {', '.join(PARTS)}; default all")
    parser.add_argument("--quick", action="store_true", help="few rounds, small sizes: under a minute, to see it work")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"default {FULL.rounds}, with --quick {QUICK.rounds}")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write performance.md, .json and images/ there")
    options = parser.parse_args(arguments)
    options.against = listed("peer", options.against, list(PEERS), {"compile": "torch-compile"})
    options.only = listed("part", options.only or ",".join(PARTS), PARTS, {})
    options.pace = QUICK if options.quick else FULL
    if options.rounds is not None:
        if options.rounds < 1:
            stop(f"--rounds must be at least 1, not {options.rounds}")
        options.pace = dataclasses.replace(options.pace, rounds=options.rounds)
    if options.out:
        try:
            files.writable_folder(options.out)  # found out now, not after the measurement
        except InputError as error:
            stop(str(error))
    return options


def listed(kind: str, given: str, known: Sequence[str], short: Mapping[str, str]) -> list[str]:
    """Return the known names among those given, in the known order; stop at another."""
    names = [short.get(name.strip(), name.strip()) for name in given.split(",") if name.strip()]
    for name in names:
        if name not in known:
            stop(f"unknown {kind} {name!r}; known: {', '.join(known)}")
    return [name for name in known if name in names]


def stop(problem: str) -> None:
    """Say in one line what is wrong with the arguments, and exit with code 2."""
    print(f"benchmarks: {problem}", file=sys.stderr)
    raise SystemExit(2)


def load(names: Sequence[str]) -> tuple[dict[str, type[Peer]], dict[str, str]]:
    """Return the peers, tinynet first, and those left out with the reason."""
    peers, left_out = {"tinynet": load_peer("tinynet")}, {}
    for name in names:
        try:
            peers[name] = load_peer(name)
        except ModuleNotFoundError as error:
            left_out[name] = f"{error.name} is not installed"
        except UnusableError as error:
            left_out[name] = str(error)
        if name in left_out:
            print(f"{name}: left out, {left_out[name]}")
    return peers, left_out


def checked(parts: Sequence[str], quick: bool) -> Sequence[Spec]:
    """Return the networks to compare before these parts are timed; kernels are compared where they are timed."""
    if "steps" in parts:
        return QUICK_SPECS if quick else SPECS
    return PAPER if {"epoch", "inference", "growth"} & set(parts) else []


def agree(peers: Mapping[str, type[Peer]], specs: Sequence[Spec]) -> list[check.Agreement]:
    """Compare the peers with tinynet, and print how far each is from it."""
    if not specs or len(peers) == 1:
        return []
    over = ", ".join(f"{dtype} over {steps} step{'s' * (steps > 1)}" for dtype, steps in check.CHECKED_STEPS.items())
    print(f"\nIs it the same work? Largest difference from tinynet, relative; {over}")
    found = []
    for one in check.check_all(specs, peers):
        found.append(one)
        shown = ", ".join(f"{kind} {value:.0e}" for kind, value in one.found.items())
        verdict = "at most" if one.agrees else "NOT THE SAME: above"
        limit = f"{check.TOLERANCE[one.dtype]:.0e}"
        print(f"  {one.work:18}  {one.peer:13}  {one.dtype}: {shown}; {verdict} {limit}", flush=True)
    return found


def timed(part: str, peers: Mapping[str, type[Peer]], pace: Pace) -> list[Group]:
    """Measure a part, and print each group of times as it comes."""
    module: Any = page.PARTS[part]
    print(f"\n{module.TITLE}, {', '.join(TITLES[name] for name in peers)}")
    groups: list[Group] = []
    widths = (45, 34, 9, 19, len(text.HEADER[4]), 15)
    print("  " + "  ".join(cell.ljust(width) for cell, width in zip(text.HEADER, widths, strict=True)).rstrip())
    for group in module.measure(peers, pace):
        groups.append(group)
        for row in text.rows(group):
            print("  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip(), flush=True)
    if part == "growth":
        print(indented(page.growth_table(groups)))
    return groups


def indented(table: Sequence[Sequence[str]]) -> str:
    """Return a table for the terminal."""
    return "\n".join(f"  {line}" for line in columns(table))


if __name__ == "__main__":
    sys.exit(main())
