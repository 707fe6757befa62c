"""Arguments that several commands share, and the types of their values."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from tinynet.errors import InputError
from tinynet.layers import ACTIVATIONS
from tinynet.models import DEEPEST

if TYPE_CHECKING:
    from tinynet.experiments.runs import RunSettings

LARGEST = 999_999_999  # of counts: more units or steps than any machine can do
MOST_SEEDS = 9_999  # each is a pair of runs


def count(text: str) -> int:
    """Return a count."""
    return _whole(text, 1, LARGEST)


def depth(text: str) -> int:
    """Return a number of hidden layers."""
    return _whole(text, 1, DEEPEST)


def seeds(text: str) -> int:
    """Return a number of seeds."""
    return _whole(text, 1, MOST_SEEDS)


def seed(text: str) -> int:
    """Return a seed."""
    return _whole(text, 0, 2**63 - 1)


def given(text: str) -> str:
    """Return the text; an empty one, such as a shell's variable that is not set, is a mistake."""
    if not text:
        raise argparse.ArgumentTypeError("'' is empty, where a name is needed")
    return text


def weight(text: str) -> float:
    """Return a number from 0 to less than 1."""
    value = _number(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text[:30]!r} is not a number from 0 to less than 1")
    return value


def pair(text: str) -> tuple[float, float]:
    """Return two different numbers."""
    low, _, high = text.partition(",")
    values = _number(low), _number(high)
    if not all(map(math.isfinite, values)) or values[0] == values[1]:
        raise argparse.ArgumentTypeError(f"{text[:30]!r} is not two numbers with a comma between, such as 0.9,1")
    return values


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def path(text: str) -> Path:
    """Return a path; Python would take an empty one for the current folder."""
    return Path(given(text))


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


def add_network(parser: argparse.ArgumentParser, *, deep: int, norm: str, norms: tuple[str, ...]) -> None:
    """Add what a network and its training are made of; `settings` reads it."""
    parser.add_argument("--depth", type=depth, default=deep, metavar="N", help="hidden layers (default: %(default)s)")
    parser.add_argument("--width", type=count, default=100, metavar="N", help="units of each (default: 100)")
    parser.add_argument(
        "--activation", default="sigmoid", metavar="NAME", help=f"{', '.join(ACTIVATIONS)} (default: sigmoid)"
    )
    parser.add_argument(
        "--init", metavar="NAME", help="such as he_normal, 'normal(0.05)' (default: what suits the activation)"
    )
    parser.add_argument("--norm", choices=norms, default=norm, help="normalization (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=0.1, metavar="RATE", help="learning rate (default: 0.1)")
    parser.add_argument(
        "--batch-size", type=count, default=60, metavar="N", help="examples of each update (default: 60)"
    )
    add_data(parser)


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add the data set, which `runs.load_data` reads."""
    parser.add_argument("--data", type=given, metavar="DIR", help="a folder of IDX files (default: the bundled MNIST)")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add what every command that prints results has."""
    parser.add_argument("--json", action="store_true", help="print one JSON document, for programs")


def settings(args: argparse.Namespace, steps: int, records: int = 50) -> RunSettings:
    """Return run settings; those that cannot train are refused before, not after, the training."""
    from tinynet.experiments import runs

    if args.norm == "batch" and args.batch_size < 2:
        raise InputError("--batch-size must be at least 2 with batch normalization")
    made = runs.RunSettings(
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
        record_every=max(1, steps // records),
    )
    made.sets()
    return made
