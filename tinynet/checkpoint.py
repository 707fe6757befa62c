"""Networks in files: safetensors, with the architecture in the file's metadata; no pickle."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinynet import files
from tinynet.errors import FileFormatError, InputError
from tinynet.layers import LAYERS, Input, Node
from tinynet.layers.base import float_dtype
from tinynet.typing import Array

FORMAT, VERSION = "tinynet", "1"


def save(path: str | Path, nodes: Sequence[Node], arrays: Mapping[str, Array], dtype: np.dtype[Any]) -> None:
    """Write a graph's nodes, in order, and its arrays by name."""
    position = {node: k for k, node in enumerate(nodes)}
    graph = []
    for node in nodes[1:]:
        kind = type(node.layer).__name__
        if node.layer is None or LAYERS.get(kind) is not type(node.layer):
            raise InputError(f"{kind}: a file can only name tinynet's own layers")
        graph.append({"layer": kind, "config": node.layer.config(), "reads": [position[p] for p in node.parents]})
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "dtype": str(dtype),
        "inputs": str(nodes[0].input_features),
        "graph": json.dumps(graph),
    }
    files.write_arrays(path, arrays, metadata)


def read(path: str | Path) -> tuple[Node, Node, np.dtype[Any], dict[str, Array]]:
    """Return input and output node, dtype and arrays; raise FileFormatError if `save` did not write the file."""
    arrays, metadata = files.read_arrays(path)
    if metadata.get("format") != FORMAT or metadata.get("version") != VERSION:
        raise FileFormatError(f"{path}: not a tinynet network of format version {VERSION}")
    try:
        nodes = [Input(int(metadata["inputs"]))]
        for entry in json.loads(metadata["graph"]):
            layer = LAYERS[entry["layer"]](**entry["config"])
            nodes.append(layer(*(nodes[k] for k in entry["reads"])))
        return nodes[0], nodes[-1], float_dtype(metadata["dtype"]), arrays  # type: ignore[arg-type]
    except (KeyError, IndexError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise FileFormatError(f"{path}: its architecture cannot be read ({error})") from None


def fill(path: str | Path, expected: Mapping[str, Array], arrays: Mapping[str, Array]) -> None:
    """Copy ``arrays`` into the live arrays ``expected``; raise FileFormatError unless they are the same ones."""
    if arrays.keys() != expected.keys():
        wrong = ", ".join(sorted(arrays.keys() ^ expected.keys()))
        raise FileFormatError(f"{path}: arrays missing or not in the architecture: {wrong}")
    for name, array in arrays.items():
        live = expected[name]
        if (array.shape, array.dtype) != (live.shape, live.dtype):
            raise FileFormatError(f"{path}: {name} is {array.dtype} {array.shape}, not {live.dtype} {live.shape}")
        live[...] = array
