"""`tinynet report`: every experiment, on one page."""

from __future__ import annotations

import argparse

from tinynet.cli import sweeping
from tinynet.cli.command import Command
from tinynet.cli.output import aligned, print_json, records


def _report(args: argparse.Namespace) -> int:
    from tinynet.experiments import lab, suite

    out = sweeping.folder(args)
    runs = [settings for e in suite.EXPERIMENTS.values() for settings in e.runs(args.quick)]
    sweep = sweeping.do(args, [*runs, *lab.runs(args.quick)])
    summary = suite.write_report(sweep, quick=args.quick, out=out)
    page = out / "report.html"
    if args.json:
        print_json({"command": args.command_line, "quick": args.quick, "claims": records(summary), "page": str(page)})
    else:
        sweeping.say_quick(args)
        print(aligned([row[:2] for row in summary]))
        print(f"\nThe page: {page}")
    return sweeping.say_failures(sweep)


COMMAND = Command(
    name="report",
    help="run every experiment and write one page with all verdicts",
    examples={
        "everything, in its quick form": "tinynet report --quick",
        "on a Dask cluster": "tinynet report --scheduler tcp://10.0.0.1:8786 --out results",
    },
    arguments=sweeping.add_sweep,
    execute=_report,
)
