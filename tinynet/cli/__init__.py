"""The command `tinynet`: arguments in, calls down, exit codes out.

Exit codes: see `command.EXIT_CODES`. A new command is a file beside this one, and a line in `parser.COMMANDS`. Slow
imports stand inside functions: by then `interrupts` answers Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import sys

from tinynet.cli.interrupts import INTERRUPTED, Stops, later, stops

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; without ``arguments`` this process is the program `tinynet`."""
    program = arguments is None
    with stops(program=program) as stopping:
        from tinynet.cli.parser import parse

        given = [*(sys.argv[1:] if arguments is None else arguments)]
        try:
            args = parse(given)
        except SystemExit as end:  # after it printed help or the version
            raise SystemExit(_flush("tinynet") or end.code) from None
        stopping.prog = f"tinynet {args.name}"
        if program and args.name != "doctor":  # the doctor tells what a user's own program gets
            _restart_with_better_kernels()
        return stopping.code(_run_command(args, given, stopping))


def _run_command(args: argparse.Namespace, given: Sequence[str], stopping: Stops) -> int:
    import shlex

    from tinynet.cli.command import UNUSABLE
    from tinynet.cli.output import one_line
    from tinynet.errors import InputError

    prog = stopping.prog
    command: Callable[[argparse.Namespace], int] = args.execute
    try:
        args.stopping = stopping
        args.command_line = shlex.join(["tinynet", *given])
        args.command_line.encode()  # it is written into pages
        code = command(args)
    except UnicodeEncodeError:
        message = "an argument is not UTF-8 text; rename what it names"
    except OSError as error:
        if _flush(prog):  # the error was that of printing
            return UNUSABLE
        if isinstance(error, BrokenPipeError):
            return 0
        message = one_line(error, getattr(args, "out", None))
    except (InputError, MemoryError) as error:
        message = one_line(error) or "not enough memory"
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception:
        if not stopping.came:
            raise
        print(f"{prog}: interrupted", file=sys.stderr)  # the interruption became another error on its way up
        return INTERRUPTED
    else:
        return _flush(prog) or code
    print(f"{prog}: {message}", file=sys.stderr)
    return UNUSABLE


def _flush(prog: str) -> int:
    """Flush standard output. Return 0, also if its reader has gone; say so and return 2 if the disk is full."""
    try:
        if sys.stdout is not None:  # it is None if it was closed before the start
            sys.stdout.flush()
    except OSError as error:
        # from Python's documentation: otherwise Python tries again at exit, and prints an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            from tinynet.cli.command import UNUSABLE

            print(f"{prog}: cannot write to standard output ({error.strerror})", file=sys.stderr)
            return UNUSABLE
    return 0


def _restart_with_better_kernels() -> None:
    """Start this program again if NumPy's BLAS chose old kernels for a new processor: see `blas.better_coretype`.

    OpenBLAS chooses its kernels once, while NumPy is imported. Only an environment variable can change that choice, in
    this process and in its worker processes. The new process finds the variable set, and does not start again.
    Windows cannot replace a process by another.
    """
    from tinynet.machinery import blas

    better = blas.better_coretype() if os.name == "posix" and sys.executable else None
    if better:
        with contextlib.suppress(OSError), later():  # if it fails, go on with the kernels there are
            os.execve(
                sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "OPENBLAS_CORETYPE": better}
            )
