"""`tinynet export`: a saved network as an ONNX file."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinynet.cli.arguments import add_json, path
from tinynet.cli.command import Command
from tinynet.cli.output import print_json
from tinynet.errors import InputError


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        type=path,
        metavar="FILE",
        help="a network that `tinynet train` saved (or OUT alone, if it has the same name)",
    )
    parser.add_argument(
        "out",
        type=path,
        nargs="?",
        metavar="OUT",
        help="the ONNX file (default: net.onnx beside net.safetensors, lr0.1.onnx beside lr0.1)",
    )
    add_json(parser)


def _export(args: argparse.Namespace) -> int:
    from tinynet import files
    from tinynet.io.onnx import to_onnx
    from tinynet.network import Network

    file: Path = args.file
    if args.out is None:
        with_ending = files.beside(file, ".safetensors", (".onnx", ".safetensors"))
        plain = files.beside(file, "", (".onnx", ".safetensors"))
        out = files.beside(plain, ".onnx")
        found = [name for name in (with_ending, plain) if name.is_file()]
        if len(found) == 2:
            raise InputError(f"{out}: could be of {with_ending} or of {plain}; say which: tinynet export FILE {out}")
        if file.suffix == ".onnx":  # the model's name: the network has the same, but for the ending
            if not found:
                raise InputError(f"{with_ending}: not found; name the saved network: tinynet export FILE {file}")
            (file,) = found
    else:
        out = args.out
    net = Network.load(file)
    if out.suffix != ".onnx":  # this also protects the network itself
        raise InputError(f"{out}: the name must end in .onnx")
    if out.is_dir():
        raise InputError(f"{out}: is a folder; name a file such as {out / 'net.onnx'}")
    files.writable_folder(out.parent)
    args.stopping.work()
    to_onnx(net, out)
    if args.json:
        print_json({"model": str(out), "inputs": net.inputs, "outputs": net.outputs, "dtype": str(net.dtype)})
    else:
        print(f"model: {out}, input (batch, {net.inputs}) {net.dtype}, output (batch, {net.outputs})")
    return 0


COMMAND = Command(
    name="export",
    help="write a saved network as an ONNX file, which other programs run",
    examples={
        "beside it, as bn.onnx": "tinynet export bn.safetensors",
        "under another name": "tinynet export bn.safetensors mnist.onnx",
    },
    arguments=_arguments,
    execute=_export,
)
