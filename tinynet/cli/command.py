"""What a command is, and the exit codes that all have. Each command is a file beside this one."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tinynet.cli.interrupts import INTERRUPTED, TERMINATED

FAILED = 1
UNUSABLE = 2  # argparse has the same

EXIT_CODES = f"""\
exit codes:
  0    done; also if the reader of a pipe has gone, or a training diverged
  {FAILED}    a run failed, or doctor found a problem
  {UNUSABLE}    wrong arguments or input, too little memory, or what cannot be written
  {INTERRUPTED}  Ctrl-C; what is finished is kept
  {TERMINATED}  SIGTERM; the same"""


@dataclass(frozen=True)
class Command:
    """One command of the program.

    Attributes
    ----------
    name, help : str
        As `tinynet --help` lists them.
    examples : mapping of str to str
        From what is wanted to the command line that does it: the end of the command's own help.
    arguments : callable
        Adds the command's arguments to its parser.
    execute : callable
        From the parsed arguments to the exit code. It may raise InputError, OSError, MemoryError and
        KeyboardInterrupt, which become one line. What it needs that is slow to import, it imports itself.
    """

    name: str
    help: str
    examples: Mapping[str, str]
    arguments: Callable[[argparse.ArgumentParser], None]
    execute: Callable[[argparse.Namespace], int]

    def epilog(self) -> str:
        """Return the examples as the help shows them."""
        lines = [f"  {wanted}\n    {line}" for wanted, line in self.examples.items()]
        return "\n".join(["examples:", *lines])
