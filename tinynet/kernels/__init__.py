"""Compiled functions over plain arrays: the mathematics and nothing else.

Every kernel writes into arrays its caller brings, and sweeps a C-ordered ``(batch, features)`` array row by
row with the features innermost, the order in which it lies in memory. Each has a plain NumPy twin in
``tests/reference.py``.

A file of kernels is loaded when the first of them is called, since importing Numba takes twice as long as
importing all of tinynet.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinynet.kernels import activations, batch_norm, dense, layer_norm, merge, sgd, softmax

__all__ = ["activations", "batch_norm", "dense", "layer_norm", "merge", "sgd", "softmax"]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return importlib.import_module(f"tinynet.kernels.{name}")
    raise AttributeError(f"module 'tinynet.kernels' has no attribute {name!r}")
