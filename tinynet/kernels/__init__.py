"""Compiled functions over plain arrays: the mathematics and nothing else.

Every kernel writes into arrays its caller brings, and sweeps a C-ordered ``(batch, features)`` array row by
row with the features innermost, the order in which it lies in memory. Each has a plain NumPy twin in
the tests.

A file of kernels is loaded when the first of them is called, since importing Numba takes twice as long as
importing all of tinynet.
"""

import importlib
from types import ModuleType


def __getattr__(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"tinynet.kernels.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"tinynet.kernels.{name}":  # what the file imports is missing, not the file
            raise
        raise AttributeError(f"module 'tinynet.kernels' has no attribute {name!r}") from None
