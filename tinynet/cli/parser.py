"""The parser of the whole command line, and the list of commands."""

from __future__ import annotations

import argparse
import difflib
import importlib
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from tinynet import __version__
from tinynet.cli.command import EXIT_CODES, UNUSABLE, Command
from tinynet.errors import unknown_name

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

START = """\
examples:
  a first look, in seconds
    tinynet compare --quick
  one network, and how good it is
    tinynet train --out bn.safetensors
    tinynet evaluate bn.safetensors
  every claim about batch normalization put to the test, on one page
    tinynet report --quick"""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """End the program with that line and exit code 2."""
        self.exit(UNUSABLE, f"{self.prog}: {' '.join(message.split())} (try {self.prog} --help)\n")

    def refuse(self, words: Sequence[str]) -> NoReturn:
        """End the program with a line about words that no argument takes, and an option that was perhaps meant."""
        near = [difflib.get_close_matches(word.split("=")[0], self._option_string_actions, n=1) for word in words]
        hint = f"; did you mean {near[0][0]!r}?" if near[0] else ""
        self.error(f"unrecognized arguments: {' '.join(words)}{hint}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Name the nearest choice, as everywhere; argparse itself would list all."""
        if action.choices is not None and value not in action.choices:
            kind = "command" if isinstance(action, argparse._SubParsersAction) else "value"
            raise argparse.ArgumentError(action, str(unknown_name(kind, value, action.choices)))


def commands() -> list[Command]:
    """Return every command."""
    return [importlib.import_module(f"tinynet.cli.{name}").COMMAND for name in COMMANDS]


def build() -> Parser:
    """Return the parser; what it parses has a command's ``name``, function to ``execute`` and ``own`` parser."""
    parser = Parser(
        prog="tinynet",
        description="Train deep MLPs with and without batch normalization, and show what changed.",
        epilog=f"{START}\n\n{EXIT_CODES}\n\n`tinynet COMMAND --help` has examples of each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-V", "--version", action="version", version=f"tinynet {__version__}")
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
        own.set_defaults(execute=command.execute, own=own)
        command.arguments(own)
    return parser


def parse(given: Sequence[str]) -> argparse.Namespace:
    """Return the arguments that a user gave; if there are none, show the help."""
    parser = build()
    if not given:
        parser.print_help(sys.stderr)
        parser.exit(UNUSABLE)
    args, unknown = parser.parse_known_args(given)
    if unknown:
        args.own.refuse(unknown)
    return args
