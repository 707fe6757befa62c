"""The command `tinynet`: arguments in, calls down, exit codes out.

Exit codes: see `EXIT_CODES`.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tinynet import __version__
from tinynet.errors import InputError

if TYPE_CHECKING:
    from tinynet.experiments.runs import RunSettings
    from tinynet.experiments.store import Settings
    from tinynet.experiments.sweep import Sweep

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM
EXIT_CODES = f"""\
Exit codes: 0 done; 1 doctor found a problem, or a run failed; 2 wrong arguments or input, or a file that cannot be
written, said in one line; {INTERRUPTED} Ctrl-C, {TERMINATED} SIGTERM: what is finished is kept."""
LARGEST = 999_999_999  # of counts: more layers, units or steps than any machine can do


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (try {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; without ``arguments`` this process is the program `tinynet`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        args = _parser().parse_args(given)
    except SystemExit as end:  # help and version are printed, too
        raise SystemExit(_flush("tinynet") or end.code) from None
    if arguments is None and args.name != "doctor":  # the doctor tells what a user's own program gets
        _restart_with_better_kernels()
    with _sigterm_as_interrupt() as received:
        code = _run_command(args, given)
    return TERMINATED if received else code


def _run_command(args: argparse.Namespace, given: Sequence[str]) -> int:
    prog = f"tinynet {args.name}"
    command: Callable[[argparse.Namespace], int] = args.run
    try:
        args.command_line = shlex.join(["tinynet", *given])
        args.command_line.encode()  # it is written into pages
        code = command(args)
    except UnicodeEncodeError:
        message = "an argument is not UTF-8 text; rename what it names"
    except OSError as error:
        if _flush(prog):  # the error was that of printing
            return 2
        if isinstance(error, BrokenPipeError):
            return 0
        message = _one_line(error, getattr(args, "out", None))
    except (InputError, MemoryError) as error:
        message = _one_line(error) or "not enough memory"
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        return INTERRUPTED
    else:
        return _flush(prog) or code
    print(f"{prog}: {message}", file=sys.stderr)
    return 2


def _flush(prog: str) -> int:
    """Send on what was printed; a reader that has gone is no error (0), a full disk is said (2)."""
    try:
        if sys.stdout is not None:  # as it is when closed before the start
            sys.stdout.flush()
    except OSError as error:
        # as in Python's documentation: what is left would be tried again, and told of, at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            print(f"{prog}: cannot write to standard output ({error.strerror})", file=sys.stderr)
            return 2
    return 0


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[list[int]]:
    """Have SIGTERM do in the block what Ctrl-C does, and list it if it came; a caller's own handler stays."""
    received: list[int] = []

    def interrupt(number: int, _: object) -> None:
        received.append(number)
        raise KeyboardInterrupt

    in_main_thread = threading.current_thread() is threading.main_thread()  # others may not set it
    if not in_main_thread or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield received
        return
    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _restart_with_better_kernels() -> None:
    """Start this program again if NumPy's BLAS chose old kernels for a new processor: see `blas.better_coretype`.

    OpenBLAS chooses once, while NumPy is imported, and only the environment can tell it which: here, ours and that of
    our worker processes. A second time there is nothing to tell, as the variable is set. Windows cannot do it.
    """
    from tinynet.machinery import blas

    better = blas.better_coretype() if os.name == "posix" and sys.executable else None
    if better:
        with contextlib.suppress(OSError):  # then go on as we are
            os.execve(
                sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "OPENBLAS_CORETYPE": better}
            )


def _one_line(error: Exception, path: Path | None = None) -> str:
    """Return the error in words; ``path`` is what was written, should the error not tell."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        where = error.filename or path
        text = f"{where}: {error.strerror}" if where else error.strerror
    return " ".join(text.split())


# -- arguments --------------------------------------------------------------------------------------------


def _parser() -> _Parser:
    parser = _Parser(
        prog="tinynet",
        description="Train deep MLPs with and without batch normalization, and show what changed.",
        epilog=f"Example: tinynet compare --depth 20 --activation relu --lr 0.3\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tinynet {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, dest="name", metavar="COMMAND")

    compare = commands.add_parser("compare", help="train both arms side by side and show what changed")
    compare.set_defaults(run=_compare)
    _network_arguments(compare, depth=10, norm="batch", norms=("batch", "layer"))
    length = compare.add_mutually_exclusive_group()
    length.add_argument("--steps", type=_positive, metavar="N", help="updates of each run (default: 5000)")
    length.add_argument("--quick", action="store_true", help="500 steps: a first look in seconds")
    compare.add_argument("--seeds", type=_positive, default=3, metavar="N", help="pairs of runs (default: 3)")
    compare.add_argument("--jobs", type=_positive, metavar="N", help="worker processes (default: one a core)")
    compare.add_argument(
        "--out",
        type=Path,
        default=Path("tinynet-compare"),
        metavar="DIR",
        help="folder for results (default: %(default)s)",
    )

    train = commands.add_parser("train", help="train one network and save it")
    train.set_defaults(run=_train)
    _network_arguments(train, depth=3, norm="batch", norms=("batch", "layer", "none"))
    length = train.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=_positive, metavar="N", help="passes over the data (default: 5)")
    length.add_argument("--steps", type=_positive, metavar="N", help="updates, in place of epochs")
    train.add_argument("--momentum", type=float, default=0.0, metavar="M", help="of SGD (default: 0)")
    train.add_argument("--seed", type=_seed, default=0, metavar="N", help="of weights and batches (default: 0)")
    train.add_argument(
        "--out",
        type=Path,
        default=Path("net.safetensors"),
        metavar="FILE",
        help="the network; its history goes beside it as .csv (default: %(default)s)",
    )
    train.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="write there, now and then, all it takes to resume"
    )
    train.add_argument(
        "--checkpoint-every", type=_positive, metavar="N", help="steps between checkpoints (default: a 20th of all)"
    )
    train.add_argument(
        "--resume", type=Path, metavar="FILE", help="go on from a checkpoint, with the settings it holds"
    )

    evaluate = commands.add_parser("evaluate", help="test a saved network")
    evaluate.set_defaults(run=_evaluate)
    evaluate.add_argument("file", type=Path, metavar="FILE", help="a network that `tinynet train` saved")
    _data_argument(evaluate)

    plot = commands.add_parser("plot", help="draw saved runs' convergence curves over each other")
    plot.set_defaults(run=_plot)
    plot.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="a history (.csv, .json), or a saved network beside one"
    )
    plot.add_argument(
        "--out", type=Path, default=Path("curves.png"), metavar="FILE", help="PNG, SVG or PDF (default: %(default)s)"
    )

    experiment = commands.add_parser("run", help="put claims about batch normalization to the test")
    experiment.set_defaults(run=_run)
    experiment.add_argument("experiments", nargs="+", metavar="NAME", help="experiments, as `tinynet list` names them")
    _sweep_arguments(experiment)

    listing = commands.add_parser("list", help="list the experiments and the claims they test")
    listing.set_defaults(run=_list)

    report = commands.add_parser("report", help="run every experiment and write one page with all verdicts")
    report.set_defaults(run=_report)
    _sweep_arguments(report)

    doctor = commands.add_parser("doctor", help="say what this machine runs tinynet with, and what to mend")
    doctor.set_defaults(run=_doctor)
    return parser


def _network_arguments(parser: argparse.ArgumentParser, *, depth: int, norm: str, norms: tuple[str, ...]) -> None:
    parser.add_argument(
        "--depth", type=_positive, default=depth, metavar="N", help="hidden layers (default: %(default)s)"
    )
    parser.add_argument("--width", type=_positive, default=100, metavar="N", help="units of each (default: 100)")
    parser.add_argument(
        "--activation", default="sigmoid", metavar="NAME", help="such as relu, tanh (default: sigmoid)"
    )
    parser.add_argument(
        "--init", metavar="NAME", help="such as he_normal, 'normal(0.05)' (default: what suits the activation)"
    )
    parser.add_argument("--norm", choices=norms, default=norm, help="normalization (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=0.1, metavar="RATE", help="learning rate (default: 0.1)")
    parser.add_argument("--batch-size", type=_positive, default=60, metavar="N", help="(default: 60)")
    _data_argument(parser)


def _sweep_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="the quick form: seconds in place of minutes")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=_positive, metavar="N", help="worker processes (default: one a core)")
    where.add_argument("--scheduler", metavar="ADDRESS", help="a Dask scheduler, in place of processes here")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("tinynet-results"),
        metavar="DIR",
        help="folder for results; finished runs are kept there (default: %(default)s)",
    )


def _data_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", metavar="DIR", help="a folder of IDX files (default: the bundled MNIST)")


def _positive(text: str) -> int:
    return _whole(text, 1, LARGEST)


def _seed(text: str) -> int:
    return _whole(text, 0, 2**63 - 1)


def _whole(text: str, least: int, most: int) -> int:
    try:
        value = int(text)
    except ValueError:  # no number, or one of thousands of digits
        value = -1
    if not least <= value <= most:
        shown = repr(text if len(text) <= 30 else f"{text[:30]}...")
        at_most = f" and at most {most}" if value > most else ""
        raise argparse.ArgumentTypeError(f"{shown} is not a whole number of at least {least}{at_most}")
    return value


def _settings(args: argparse.Namespace, steps: int) -> RunSettings:
    """Return run settings; those that cannot train are refused before, not after, the training."""
    from tinynet.experiments import runs

    if args.norm == "batch" and args.batch_size < 2:
        raise InputError("--batch-size must be at least 2 with batch normalization")
    settings = runs.RunSettings(
        depth=args.depth,
        width=args.width,
        activation=args.activation,
        init=args.init,
        norm=None if args.norm == "none" else args.norm,
        lr=args.lr,
        momentum=getattr(args, "momentum", 0.0),
        batch_size=args.batch_size,
        steps=steps,
        seed=getattr(args, "seed", 0),
        data=args.data,
        record_every=max(1, steps // 50),
    )
    settings.sets()
    return settings


# -- commands ---------------------------------------------------------------------------------------------


def _compare(args: argparse.Namespace) -> int:
    from tinynet import files
    from tinynet.experiments import runner

    settings = _settings(args, args.steps or (500 if args.quick else 5000))
    out = files.writable_folder(args.out)
    from tinynet.experiments import compare, results  # with matplotlib: only now, when the arguments are right

    jobs = args.jobs or runner.available_cores()
    comparison = compare.compare(settings, args.norm, args.seeds, min(jobs, 2 * args.seeds))
    if not comparison.results:
        raise KeyboardInterrupt
    print(f"{aligned(comparison.table())}\n\n{comparison.verdict()}\n")  # first: the disk may be full
    results.write(comparison, out, args.command_line)
    print(f"Plots and data: {out / 'report.html'}")
    return INTERRUPTED if any(r.interrupted for r in comparison.results) else 0


def _train(args: argparse.Namespace) -> int:
    from tinynet import files, training
    from tinynet.experiments import runs
    from tinynet.history import History
    from tinynet.optimizers import SGD

    if args.out.is_dir():
        raise InputError(f"{args.out}: is a folder; name a file such as {args.out / 'net.safetensors'}")
    checkpoint = args.resume or args.checkpoint
    if checkpoint and checkpoint.resolve() == args.out.resolve():
        raise InputError(f"{checkpoint}: the network goes there (--out); name another file for checkpoints")
    if args.resume:
        _check_beside_resume(args)
        train, test = runs.load_data(args.data)
        from tinynet import resuming

        run, plan = resuming.reopen(args.resume, train, test)
        net, history = run.net, run.history
        go = functools.partial(training.go_on, run, plan, progress=True)
    else:
        settings = _settings(args, args.steps or 1)
        train, test = runs.load_data(args.data)
        net, history = settings.network(train), History()
        go = functools.partial(
            training.fit,
            net,
            train,
            validation=test,
            optimizer=SGD(args.lr, momentum=args.momentum),
            steps=args.steps or (args.epochs or 5) * -(-len(train) // args.batch_size),
            batch_size=args.batch_size,
            seed=args.seed,
            progress=True,
            history=history,
            checkpoint=args.checkpoint,
            checkpoint_every=args.checkpoint_every,
        )
    files.writable_folder(args.out.parent)
    code, unwritten = 0, []
    try:
        go()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except OSError as error:  # the checkpoints' disk is full, say: what was trained is saved all the same
        if not history.steps:
            raise OSError(_one_line(error, checkpoint)) from None
        unwritten.append(_one_line(error, checkpoint))
    written = []
    for what, write, path in (
        ("network", net.save, args.out),
        ("history", history.to_csv, args.out.with_suffix(".csv")),
    ):
        try:
            write(path)
            written.append(f"{what}: {path}")
        except OSError as error:
            unwritten.append(_one_line(error, path))
    if history.diverged:
        print(f"diverged after {history.steps[-1]} steps: the loss is no longer finite; try a smaller --lr")
    elif history.steps:
        accuracy = history.final("validation_accuracy")
        print(f"{history.steps[-1]} steps, test accuracy {accuracy:.2%}{' (interrupted)' if code else ''}")
    if written:
        print(", ".join(written))
    if (code or unwritten) and checkpoint and checkpoint.exists():
        data = ["--data", args.data] if args.data else []
        print("go on: " + shlex.join(["tinynet", "train", "--resume", str(checkpoint), *data, "--out", str(args.out)]))
    if unwritten:
        raise OSError("; ".join(unwritten))
    return code


def _check_beside_resume(args: argparse.Namespace) -> None:
    """Raise InputError if an option was given that the checkpoint has settled."""
    usual = vars(_parser().parse_args(["train"]))
    free = {"resume", "data", "out"}
    for name in usual.keys() - free:
        if getattr(args, name) != usual[name]:
            raise InputError(f"--{name.replace('_', '-')}: the checkpoint has its own; beside --resume leave it out")


def _evaluate(args: argparse.Namespace) -> int:
    from tinynet import training
    from tinynet.experiments import runs
    from tinynet.network import Network

    net = Network.load(args.file)
    loss, accuracy = training.evaluate(net, runs.load_data(args.data)[1])
    print(f"test loss {loss:.4f}, test accuracy {accuracy:.2%}")
    return 0


def _plot(args: argparse.Namespace) -> int:
    from tinynet import files
    from tinynet.experiments import results

    formats = (".png", ".svg", ".pdf")
    if args.out.suffix not in formats:
        raise InputError(f"{args.out}: the name must end in {', '.join(formats)}")
    for path in (args.out, *args.runs):
        if path.is_dir():
            raise InputError(f"{path}: is a folder; name a file")
    files.writable_folder(args.out.parent)
    results.plot_histories(args.runs, args.out)
    print(f"curves: {args.out}")
    return 0


def _list(args: argparse.Namespace) -> int:
    from tinynet.experiments import suite

    print(aligned(suite.listed()))
    return 0


def _run(args: argparse.Namespace) -> int:
    from tinynet import files
    from tinynet.experiments import suite

    experiments = suite.find(args.experiments)
    out = files.writable_folder(args.out)
    sweep = _sweep(args, [settings for e in experiments for settings in e.runs(args.quick)], out)
    for experiment in experiments:
        _, section = suite.write(experiment, sweep, quick=args.quick, out=out)
        print(f"{experiment.title}\n\n{aligned(section.table)}\n\n{section.verdict}\n")
    print(f"Plots and data: {out}")
    return _failures(sweep)


def _report(args: argparse.Namespace) -> int:
    from tinynet import files
    from tinynet.experiments import lab, suite

    out = files.writable_folder(args.out)
    runs = [settings for e in suite.EXPERIMENTS.values() for settings in e.runs(args.quick)]
    sweep = _sweep(args, [*runs, *lab.runs(args.quick)], out)
    summary = suite.write_report(sweep, quick=args.quick, out=out)
    print(aligned([row[:2] for row in summary]))
    print(f"\nThe page: {out / 'report.html'}")
    return _failures(sweep)


def _sweep(args: argparse.Namespace, runs: Sequence[Settings], out: Path) -> Sweep:
    """Do the runs on this machine's cores or on a Dask cluster, and say how many there were and how fast."""
    from tinynet.experiments import runner
    from tinynet.experiments.executors import scheduler_executor
    from tinynet.experiments.sweep import run_sweep

    store = out / "runs"
    if args.scheduler:
        with scheduler_executor(args.scheduler) as executor:
            done = run_sweep(runs, store=store, executor=executor)
    else:
        done = run_sweep(runs, store=store, jobs=min(args.jobs or runner.available_cores(), len(runs)))
    kept = len(done.results) + len(done.failures) - done.ran
    rate = done.ran / max(done.seconds, 1e-9)
    speed = f"{done.ran} runs in {done.seconds:.0f} s, {rate:.1f} a second; " if done.ran else ""
    print(f"{speed}{kept} kept from before", file=sys.stderr)
    return done


def _failures(sweep: Sweep) -> int:
    """Say which runs failed; return the exit code."""
    from tinynet.experiments import suite

    for line in suite.unfinished(sweep):
        print(f"failed: {line}", file=sys.stderr)
    return 1 if sweep.failures else 0


def _doctor(args: argparse.Namespace) -> int:
    from tinynet import doctor

    facts, problems = doctor.examine()
    print(aligned(facts))
    print()
    for problem in problems:
        print(f"- {problem}")
    if not problems:
        print("No problem found.")
    return 1 if problems else 0


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text as columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
