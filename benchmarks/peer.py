"""What each library must be able to do, and which libraries there are."""

from __future__ import annotations

import importlib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import numpy as np

from benchmarks.spec import Array, Spec


class Peer(ABC):
    """One implementation, holding one network; trains by stochastic gradient descent with momentum."""

    spec: Spec
    packages: ClassVar[tuple[str, ...]] = ("numpy",)  # whose versions matter
    pipelines: ClassVar[tuple[str, ...]] = ("arrays",)  # ways to bring a whole data set in batches
    softmaxed: ClassVar[bool] = False  # a prediction is probabilities, not logits
    how: ClassVar[str] = ""  # for the page: what is called, and how it differs

    @abstractmethod
    def __init__(self, spec: Spec, weights: Mapping[str, Array]) -> None:
        """Take the weights, by tinynet's names, with running statistics or without; they must not be changed."""

    @classmethod
    def can(cls, spec: Spec) -> bool:
        """Return whether the library has such a network."""
        return True

    @classmethod  # noqa: B027 - most have nothing to do
    def forget(cls) -> None:
        """Drop what was compiled for networks measured before."""

    @staticmethod
    def precision(dtype: str) -> AbstractContextManager[Any]:
        """Return a context in which arrays may have this dtype."""
        return nullcontext()

    @staticmethod
    def inference() -> AbstractContextManager[Any]:
        """Return a context in which predictions are made."""
        return nullcontext()

    def prepare(self, x: Array, y: Array) -> tuple[Any, Any]:
        """Return a batch in the library's own kind of array: not timed."""
        return x, y

    @abstractmethod
    def step(self, x: Any, y: Any) -> float:
        """Make one training step on a prepared batch and return the loss before it: what is timed."""

    def wait(self) -> None:  # noqa: B027 - most have nothing to do
        """Return when every step has ended: timed once a turn."""

    @abstractmethod
    def checked_step(self, x: Any, y: Any) -> tuple[float, dict[str, Array]]:
        """Make a step; return the loss and the gradients it used, by tinynet's names and in its layout."""

    @abstractmethod
    def arrays(self) -> dict[str, Array]:
        """Return parameters and running statistics as they are now, by tinynet's names and in its layout."""

    @abstractmethod
    def predict(self, x: Any) -> Any:
        """Return the logits (see `softmaxed`) of a prepared batch, not in training: what is timed."""

    def epoch(self, x: Array, y: Array, pipeline: str) -> None:
        """Make one pass over a data set in a new random order: what is timed. Here: index arrays, then step."""
        batch = self.spec.batch
        order = np.random.default_rng(0).permutation(len(x))
        for start in range(0, len(x), batch):
            rows = order[start : start + batch]
            self.step(x[rows], y[rows])
        self.wait()


PEERS = {
    "torch": "benchmarks.torch_peer",
    "torch-compile": "benchmarks.torch_compile_peer",
    "jax": "benchmarks.jax_peer",
    "numpy": "benchmarks.numpy_peer",
    "sklearn": "benchmarks.sklearn_peer",
}
"""The module of each peer; it has a class ``Peer``."""

TITLES = {
    "tinynet": "tinynet",
    "torch": "PyTorch eager",
    "torch-compile": "torch.compile",
    "jax": "JAX jit",
    "numpy": "plain NumPy",
    "sklearn": "scikit-learn",
}


def title(name: str) -> str:
    """Return what a name such as "torch", "torch (arrays)" or "torch, folded" is called on the page."""
    library = re.split(r" \(|, ", name)[0]
    return TITLES.get(library, library) + name[len(library) :]


class UnusableError(Exception):
    """A library is installed but cannot do its work here; it says why."""


def load_peer(name: str) -> type[Peer]:
    """Return a peer's class.

    Raises
    ------
    ModuleNotFoundError
        If what it needs is not installed.
    UnusableError
        If that does not work on this machine.
    """
    module = "benchmarks.tinynet_peer" if name == "tinynet" else PEERS[name]
    peer: type[Peer] = importlib.import_module(module).Peer
    return peer
