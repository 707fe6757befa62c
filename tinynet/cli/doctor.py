"""`tinynet doctor`: what this machine runs tinynet with."""

from __future__ import annotations

import argparse

from tinynet.cli.arguments import add_json
from tinynet.cli.command import FAILED, Command
from tinynet.cli.output import aligned, filled, print_json


def _doctor(args: argparse.Namespace) -> int:
    from tinynet.cli import diagnosis

    facts, problems = diagnosis.examine()
    if args.json:
        print_json({"facts": dict(facts), "problems": problems})
    else:
        print(aligned(facts))
        print()
        for problem in problems:
            print(filled(f"- {problem}", "  "))
        if not problems:
            print("No problem found.")
    return FAILED if problems else 0


COMMAND = Command(
    name="doctor",
    help="say what this machine runs tinynet with, and what to mend",
    examples={
        "versions, BLAS, threads, and what to mend": "tinynet doctor",
        "to send with a question": "tinynet doctor --json",
    },
    arguments=add_json,
    execute=_doctor,
)
