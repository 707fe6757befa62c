"""Networks in files: safetensors, with the architecture in the file's metadata; no pickle.

A file may come from anywhere. Each layer's settings must be such as `save` writes, and each array must have the
shape that its place in the graph asks for before anything of that size is made.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinynet import files, initializers
from tinynet.errors import FileFormatError, InputError
from tinynet.files import brief
from tinynet.layers import LAYERS, Input, Layer, Node
from tinynet.typing import Array

FORMAT, VERSION = "tinynet", "1"
MOST_LAYERS, MOST_FEATURES = 2_500, 2**31


def save(path: str | Path, nodes: Sequence[Node], arrays: Mapping[str, Array], dtype: np.dtype[Any]) -> None:
    """Write a graph's nodes, in order, and its arrays by name; InputError for statistics that `read` would refuse."""
    check_statistics(path, arrays, InputError)
    files.write_arrays(path, arrays, describe(nodes, dtype))


def describe(nodes: Sequence[Node], dtype: np.dtype[Any]) -> dict[str, str]:
    """Return the metadata for a graph's nodes, in order."""
    if len(nodes) - 1 > MOST_LAYERS:
        raise InputError(f"a file can hold {MOST_LAYERS:,} layers, and this network has {len(nodes) - 1:,}")
    position = {node: k for k, node in enumerate(nodes)}
    graph = []
    for node in nodes[1:]:
        kind = type(node.layer).__name__
        if node.layer is None or LAYERS.get(kind) is not type(node.layer):
            raise InputError(f"{kind}: a file can only name tinynet's own layers")
        config = {
            name: initializers.CUSTOM if callable(value) else value for name, value in node.layer.config().items()
        }
        graph.append({"layer": kind, "config": config, "reads": [position[p] for p in node.parents]})
    return {
        "format": FORMAT,
        "version": VERSION,
        "dtype": str(dtype),
        "inputs": str(nodes[0].input_features),
        "graph": json.dumps(graph),
    }


def read(path: str | Path) -> tuple[Node, Node, np.dtype[Any], dict[str, Array]]:
    """Return input and output node, dtype and arrays; raise FileFormatError if `save` did not write the file."""
    arrays, metadata = files.read_arrays(path)
    if metadata.get("format") != FORMAT or files.CHECKSUM not in metadata:
        raise FileFormatError(f"{path}: not a tinynet network")
    if metadata.get("version") != VERSION:
        version = brief(metadata.get("version"))
        raise FileFormatError(f"{path}: a network of format version {version}; this tinynet reads version {VERSION}")
    try:
        if metadata["dtype"] not in ("float32", "float64"):  # NumPy would evaluate what it does not know
            raise InputError(f"dtype {brief(metadata['dtype'])!r}")
        dtype = np.dtype(metadata["dtype"])
        nodes = _nodes(metadata)
        places = _places(nodes)
    except KeyError as error:
        raise FileFormatError(f"{path}: its architecture cannot be read (there is no {brief(error)})") from None
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise FileFormatError(f"{path}: its architecture cannot be read ({brief(error)})") from None
    expected = {
        f"{name}.{key}": (shape, dtype)
        for name, (layer, inputs) in places.items()
        for key, shape in layer.shapes(*inputs).items()
    }
    if "run" in metadata:  # see tinynet.run
        arrays = {name: array for name, array in arrays.items() if not name.startswith("run.")}
    check(path, expected, arrays)
    for layer, inputs in places.values():
        if init := vars(layer).get("init"):  # drawing weights that are about to be replaced can take long
            vars(layer)["init"] = "constant(0)"
            layer.build(*inputs, dtype=dtype)
            vars(layer)["init"] = init
    return nodes[0], nodes[-1], dtype, arrays


def _nodes(metadata: Mapping[str, str]) -> list[Node]:
    """Return the graph's nodes in the file's order, the input first; the layers are not built yet."""
    graph = json.loads(metadata["graph"])
    if not isinstance(graph, list) or len(graph) > MOST_LAYERS:
        raise InputError(f"a list of at most {MOST_LAYERS:,} layers is expected")
    nodes = [Input(int(metadata["inputs"]))]
    read: set[int] = set()
    for entry in graph:
        layer = LAYERS[entry["layer"]](**entry["config"])
        config = layer.config()
        for name, value in entry["config"].items():  # the constructor may have taken "2" or 2.5 for 2
            if type(value) is int and type(config[name]) is float:
                value = float(value)  # a rate of 0, say, that was assigned as such: the same number
            if type(value) is not type(config[name]) or value != config[name] or value in (math.inf, -math.inf):
                raise InputError(f"{entry['layer']}: {brief(name)} cannot be {brief(value)}")
        for k in entry["reads"]:
            if type(k) is not int or not 0 <= k < len(nodes):  # only what comes before: no cycles
                raise InputError(f"layer {len(nodes)} reads {brief(k)}, which is not before it")
        read.update(entry["reads"])
        nodes.append(layer(*(nodes[k] for k in entry["reads"])))
    if len(read) < len(nodes) - 1:
        raise InputError("a layer's output goes nowhere")
    return nodes


def _places(nodes: Sequence[Node]) -> dict[str, tuple[Layer, tuple[int, ...]]]:
    """Return every layer and the features of its inputs, by the name that it will have in the network."""
    places: dict[str, tuple[Layer, tuple[int, ...]]] = {}
    features: dict[Node, int] = {}
    count: Counter[str] = Counter()
    for node in nodes:
        if node.layer is None:
            features[node] = node.input_features
            continue
        count[node.layer.kind] += 1
        inputs = tuple(features[parent] for parent in node.parents)
        places[f"{node.layer.kind}_{count[node.layer.kind]}"] = node.layer, inputs
        features[node] = node.layer.output_features(*inputs)
        if max(*inputs, features[node]) > MOST_FEATURES:  # a chain of Concat multiplies
            raise InputError(f"{node.layer.kind}_{count[node.layer.kind]} is wider than {MOST_FEATURES} features")
    return places


def check(
    where: object, expected: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]], arrays: Mapping[str, Array]
) -> None:
    """Raise FileFormatError, which names the array, unless the ``arrays`` are those ``expected``."""
    if arrays.keys() != expected.keys():
        wrong = ", ".join(sorted(arrays.keys() ^ expected.keys()))
        raise FileFormatError(f"{where}: arrays missing or not in the architecture: {brief(wrong)}")
    for name, array in arrays.items():
        shape, dtype = expected[name]
        if (array.shape, array.dtype) != (shape, dtype):
            raise FileFormatError(f"{where}: {name} is {array.dtype} {array.shape}, not {dtype} {brief(shape)}")


def check_statistics(where: object, arrays: Mapping[str, Array], error: type[InputError] = FileFormatError) -> None:
    """Raise the error, which names the array, if a running mean is not finite, or a running variance negative too.

    A weight may be anything, as a run that diverged has left it; but no data have such a mean or variance.
    """
    for name, array in arrays.items():
        role = name.rpartition(".")[2]
        if role not in ("running_mean", "running_var"):
            continue
        wrong = ~np.isfinite(array) | (array < 0 if role == "running_var" else False)
        if wrong.any():
            k = int(np.argmax(wrong))
            what = "a finite number of at least 0" if role == "running_var" else "a finite number"
            hint = "; net.calibrate(x) sets it from the training set" if error is InputError else ""
            raise error(f"{where}: {name}[{k}] is {array[k]}, and must be {what}{hint}")


def fill(where: object, live: Mapping[str, Array], arrays: Mapping[str, Array]) -> None:
    """Copy ``arrays`` into the network's own, ``live``: all or, if they are found wrong, none."""
    check(where, {name: (array.shape, array.dtype) for name, array in live.items()}, arrays)
    check_statistics(where, arrays)
    for name, array in arrays.items():
        live[name][...] = array
