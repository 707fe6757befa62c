"""`tinynet list`: the experiments, and the claims they test."""

from __future__ import annotations

import argparse

from tinynet.cli.arguments import add_json
from tinynet.cli.command import Command
from tinynet.cli.output import aligned, print_json


def _list(args: argparse.Namespace) -> int:
    from tinynet.experiments import suite

    listed = suite.listed()
    if args.json:
        print_json({"experiments": [{"name": name, "claim": claim} for name, claim in listed]})
    else:
        print(aligned(listed))
    return 0


COMMAND = Command(
    name="list",
    help="list the experiments and the claims they test",
    examples={
        "names and claims": "tinynet list",
        "the same for a program": "tinynet list --json",
    },
    arguments=add_json,
    execute=_list,
)
