"""`tinynet plot`: convergence curves of runs, whatever program logged them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinynet.cli.arguments import add_json, given, pair, path, weight
from tinynet.cli.command import FAILED, Command
from tinynet.cli.output import print_json
from tinynet.errors import InputError

if TYPE_CHECKING:
    from tinynet.convergence import Arms

FORMATS = (".png", ".svg", ".pdf")
# as tinynet.convergence has them, which loads matplotlib; a test holds them together
BANDS = ("all", "quartiles", "standard-error", "bootstrap", "none")
UNITS = ("step", "epoch", "examples", "seconds")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs",
        type=given,
        nargs="+",
        metavar="RUN",
        help="a log, a folder of logs, a pattern in quotes, or - for standard input; LABEL=RUN puts it in an arm",
    )
    parser.add_argument(
        "--out", type=path, default=Path("curves.png"), metavar="FILE", help="PNG, SVG or PDF (default: %(default)s)"
    )
    parser.add_argument(
        "--metric", type=given, metavar="NAME", help="such as loss, accuracy, val_loss (default: accuracy, or loss)"
    )
    parser.add_argument("--over", choices=UNITS, help="the x axis (default: the first of these that all runs have)")
    parser.add_argument(
        "--split",
        choices=("validation", "training", "both"),
        help="on which data (default: validation if all have it)",
    )
    parser.add_argument("--band", choices=BANDS, default="all", help="of the runs of an arm (default: %(default)s)")
    parser.add_argument("--smooth", type=weight, default=0.0, metavar="W", help="from 0, off, to less than 1")
    parser.add_argument("--log", action="store_true", help="a log axis")
    parser.add_argument("--error", action="store_true", help="1 - accuracy, on a log axis")
    parser.add_argument("--ylim", type=pair, metavar="LOW,HIGH", help="of the y axis (default: what fits the data)")
    parser.add_argument("--title", default="", metavar="TEXT", help="above the plot")
    parser.add_argument("--size", type=pair, metavar="WIDTH,HEIGHT", help="inches (default: 10,6)")
    parser.add_argument("--x", type=given, metavar="COLUMN", help="of a table of any program: when it was measured")
    parser.add_argument("--y", type=given, metavar="COLUMN", help="and what; several with commas between")
    add_json(parser)


def _plot(args: argparse.Namespace) -> int:
    from tinynet import files

    if args.out.suffix.lower() not in FORMATS:
        raise InputError(f"{args.out}: the name must end in {', '.join(FORMATS)}")
    if args.out.is_dir():
        raise InputError(f"{args.out}: is a folder; name a file")
    files.writable_folder(args.out.parent)
    args.stopping.work()
    arms, problems = _gathered(args)
    _draw(arms, args)
    for problem in problems:
        print(f"tinynet plot: left out: {problem}", file=sys.stderr)
    if args.json:
        runs = [{"arm": arm, **_about(log)} for arm, logs in arms.items() for log in logs]
        print_json({"curves": str(args.out), "runs": runs, "left_out": problems})
    else:
        for log in (log for logs in arms.values() for log in logs):
            print("; ".join([str(log), *log.notes]))
        print(f"curves: {args.out}")
    return FAILED if problems else 0


def _gathered(args: argparse.Namespace) -> tuple[Arms, list[str]]:
    """Return the arms that have the metric asked for, and a sentence on each run that is left out."""
    from tinynet.convergence import Arms, gather, pick

    problems: list[str] = []
    found = gather(*map(_with_history, dict.fromkeys(args.runs)), x=args.x, y=args.y, progress=True, problems=problems)
    if args.metric is None:
        return found, problems
    arms = Arms()
    for arm, logs in found.items():
        for log in logs:
            try:
                pick(log, args.metric)
            except InputError as error:
                problems.append(str(error))
            else:
                arms.setdefault(arm, []).append(log)
    if not arms:
        raise InputError(problems[0])
    return arms, problems


def _with_history(run: str) -> str:
    """Return the run's path; that of the history beside it, if it names a network that `tinynet train` saved."""
    from tinynet import files

    label, sign, name = run.rpartition("=")
    label, sign, name = ("", "", run) if Path(run).exists() else (label, sign, name)
    if not Path(name).name or Path(name).is_dir():
        return run
    beside = files.beside(name, ".csv")
    return f"{label}{sign}{beside}" if name.endswith(".safetensors") or beside.exists() else run


def _draw(arms: Arms, args: argparse.Namespace) -> None:
    from tinynet import files, plots

    figure, (ax,) = plots.figure()
    if args.size is not None:
        if not all(1 <= inches <= 100 for inches in args.size):
            raise InputError(
                f"--size: must be from 1 to 100 inches, such as 10,6, not {args.size[0]:g},{args.size[1]:g}"
            )
        figure.set_size_inches(*args.size)
    same = ("metric", "split", "smooth", "log", "error", "ylim", "title")
    look: dict[str, Any] = {name: getattr(args, name) for name in same}
    arms.draw(ax, x=args.over, band=args.band.replace("-", " "), **look)
    with files.replacing(args.out) as temporary:
        figure.savefig(temporary, format=args.out.suffix[1:].lower(), dpi=120)


def _about(log: Any) -> dict[str, Any]:
    last = {name: {"values": len(curve), "last": float(curve.values[-1])} for name, curve in log.curves.items()}
    return {
        **{name: getattr(log, name) for name in ("name", "program", "seed", "diverged")},
        "notes": list(log.notes),
        "metrics": last,
    }


COMMAND = Command(
    name="plot",
    help="draw convergence curves of runs, whatever program logged them",
    examples={
        "two runs that `tinynet train` saved": "tinynet plot bn.csv plain.csv",
        "two arms of several runs each": "tinynet plot 'plain=runs/plain-*.csv' 'batch norm=runs/bn-*.csv'",
        "the test error of Keras' runs on a log axis, over epochs": "tinynet plot keras-*.csv --error --over epoch",
        "the losses of a TensorBoard folder, smoothed": "tinynet plot logs/ --metric loss --split both --smooth 0.9",
        "a table of a program of one's own": "tinynet plot mine.csv --x iteration --y nll --log --out nll.svg",
    },
    arguments=_arguments,
    execute=_plot,
)
