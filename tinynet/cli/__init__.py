"""The command `tinynet`: arguments in, calls down, exit codes out.

Exit codes: see `command.EXIT_CODES`. A new command is a file beside this one, and a line in `parser.COMMANDS`. What
takes time to load is imported in functions, when `interrupts` already answers Ctrl-C.
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
        except SystemExit as end:  # help and version are printed, too
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
    command: Callable[[argparse.Namespace], int] = args.run
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
        print(f"{prog}: interrupted", file=sys.stderr)  # what was raised has become another error on its way
        return INTERRUPTED
    else:
        return _flush(prog) or code
    print(f"{prog}: {message}", file=sys.stderr)
    return UNUSABLE


def _flush(prog: str) -> int:
    """Send on what was printed; a reader that has gone is no error (0), a full disk is said (2)."""
    try:
        if sys.stdout is not None:  # as it is when closed before the start
            sys.stdout.flush()
    except OSError as error:
        # as in Python's documentation: what is left would be tried again, and told of, at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            from tinynet.cli.command import UNUSABLE

            print(f"{prog}: cannot write to standard output ({error.strerror})", file=sys.stderr)
            return UNUSABLE
    return 0


def _restart_with_better_kernels() -> None:
    """Start this program again if NumPy's BLAS chose old kernels for a new processor: see `blas.better_coretype`.

    OpenBLAS chooses once, while NumPy is imported, and only the environment can tell it which: here, ours and that of
    our worker processes. A second time there is nothing to tell, as the variable is set. Windows cannot do it.
    """
    from tinynet.machinery import blas

    better = blas.better_coretype() if os.name == "posix" and sys.executable else None
    if better:
        with contextlib.suppress(OSError), later():  # then go on as we are
            os.execve(
                sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "OPENBLAS_CORETYPE": better}
            )
