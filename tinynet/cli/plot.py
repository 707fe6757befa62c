"""`tinynet plot`: saved runs' convergence curves."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinynet.cli.arguments import add_json, path
from tinynet.cli.command import Command
from tinynet.cli.output import print_json
from tinynet.errors import InputError


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
    from tinynet.experiments import results

    formats = (".png", ".svg", ".pdf")
    if args.out.suffix.lower() not in formats:
        raise InputError(f"{args.out}: the name must end in {', '.join(formats)}")
    for file in (args.out, *args.runs):
        if file.is_dir():
            raise InputError(f"{file}: is a folder; name a file")
    files.writable_folder(args.out.parent)
    args.stopping.work()
    results.plot_histories(args.runs, args.out)
    if args.json:
        print_json({"curves": str(args.out)})
    else:
        print(f"curves: {args.out}")
    return 0


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
