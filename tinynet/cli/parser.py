"""The parser of the whole command line, and the list of commands."""

from __future__ import annotations

import argparse
import importlib
from typing import NoReturn

from tinynet import __version__
from tinynet.cli.command import EXIT_CODES, UNUSABLE, Command

COMMANDS = (  # in the order of the help; each is the `COMMAND` of the file of that name
    "compare",
    "train",
    "evaluate",
    "export",
    "plot",
    "run",
    "listing",
    "report",
    "doctor",
    "completion",
)


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """End the program with that line and exit code 2."""
        self.exit(UNUSABLE, f"{self.prog}: {' '.join(message.split())} (try {self.prog} --help)\n")


def commands() -> list[Command]:
    """Return every command."""
    return [importlib.import_module(f"tinynet.cli.{name}").COMMAND for name in COMMANDS]


def build() -> Parser:
    """Return the parser; what it gives has the command's name as ``name`` and its function as ``run``."""
    parser = Parser(
        prog="tinynet",
        description="Train deep MLPs with and without batch normalization, and show what changed.",
        epilog=f"{EXIT_CODES}\n\n`tinynet COMMAND --help` has examples of each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tinynet {__version__}")
    parser.set_defaults(parser=parser)  # completion is made from it
    subparsers = parser.add_subparsers(title="commands", required=True, dest="name", metavar="COMMAND")
    for command in commands():
        own = subparsers.add_parser(
            command.name,
            help=command.help,
            description=f"{command.help[0].upper()}{command.help[1:]}.",
            epilog=command.epilog(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        own.set_defaults(run=command.run)
        command.arguments(own)
    return parser
