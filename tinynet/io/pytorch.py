"""Weights to and from PyTorch, under PyTorch's own names and in its layout; PyTorch itself is not needed.

A chain of layers is a ``torch.nn.Sequential`` with a module for every layer, activations and dropout too, in the
same place. Their arrays are these; PyTorch keeps a weight as (outputs, inputs), the transpose of tinynet's:

=============  =====================================================================
tinynet        PyTorch, for the layer in place k (from 0)
=============  =====================================================================
``Dense``      ``Linear``: ``k.weight`` (transposed), ``k.bias``
``BatchNorm``  ``BatchNorm1d``: ``k.weight`` (gamma), ``k.bias`` (beta), ``k.running_mean``,
               ``k.running_var``, ``k.num_batches_tracked``
``LayerNorm``  ``LayerNorm``: ``k.weight`` (gamma), ``k.bias`` (beta)
=============  =====================================================================

A state dict says nothing of eps and momentum. Their defaults are the same: eps 1e-5, and PyTorch's momentum 0.1 is
tinynet's decay 0.9. A model with others needs ``tn.BatchNorm(decay=1 - momentum, eps=eps)`` here; in the other
direction `torch_sequential` writes them down.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tinynet import files
from tinynet.errors import FileFormatError, InputError
from tinynet.files import brief
from tinynet.io import network_file
from tinynet.layers import ACTIVATIONS, ELU, BatchNorm, Dense, Dropout, Layer, LayerNorm, LeakyReLU, Node, Softmax
from tinynet.typing import Array

KNOWN = {Dense, BatchNorm, LayerNorm, Dropout, Softmax, *ACTIVATIONS.values()}  # what `_module` writes
NAME = re.compile(r"(.*\.)?(0|[1-9][0-9]{0,5})\.(\w+)")  # of an array in a Sequential, itself perhaps in a module

PICKLES = {".pt", ".pth", ".bin"}


class Graph(Protocol):
    """What is needed of a `Network`."""

    nodes: list[Node]


def from_torch_state(net: Graph, source: str | Path | Mapping[str, Any]) -> None:
    """Fill a network with the weights and running statistics of the equivalent PyTorch model.

    In PyTorch ``safetensors.torch.save_file(model.state_dict(), "model.safetensors")``, then here
    ``tn.from_torch_state(net, "model.safetensors")``. The model is a ``torch.nn.Sequential`` of the same layers;
    before them it may have modules without arrays, such as ``Flatten``, and it may be part of a larger module
    (``net.0.weight``).

    Parameters
    ----------
    net : Network
        A chain of layers, made with the model's eps and with decay = 1 - momentum: a state dict has neither, and
        the defaults agree. Nothing in it changes unless everything fits.
    source : path, or mapping of str to array
        A safetensors file, or the state dict itself. Floats of 16 bits (bfloat16 too), 32 or 64, converted to the
        network's.

    Raises
    ------
    FileFormatError
        If an array is missing, spare, of another shape or type, or no statistic; it names the array.
    InputError
        If the network is not a chain of layers that PyTorch has, or there is no such file.
    """
    _chain(net)  # first of all: is there such a model?
    if isinstance(source, str | Path):
        if Path(source).suffix in PICKLES:
            raise InputError(
                f"{source}: a pickle of PyTorch's, which could run any program; write one of arrays there: "
                "safetensors.torch.save_file(model.state_dict(), 'model.safetensors')"
            )
        where, given = str(source), files.read_arrays(source)[0]
    elif not isinstance(source, Mapping):
        raise InputError(f"give a safetensors file, or model.state_dict(), not {type(source).__name__}")
    else:
        where, given = "state dict", {str(name): _array(name, value) for name, value in source.items()}
    live = _as_named(where, given, _live(net))
    arrays = {}
    for name, array in given.items():
        if name in live and array.dtype.kind == "f":
            array = _converted(f"{where}: {name}", array, live[name].dtype)
        if not name.endswith(".num_batches_tracked"):
            arrays[name] = array
    network_file.fill(where, live, arrays)


def to_torch_state(net: Graph, path: str | Path | None = None) -> dict[str, Array]:
    """Return copies of a network's arrays under PyTorch's names, and write them to a file; see `Network`."""
    if path is not None:
        network_file.check_statistics(path, _live(net), InputError)
    state = {name: np.array(array, order="C") for name, array in _live(net).items()}
    for name in [name for name in state if name.endswith("running_mean")]:
        # only momentum=None makes PyTorch use its count of batches, and tinynet has none
        state[name.replace("running_mean", "num_batches_tracked")] = np.array(0, np.int64)
    if path is not None:
        files.write_arrays(path, state, {"format": "pt", "model": torch_sequential(net)})
    return state


def torch_sequential(net: Graph) -> str:
    """Return the equivalent PyTorch model as a line of Python, with each layer's settings.

    ``model = eval(line)`` after ``from torch import nn``, or pasted into a program, is the model that takes
    `Network.to_torch_state`. Its momentum is 1 - decay.

    Parameters
    ----------
    net : Network

    Raises
    ------
    InputError
        If the network is not a chain of layers that PyTorch has.

    Examples
    --------
    >>> import tinynet as tn
    >>> tn.torch_sequential(tn.Sequential([tn.Dense(8, bias=False), tn.BatchNorm(), tn.ReLU()], inputs=4))
    'nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, eps=1e-05, momentum=0.1), nn.ReLU())'
    """
    layers = _chain(net)
    modules = ", ".join(f"nn.{_module(layer)}" for layer in layers)
    return f"nn.Sequential({modules})" + (".double()" if layers[0].dtype == np.float64 else "")


def _module(layer: Layer) -> str:
    inputs = layer.features[0]
    match layer:
        case Dense():
            return f"Linear({inputs}, {layer.units}, bias={bool(layer.bias)})"
        case BatchNorm():
            return f"BatchNorm1d({inputs}, eps={layer.eps}, momentum={1 - layer.decay:.12g})"
        case LayerNorm():
            return f"LayerNorm({inputs}, eps={layer.eps})"
        case LeakyReLU():
            return f"LeakyReLU({layer.slope})"
        case ELU():
            return f"ELU({layer.alpha})"
        case Dropout():
            return f"Dropout({layer.rate})"
        case Softmax():
            return "Softmax(1)"
    return f"{type(layer).__name__}()"  # the other activations are called the same


def _chain(net: Graph) -> list[Layer]:
    """Return the layers of a network that is a chain of layers which PyTorch has too."""
    if not hasattr(net, "nodes"):
        raise InputError(f"the first argument is the network, as tn.mlp makes it, not {type(net).__name__}")
    layers = []
    for before, node in zip(net.nodes, net.nodes[1:], strict=False):
        kind = type(node.layer).__name__
        if node.parents != (before,):
            raise InputError(f"{kind}: a torch.nn.Sequential is a chain, and this network branches")
        if node.layer is None or type(node.layer) not in KNOWN:
            raise InputError(f"{kind}: PyTorch has no such module")
        layers.append(node.layer)
    return layers


def _live(net: Graph) -> dict[str, Array]:
    """Return the network's own arrays as PyTorch names them and lays them out: views to read and write."""
    names = {"gamma": "weight", "beta": "bias"}
    live = {}
    for k, layer in enumerate(_chain(net)):
        for name, array in (layer.params | layer.state).items():
            live[f"{k}.{names.get(name, name)}"] = array.T
    return live


def _array(name: object, value: Any) -> Array:
    try:
        if str(getattr(value, "dtype", "")) == "torch.bfloat16":  # NumPy has no such type; float32 has its numbers
            value = value.float()
        array = np.asarray(value)
        return array.astype(np.float32) if array.dtype.name == "bfloat16" else array  # that of JAX
    except (
        TypeError,
        ValueError,
        RuntimeError,
    ) as error:  # a tensor elsewhere, with gradients, or of a type of PyTorch's own
        raise InputError(f"state dict: {name} is no array ({error}); give value.detach().float().cpu()") from None


def _converted(where: str, array: Array, dtype: np.dtype[Any]) -> Array:
    """Return the array in another float type, if that has room for its numbers."""
    with np.errstate(over="ignore"):
        converted = array.astype(dtype)
    if np.any(np.isinf(converted) & np.isfinite(array)):
        raise FileFormatError(
            f"{where} has numbers that {dtype} cannot hold; make the network with dtype='{array.dtype}'"
        )
    return converted


def _as_named(where: str, given: Iterable[str], live: Mapping[str, Array]) -> dict[str, Array]:
    """Return our arrays under the file's names: with its prefix, and counted from its first layer with arrays."""
    found = {name: NAME.fullmatch(name) for name in given}
    for name, match in found.items():
        if match is None:
            raise FileFormatError(f"{where}: {brief(name)!r} is no name in a torch.nn.Sequential, such as '0.weight'")
    prefixes = sorted({match[1] or "" for match in found.values() if match})
    if len(prefixes) > 1:
        raise FileFormatError(f"{where}: holds several modules ({brief(', '.join(prefixes))}); give one Sequential's")
    if not found or not live:
        return dict(live)
    places = {name: name.split(".") for name in live}
    first = min(int(match[2]) for match in found.values() if match)
    shift = first - min(int(k) for k, _ in places.values())
    return {f"{prefixes[0]}{int(k) + shift}.{name}": live[f"{k}.{name}"] for k, name in places.values()}
