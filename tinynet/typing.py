"""The types that appear in signatures."""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
"""A NumPy array; where it matters, docstrings say its shape and dtype."""

Seed: TypeAlias = int | np.random.Generator
"""What everything random takes: the same seed gives the same numbers."""

DType: TypeAlias = Literal["float32", "float64"] | np.dtype[Any] | type[np.floating[Any]]
"""A network's precision."""

Call: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...]]
"""A kernel and its arguments: what a network records and replays."""
