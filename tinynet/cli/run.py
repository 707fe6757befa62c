"""`tinynet run`: some claims put to the test."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from tinynet.cli import sweeping
from tinynet.cli.command import Command
from tinynet.cli.output import aligned, filled, print_json, records


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiments", nargs="+", metavar="NAME", help="experiments, as `tinynet list` names them")
    sweeping.add_sweep(parser)


def _run(args: argparse.Namespace) -> int:
    from tinynet.experiments import suite

    experiments = suite.find(args.experiments)
    out = sweeping.folder(args)
    sweep = sweeping.do(args, [settings for e in experiments for settings in e.runs(args.quick)])
    if not args.json:
        sweeping.say_quick(args)
    found: list[dict[str, Any]] = []
    for experiment in experiments:
        verdict, section = suite.write(experiment, sweep, quick=args.quick, out=out)
        runs = experiment.runs(args.quick)
        found.append(
            {
                "name": experiment.name,
                "claim": experiment.claim,
                "verdict": dataclasses.asdict(verdict),
                "table": records(section.table),
                "runs": sum(settings in sweep.results for settings in runs),
                "failed": sum(settings in sweep.failures for settings in runs),
                "folder": str(out / experiment.name),
            }
        )
        if not args.json:
            print(f"{experiment.title}\n\n{aligned(section.table)}\n\n{filled(section.verdict)}\n")
    if args.json:
        print_json({"command": args.command_line, "quick": args.quick, "experiments": found})
    else:
        print(f"Plots and data: {out}")
    return sweeping.say_failures(sweep)


COMMAND = Command(
    name="run",
    help="put claims about batch normalization to the test",
    examples={
        "one claim, in seconds": "tinynet run vanishing-gradients --quick",
        "two, in full, on one core": "tinynet run learning-rate initialization --jobs 1",
        "the verdict, for a program": "tinynet run learning-rate --quick --json",
    },
    arguments=_arguments,
    execute=_run,
)
