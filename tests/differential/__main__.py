"""The long run, and what writes its part of docs/reliability.md: run it from the project's folder.

``python -m tests.differential --programs 20000 --mutations --write`` runs so many programs, then each mutation of the
machinery until a program notices it. A program that fails is printed, made as short as can be.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import sys
import time
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import reduce

import numpy as np

from tests.differential.mutations import MUTATIONS, Mutation
from tests.differential.programs import OPERATIONS, Program
from tests.differential.world import BOUNDS, LARGEST, NEAR_A_KINK
from tests.fuzz.__main__ import write_section

SUITE = 300  # programs in every run of the tests
CHUNK = 100


@dataclass
class Tally:
    """What came of some programs."""

    programs: int = 0
    seconds: float = 0.0
    operations: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    not_compared: int = 0
    grown: int = 0
    largest: dict[str, float] = field(default_factory=dict)  # by dtype
    failed: list[int] = field(default_factory=list)

    def __add__(self, other: Tally) -> Tally:
        dtypes = self.largest.keys() | other.largest.keys()
        return Tally(
            self.programs + other.programs,
            self.seconds + other.seconds,
            self.operations + other.operations,
            self.compared + other.compared,
            self.not_compared + other.not_compared,
            self.grown + other.grown,
            {name: max(self.largest.get(name, 0.0), other.largest.get(name, 0.0)) for name in dtypes},
            self.failed + other.failed,
        )


def run(seeds: range) -> Tally:
    """Run the programs of these seeds."""
    tally, start = Tally(programs=len(seeds)), time.process_time()
    for seed in seeds:
        program = Program.drawn(seed)
        try:
            world = program.run()
        except Exception:
            traceback.print_exc(limit=-6)  # now: what threads do may not come again
            tally.failed.append(seed)
            continue
        tally.operations.update(name for name, _ in program.operations)
        tally.compared += world.compared
        tally.not_compared += world.not_compared
        tally.grown += world.grown
        tally.largest[world.dtype] = max(tally.largest.get(world.dtype, 0.0), world.largest)
    tally.seconds = time.process_time() - start
    return tally


def first_to_notice(mutation: Mutation) -> tuple[int, str] | None:
    """Return how many of the suite's programs it takes to notice a mutation, and what the last of them says."""
    with mutation.made():
        for seed in range(SUITE):
            error = Program.drawn(seed).fails()
            if error is not None:
                return seed + 1, str(error)
    return None


def section(tally: Tally, noticed: dict[str, tuple[int, str] | None], command: str) -> str:
    """Return the page's part."""
    operations = "\n".join(
        f"| `{name}` | {(operation.__doc__ or '').strip()} | {tally.operations[name]:,} |"
        for name, (operation, often) in OPERATIONS.items()
        if often
    )
    rows = "\n".join(
        f"| {what} | {f'{found[0]} | {found[1]} |' if found else 'not noticed | |'}" for what, found in noticed.items()
    )
    failed = f"{len(tally.failed)} of them failed ({', '.join(map(str, tally.failed[:10]))})"
    largest = {name: f"{tally.largest.get(name, 0.0):.2g}" for name in BOUNDS}
    today = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    python = f"{platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}"
    return f"""\
A program draws a network (a chain with branches, layers of every kind, now and then one of a user's own) and 5 to 25
operations, and does each to tinynet's network and to one in plain NumPy and float64, which knows nothing of recordings
and compiled code ([tests/differential/model.py](../tests/differential/model.py)). After each, outputs, gradients,
parameters, statistics, velocity, settings and step count are compared, and what was handed out before must be as it
was. Then the plain network goes on from tinynet's numbers, so that errors do not add up. {SUITE} programs run with the
tests on every change; this is a longer run.

A difference may be {BOUNDS["float64"]:g} of the largest number in that pass in float64 and {BOUNDS["float32"]:g} in
float32: rounding is in proportion to the largest number on the way, and each normalization of a feature that hardly
varies magnifies it. A `fit` of several steps that is compared only at its end may differ a hundred times as much. A
float32 step that comes nearer to a kink, of ReLU or one of its kin, than {NEAR_A_KINK:g} of that number is not
compared, since the slope there is one or the other; and a program ends when its numbers exceed {LARGEST:,.0f}.

`{command}` ran {tally.programs:,} programs with {tally.operations.total():,} operations and {tally.compared:,}
comparisons: {failed if tally.failed else "none failed"}. The largest difference was {largest["float64"]} of what is
allowed in float64 and {largest["float32"]} in float32; {tally.not_compared:,} steps were not compared, and
{tally.grown:,} programs ended early. A program took {1000 * tally.seconds / max(1, tally.programs):.0f} ms of the
processor, on {today}, {python}.

| operation | what it does | times |
| --- | --- | --- |
{operations}

A test that finds nothing has to be shown to find something. Each of these changes of the machinery, a few words of its
source ([tests/differential/mutations.py](../tests/differential/mutations.py)), is noticed by one of the {SUITE}:

| what is wrong | programs until one notices | what it says |
| --- | --- | --- |
{rows}
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--programs", type=int, default=SUITE, help=f"how many (default {SUITE})")
    parser.add_argument("--first", type=int, default=0, help="the seed of the first")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--mutations", action="store_true", help="also run each mutation until it is noticed")
    parser.add_argument("--write", action="store_true", help="write the section of docs/reliability.md")
    args = parser.parse_args()
    seeds = range(args.first, args.first + args.programs)
    chunks = [seeds[k : k + CHUNK] for k in range(0, len(seeds), CHUNK)]
    if args.jobs > 1:
        with ProcessPoolExecutor(args.jobs) as pool:
            tallies = list(pool.map(run, chunks))
    else:
        tallies = list(map(run, chunks))
    tally = reduce(Tally.__add__, tallies, Tally())
    for seed in tally.failed[:5]:
        error = Program.drawn(seed).shrunk().fails()
        traceback.print_exception(error, limit=-6)
    print(
        f"{tally.programs:,} programs, {tally.compared:,} comparisons, {len(tally.failed)} failed: {tally.failed[:50]}"
    )
    print(f"{1000 * tally.seconds / max(1, tally.programs):.0f} ms a program; largest difference {tally.largest}")
    noticed = {}
    for mutation in MUTATIONS if args.mutations else ():
        noticed[mutation.what] = first_to_notice(mutation)
        print(f"{mutation.what}: {noticed[mutation.what]}", flush=True)
    if args.write:
        command = f"python -m tests.differential --programs {args.programs} --mutations --write"
        write_section("Differential test", section(tally, noticed, command))
    return int(bool(tally.failed) or None in noticed.values())


if __name__ == "__main__":
    sys.exit(main())
