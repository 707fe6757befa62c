"""`tinynet compare`: both arms side by side."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinynet.cli.arguments import add_json, add_network, count, path, seeds, settings
from tinynet.cli.command import Command
from tinynet.cli.interrupts import INTERRUPTED
from tinynet.cli.output import aligned, filled, print_json

if TYPE_CHECKING:
    from tinynet.experiments.experiment import Finding


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_network(parser, deep=10, norm="batch", norms=("batch", "layer"))
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=count, metavar="N", help="updates of each run (default: 5000)")
    length.add_argument("--quick", action="store_true", help="500 steps: a first look in seconds")
    parser.add_argument("--seeds", type=seeds, default=3, metavar="N", help="pairs of runs (default: 3)")
    parser.add_argument("--jobs", type=count, metavar="N", help="worker processes (default: one a core)")
    parser.add_argument(
        "--out",
        type=path,
        default=Path("tinynet-compare"),
        metavar="DIR",
        help="folder for results; those of other settings in it are kept, and these go to DIR/2, DIR/3, ... "
        "(default: %(default)s)",
    )
    add_json(parser)


def _compare(args: argparse.Namespace) -> int:
    from tinynet import files
    from tinynet.experiments import runner

    # at 500 steps, 50 evaluations on 10,000 examples would take half of the time
    base = settings(args, 500, records=20) if args.quick else settings(args, args.steps or 5000)
    files.writable_folder(args.out)
    from tinynet.experiments import compare, results

    asked = compare.identity(base, args.norm, args.seeds)
    out = files.writable_folder(results.place(args.out, asked))
    if out != args.out:
        print(f"{args.out} has other results, which stay; those of this comparison go to {out}", file=sys.stderr)
    jobs = args.jobs or runner.available_cores()
    args.stopping.work()
    finding = compare.compare(base, args.norm, args.seeds, min(jobs, 2 * args.seeds))
    if not finding.results:
        raise KeyboardInterrupt
    if args.json:  # print before writing: the disk may be full
        print_json({"command": args.command_line, **_document(finding), "folder": str(out)})
    else:
        print(f"{aligned(finding.table)}\n\n{filled(str(finding.verdict))}\n")
    results.write_comparison(finding, out, args.command_line, asked)
    if not args.json:
        print(f"Plots and data: {out / 'report.html'}")
    return INTERRUPTED if any(compare.interrupted(s, run) for s, run in finding.results.items()) else 0


def _document(finding: Finding) -> dict[str, Any]:
    """Return the table and verdict, and the figures they were computed from."""
    from tinynet.experiments import compare
    from tinynet.experiments.arms import accuracy

    document = compare.as_json(finding)
    runs = [
        {
            "arm": made["arm"],
            "seed": settings.seed,
            "steps": run["steps"][-1],
            "train_loss": run["train_loss"][-1],
            "test_loss": run["validation_loss"][-1],
            "test_accuracy": accuracy(run),
            "diverged": run["diverged"],
            "interrupted": made["interrupted"],
        }
        for made, (settings, run) in zip(document["runs"], finding.results.items(), strict=True)
    ]
    return {**document, "verdict": dataclasses.asdict(finding.verdict), "runs": runs}


COMMAND = Command(
    name="compare",
    help="train both arms side by side and show what changed",
    examples={
        "a first look, in seconds": "tinynet compare --quick",
        "where does the plain network fail?": "tinynet compare --activation relu --depth 20 --lr 0.3",
        "how much does the initial scale matter?": "tinynet compare --init 'normal(0.01)' --activation tanh",
        "layer normalization, as JSON": "tinynet compare --norm layer --quick --json",
    },
    arguments=_arguments,
    execute=_compare,
)
