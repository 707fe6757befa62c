"""`tinynet evaluate`: a saved network on the test set."""

from __future__ import annotations

import argparse
import math

from tinynet.cli.arguments import add_data, add_json, path
from tinynet.cli.command import Command
from tinynet.cli.output import print_json


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=path, metavar="FILE", help="a network that `tinynet train` saved")
    add_data(parser)
    add_json(parser)


def _evaluate(args: argparse.Namespace) -> int:
    from tinynet.evaluation import evaluate
    from tinynet.experiments import runs
    from tinynet.network import Network

    net = Network.load(args.file)
    loss, accuracy = evaluate(net, runs.load_data(args.data)[1])
    if args.json:
        print_json({"network": str(args.file), "test_loss": loss, "test_accuracy": accuracy})
    elif math.isnan(accuracy):
        print(f"test loss {loss:.4f}: the network has diverged, and has no accuracy")
    else:
        print(f"test loss {loss:.4f}, test accuracy {accuracy:.2%}")
    return 0


COMMAND = Command(
    name="evaluate",
    help="test a saved network",
    examples={
        "on MNIST's test set": "tinynet evaluate bn.safetensors",
        "on that of a folder of IDX files": "tinynet evaluate bn.safetensors --data fashion",
    },
    arguments=_arguments,
    execute=_evaluate,
)
