"""`tinynet plot`: saved runs' convergence curves."""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tinynet.cli.arguments import add_json, path
from tinynet.cli.command import Command
from tinynet.cli.output import print_json
from tinynet.errors import InputError

if TYPE_CHECKING:
    from tinynet.history import History

ENDINGS = (".csv", ".json", ".safetensors")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs", type=path, nargs="+", metavar="RUN", help="a history (.csv, .json), or a saved network beside one"
    )
    parser.add_argument(
        "--out", type=path, default=Path("curves.png"), metavar="FILE", help="PNG, SVG or PDF (default: %(default)s)"
    )
    add_json(parser)


def _plot(args: argparse.Namespace) -> int:
    from tinynet import files

    formats = (".png", ".svg", ".pdf")
    if args.out.suffix.lower() not in formats:
        raise InputError(f"{args.out}: the name must end in {', '.join(formats)}")
    for file in (args.out, *args.runs):
        if file.is_dir():
            raise InputError(f"{file}: is a folder; name a file")
    files.writable_folder(args.out.parent)
    args.stopping.work()
    _draw(args.runs, args.out)
    if args.json:
        print_json({"curves": str(args.out)})
    else:
        print(f"curves: {args.out}")
    return 0


def _draw(runs: Sequence[Path], out: Path) -> None:
    """Draw the convergence curves of saved runs over each other: the accuracy, or the loss where none has one."""
    from tinynet import files, plots

    histories = {path: _read_history(path) for path in dict.fromkeys(runs)}
    short = {path: str(files.beside(path, "", ENDINGS)) for path in histories}
    twice = {name for name, count in Counter(short.values()).items() if count > 1}
    labels = {path: str(path) if name in twice else name for path, name in short.items()}
    arms = {labels[path].replace("$", r"\$"): [history] for path, history in histories.items()}  # "$x$" is a formula
    tested = any(math.isfinite(value) for history in histories.values() for value in history.validation_accuracy)
    figure, (ax,) = plots.figure()
    plots.curves(arms, ax, measure="accuracy" if tested else "loss")
    with files.replacing(out) as temporary:
        figure.savefig(temporary, format=out.suffix[1:].lower(), dpi=120)


def _read_history(path: Path) -> History:
    from tinynet import files
    from tinynet.history import History

    file = path if path.name.endswith((".csv", ".json")) else files.beside(path, ".csv")
    if file != path and not file.exists() and path.suffix != ".safetensors":
        raise InputError(f"{path}: a run is a history (.csv, .json), or a network with its history beside it ({file})")
    history = History.from_json(file) if file.name.endswith(".json") else History.from_csv(file)
    if not history.steps:
        raise InputError(f"{path}: has no record yet, as when a training is stopped early; there is nothing to draw")
    return history


COMMAND = Command(
    name="plot",
    help="draw saved runs' convergence curves over each other",
    examples={
        "two runs that `tinynet train` saved": "tinynet plot bn.csv plain.csv",
        "as a vector graphic, by the networks' names": "tinynet plot bn.safetensors --out curves.svg",
    },
    arguments=_arguments,
    run=_plot,
)
