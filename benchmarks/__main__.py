"""Check that tinynet and its peers compute the same, time them in turns, and write what came out.

``python -m benchmarks [--against torch,compile,jax,numpy,sklearn] [--quick] [--only PART,...] [--out FOLDER]``;
``python -m benchmarks --from FILE --out FOLDER`` writes the page anew from the performance.json of an earlier time.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import page, processes, spec, tables
from benchmarks.measure import FULL, QUICK, Group, Pace, described, environment
from benchmarks.parts import PARTS
from benchmarks.peers import LIBRARIES, Peer, UnusableError, load
from benchmarks.spec import PAPER, QUICK_SPECS, SPECS, Spec
from tinynet import files
from tinynet.errors import FileFormatError, InputError
from tinynet.text import columns

MEMORY = "memory"  # measured as the parts are, but not a time
AGAINST = [name for name in LIBRARIES if name != "tinynet"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit code."""
    options = parse(arguments)
    if options.source:
        page.write(options.out, options.source)
        return written(options.out)
    peers, left_out = load_all(options.against)
    packages = dict.fromkeys(package for peer in peers.values() for package in peer.packages)
    command = " ".join(["python -m benchmarks", *(sys.argv[1:] if arguments is None else arguments)])
    measured = page.Measurement(command, environment(packages), left_out)
    print("\n".join(described(measured.environment)))

    measured.agreements = agree(peers, checked(options.only, options.pace.quick))
    if not all(agreement.agrees for agreement in measured.agreements):
        print("benchmarks: a peer computes something else; nothing was timed", file=sys.stderr)
        return 1
    try:
        for part in options.only:
            if part == MEMORY:
                measured.memory = list(processes.memory(peers, options.pace))
                print(f"\nMemory\n{indented(tables.memory(measured.memory))}")
            else:
                measure(part, peers, options.pace, measured.groups)
    finally:  # what an interruption or a failure leaves of the parts before
        if len(overview := tables.overview(measured.groups, measured.memory)) > 1:
            print(f"\ntinynet, and the others over it\n{indented(overview)}")
        if options.out:
            page.write(options.out, measured)
            written(options.out)
    return 0


def written(folder: Path) -> int:
    """Say where the page is; return the exit code."""
    print(f"\nwritten: {folder / 'performance.md'}")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; exit with code 2 and one line if it is wrong."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    known = f"of {', '.join(AGAINST)}; default numpy; absent ones are named"
    parser.add_argument("--against", default="numpy", metavar="PEERS", help=known)
    parser.add_argument("--only", metavar="PARTS", help=f"of {', '.join([*PARTS, MEMORY])}; default all")
    parser.add_argument("--quick", action="store_true", help="few rounds, small sizes: under a minute, to see it work")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"default {FULL.rounds}, with --quick {QUICK.rounds}")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write performance.md, .json and images/ there")
    parser.add_argument("--from", dest="source", metavar="FILE", help="measure nothing: write what this JSON says")
    options = parser.parse_args(arguments)
    options.against = listed("peer", options.against, AGAINST)
    options.only = listed("part", options.only or ",".join([*PARTS, MEMORY]), [*PARTS, MEMORY])
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
    if options.source:
        if not options.out:
            stop("--from needs --out, the folder to write to")
        try:
            options.source = page.Measurement.from_json(files.read_json(options.source))
        except (OSError, FileFormatError, KeyError, TypeError) as error:
            stop(f"--from {options.source}: {type(error).__name__}: {error}")
    return options


def listed(kind: str, given: str, known: Sequence[str]) -> list[str]:
    """Return the known names among those given, in the known order; stop at another."""
    names = [{"compile": "torch-compile"}.get(name.strip(), name.strip()) for name in given.split(",") if name.strip()]
    for name in names:
        if name not in known:
            stop(f"unknown {kind} {name!r}; known: {', '.join(known)}")
    return [name for name in known if name in names]


def stop(problem: str) -> None:
    """Say in one line what is wrong with the arguments, and exit with code 2."""
    print(f"benchmarks: {problem}", file=sys.stderr)
    raise SystemExit(2)


def load_all(names: Sequence[str]) -> tuple[dict[str, type[Peer]], dict[str, str]]:
    """Return the peers, tinynet first, and those left out with the reason."""
    peers, left_out = {"tinynet": load("tinynet")}, {}
    for name in names:
        try:
            peers[name] = load(name)
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


def agree(peers: Mapping[str, type[Peer]], specs: Sequence[Spec]) -> list[spec.Agreement]:
    """Compare the peers with tinynet, and print how far each is from it."""
    if not specs or len(peers) == 1:
        return []
    print("\nIs it the same work? Largest difference from tinynet, relative", flush=True)
    found = list(spec.check(specs, peers))
    print(indented(tables.agreement(found)))
    for one in found:
        if not one.agrees:
            print(f"NOT THE SAME: {one.peer} on {one.work} in {one.dtype}: {dict(one.differences)}")
    return found


def measure(part: str, peers: Mapping[str, type[Peer]], pace: Pace, groups: list[Group]) -> None:
    """Measure a part, add each group of times as it comes, and print the part's table."""
    print(f"\n{PARTS[part].title}", flush=True)
    found: list[Group] = []
    for group in PARTS[part].measure(peers, pace):
        found.append(group)
        groups.append(group)
        print(f"  {group.work}", flush=True)
    print(indented(tables.of(part, found)))


def indented(table: Sequence[Sequence[str]]) -> str:
    """Return a table for the terminal."""
    return "\n".join(f"  {line}" for line in columns(table))


if __name__ == "__main__":
    sys.exit(main())
