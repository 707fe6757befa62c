"""`tinynet train`: one network, saved, with its history; checkpoints on the way."""

from __future__ import annotations

import argparse
import functools
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from tinynet.cli.arguments import add_json, add_network, count, path, seed, settings
from tinynet.cli.command import Command
from tinynet.cli.interrupts import INTERRUPTED
from tinynet.cli.output import one_line, print_json
from tinynet.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinynet.cli.interrupts import Stops
    from tinynet.history import History
    from tinynet.network import Network
    from tinynet.optimizers import SGD
    from tinynet.training import Callback


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_network(parser, deep=3, norm="batch", norms=("batch", "layer", "none"))
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=count, metavar="N", help="passes over the data (default: 5)")
    length.add_argument("--steps", type=count, metavar="N", help="updates, in place of epochs")
    parser.add_argument("--momentum", type=float, default=0.0, metavar="M", help="of SGD (default: 0)")
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="of weights and batches (default: 0)")
    parser.add_argument(
        "--out",
        type=path,
        default=Path("net.safetensors"),
        metavar="FILE",
        help="the network; its history goes beside it, net.safetensors's to net.csv and lr0.1's to lr0.1.csv "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--checkpoint", type=path, metavar="FILE", help="a file to write now and then, from which --resume goes on"
    )
    parser.add_argument(
        "--checkpoint-every", type=count, metavar="N", help="steps between checkpoints (default: a 20th of all)"
    )
    parser.add_argument(
        "--resume", type=path, metavar="FILE", help="go on from a checkpoint, with the settings it holds"
    )
    add_json(parser)


def _train(args: argparse.Namespace) -> int:
    from tinynet import files

    if args.out.is_dir():
        raise InputError(f"{args.out}: is a folder; name a file such as {args.out / 'net.safetensors'}")
    csv = files.beside(args.out, ".csv", (".safetensors", ".csv"))
    if args.out == csv:
        raise InputError(f"{csv}: the history goes there; name another file for the network, such as net.safetensors")
    others = {files.beside(args.out, ending) for ending in ("", ".safetensors")} - {args.out}
    if csv.exists() and not args.out.exists() and (not args.resume or any(other.exists() for other in others)):
        raise InputError(f"{csv}: is not of this network, and its history goes there; name another --out")
    checkpoint = args.resume or args.checkpoint
    for taken, by in ((args.out, "network"), (csv, "history")):
        if checkpoint and checkpoint.resolve() == taken.resolve():
            raise InputError(f"{checkpoint}: the {by} goes there (--out); name another file for checkpoints")
    net, optimizer, history, go = _resumed(args) if args.resume else _new(args)
    files.writable_folder(args.out.parent)
    code, unwritten = 0, []
    from tinynet.kernels import merge as merge  # loads Numba, whose import turns an exception into another error

    args.stopping.work()
    try:
        go(callbacks=[_ending(args.stopping)])
    except KeyboardInterrupt:
        code = INTERRUPTED
    except OSError as error:  # such as a full disk for checkpoints: the network is saved all the same
        if not history.steps:
            raise OSError(one_line(error, checkpoint)) from None
        unwritten.append(one_line(error, checkpoint))
    written: dict[str, Path] = {}
    for what, write, file in (("network", net.save, args.out), ("history", history.to_csv, csv)):
        try:
            write(file)
            written[what] = file
        except (OSError, InputError) as error:  # one file may be writable where the other is not
            unwritten.append(one_line(error, file))
    go_on = None
    if (code or unwritten) and checkpoint and checkpoint.exists():
        data = ["--data", args.data] if args.data else []
        go_on = shlex.join(["tinynet", "train", "--resume", str(checkpoint), *data, "--out", str(args.out)])
    show = _print_document if args.json else _print
    show(optimizer.steps, history, interrupted=bool(code), written=written, go_on=go_on)
    if unwritten:
        raise OSError("; ".join(unwritten))
    return code


def _ending(stopping: Stops) -> Callback:
    """Return a callback that ends the training if an interruption was lost while a kernel was loaded."""
    from tinynet.training import Callback, Run

    class Ending(Callback):
        def on_step(self, run: Run) -> None:
            stopping.check()

    return Ending()


def _new(args: argparse.Namespace) -> tuple[Network, SGD, History, Callable[..., object]]:
    """Return a new network, its optimizer and history, and a function that trains it."""
    from tinynet import training
    from tinynet.datasets.dataset import division
    from tinynet.experiments import runs
    from tinynet.history import History
    from tinynet.io import network_file
    from tinynet.optimizers import SGD

    made = settings(args, args.steps or 1)
    train, test = runs.load_data(args.data)
    net, optimizer, history = made.network(train), SGD(args.lr, momentum=args.momentum), History()
    network_file.describe(net.nodes, net.dtype)  # one that no file can hold is refused before it is trained
    go = functools.partial(
        training.fit,
        net,
        train,
        validation=test,
        optimizer=optimizer,
        steps=args.steps or (args.epochs or 5) * division(len(train), args.batch_size)[0],
        batch_size=args.batch_size,
        seed=args.seed,
        progress=True,
        history=history,
        checkpoint=args.checkpoint,
        checkpoint_every=args.checkpoint_every,
    )
    return net, optimizer, history, go


def _resumed(args: argparse.Namespace) -> tuple[Network, SGD, History, Callable[..., object]]:
    """Return a checkpoint's network, its optimizer and history, and a function that trains it to its end."""
    from tinynet import training
    from tinynet.experiments import runs

    _check_beside_resume(args)
    train, test = runs.load_data(args.data)
    run, plan = training.reopen(args.resume, train, test)
    return run.net, run.optimizer, run.history, functools.partial(training.go_on, run, plan, progress=True)


def _check_beside_resume(args: argparse.Namespace) -> None:
    """Raise InputError if an option was given that the checkpoint has settled."""
    parser = argparse.ArgumentParser(add_help=False)
    _arguments(parser)
    usual = vars(parser.parse_args([]))
    free = {"resume", "data", "out", "json"}
    for name in usual.keys() - free:
        if getattr(args, name) != usual[name]:
            raise InputError(f"--{name.replace('_', '-')}: the checkpoint has its own; beside --resume leave it out")


def _print(steps: int, history: History, *, interrupted: bool, written: dict[str, Path], go_on: str | None) -> None:
    if history.diverged:
        print(f"diverged after {steps} steps: the loss is no longer finite; try a smaller --lr")
    else:
        tested = f", test accuracy {history.final('validation_accuracy'):.2%}" if history.steps else ""
        when = f" at step {history.steps[-1]}" if history.steps and history.steps[-1] != steps else ""
        print(f"{steps} steps{' (interrupted)' if interrupted else ''}{tested}{when}")
    if written:
        print(", ".join(f"{what}: {path}" for what, path in written.items()))
    if go_on:
        print(f"go on: {go_on}")


def _print_document(
    steps: int, history: History, *, interrupted: bool, written: dict[str, Path], go_on: str | None
) -> None:
    document = {
        "steps": steps,
        "train_loss": history.final("train_loss"),
        "test_loss": history.final("validation_loss"),
        "test_accuracy": history.final("validation_accuracy"),
        "diverged": history.diverged,
        "interrupted": interrupted,
        **{what: str(written[what]) if what in written else None for what in ("network", "history")},
        "go_on": go_on,
    }
    print_json(document)


COMMAND = Command(
    name="train",
    help="train one network and save it",
    examples={
        "a network, and its history in bn.csv": "tinynet train --epochs 5 --out bn.safetensors",
        "one that can be stopped at any time": "tinynet train --epochs 20 --checkpoint run.safetensors",
        "and goes on to the same weights, bit by bit": "tinynet train --resume run.safetensors",
    },
    arguments=_arguments,
    execute=_train,
)
