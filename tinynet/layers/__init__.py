"""The layers, one file a kind."""

from tinynet.layers.activations import (
    ACTIVATIONS,
    ELU,
    GELU,
    SELU,
    Activation,
    LeakyReLU,
    ReLU,
    Sigmoid,
    Tanh,
    make_activation,
)
from tinynet.layers.base import Input, Layer, Node
from tinynet.layers.batch_norm import BatchNorm
from tinynet.layers.dense import Dense
from tinynet.layers.dropout import Dropout
from tinynet.layers.layer_norm import LayerNorm
from tinynet.layers.merge import Add, Concat
from tinynet.layers.softmax import Softmax

__all__ = [
    "ACTIVATIONS",
    "ELU",
    "GELU",
    "LAYERS",
    "SELU",
    "Activation",
    "Add",
    "BatchNorm",
    "Concat",
    "Dense",
    "Dropout",
    "Input",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Node",
    "ReLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "make_activation",
]

_CLASSES = [value for value in map(globals().get, __all__) if isinstance(value, type) and issubclass(value, Layer)]

LAYERS: dict[str, type[Layer]] = {layer.__name__: layer for layer in _CLASSES if layer.kind != Layer.kind}
"""Every class above that has a kind of its own, by its name: what a saved network may name."""
