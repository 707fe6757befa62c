"""What `run` and `report` share: doing many runs, on cores or a cluster, and saying which failed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tinynet.cli.arguments import add_json, count, given, path
from tinynet.cli.command import FAILED
from tinynet.cli.output import filled

if TYPE_CHECKING:
    from tinynet.experiments.store import Settings
    from tinynet.experiments.sweep import Sweep


def add_sweep(parser: argparse.ArgumentParser) -> None:
    """Add where a sweep runs, and where its results go."""
    parser.add_argument("--quick", action="store_true", help="the quick form: seconds in place of minutes")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=count, metavar="N", help="worker processes (default: one a core)")
    where.add_argument(
        "--scheduler", type=given, metavar="ADDRESS", help="a Dask scheduler, in place of processes here"
    )
    parser.add_argument(
        "--out",
        type=path,
        default=Path("tinynet-results"),
        metavar="DIR",
        help="folder for results and finished runs; the second form in a folder goes to DIR/quick or DIR/full "
        "(default: %(default)s)",
    )
    add_json(parser)


def folder(args: argparse.Namespace) -> Path:
    """Return a folder for results that has none of the other form. Finished runs are kept in ``--out``."""
    from tinynet import files
    from tinynet.experiments import suite

    files.writable_folder(args.out)
    out = files.writable_folder(suite.place(args.out, args.quick))
    if out != args.out:
        form = "full" if args.quick else "quick"
        print(f"{args.out} has results of the {form} form, which stay; these go to {out}", file=sys.stderr)
    return out


def say_quick(args: argparse.Namespace) -> None:
    """Print, before any result, that it is of the quick form."""
    from tinynet.experiments.experiment import QUICK

    if args.quick:
        print(f"{filled(QUICK)}\n")


def do(args: argparse.Namespace, runs: Sequence[Settings]) -> Sweep:
    """Do the runs on this machine's cores or on a Dask cluster, and say how many there were and how fast."""
    from tinynet.experiments import runner
    from tinynet.experiments.executors import scheduler_executor
    from tinynet.experiments.sweep import run_sweep

    store = args.out / "runs"
    args.stopping.work()
    if args.scheduler:
        with scheduler_executor(args.scheduler) as executor:
            done = run_sweep(runs, store=store, executor=executor)
    else:
        done = run_sweep(runs, store=store, jobs=min(args.jobs or runner.available_cores(), len(runs)))
    kept = len(done.results) + len(done.failures) - done.ran
    rate = done.ran / max(done.seconds, 1e-9)
    speed = f"{done.ran} runs in {done.seconds:.0f} s, {rate:.1f} a second; " if done.ran else ""
    print(f"{speed}{kept} kept from before", file=sys.stderr)
    return done


def say_failures(sweep: Sweep) -> int:
    """Say which runs failed; return the exit code."""
    from tinynet.experiments import suite

    for line in suite.unfinished(sweep):
        print(f"failed: {line}", file=sys.stderr)
    return FAILED if sweep.failures else 0
