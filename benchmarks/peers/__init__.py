"""The libraries that train the same networks: which there are, and what each must be able to do."""

from __future__ import annotations

import importlib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from benchmarks.spec import Array, Spec


class Peer(ABC):
    """One implementation, holding one network; trains by stochastic gradient descent with momentum."""

    spec: Spec
    packages: ClassVar[tuple[str, ...]] = ("numpy",)  # whose versions matter
    pipelines: ClassVar[tuple[str, ...]] = ("arrays",)  # ways to bring a whole data set in batches
    softmaxed: ClassVar[bool] = False  # a prediction is probabilities, not logits

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

    @classmethod  # noqa: B027 - most have nothing to do
    def try_out(cls) -> None:
        """Raise UnusableError if the library is installed but cannot do its work on this machine."""

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


class UnusableError(Exception):
    """A library is installed but cannot do its work here; it says why."""


@dataclass(frozen=True)
class Library:
    """What can be said of a library without importing it."""

    title: str
    peer: str  # file here, and class
    how: str  # what is called, and how it differs


LIBRARIES = {
    "tinynet": Library(
        "tinynet",
        "tinynet.Peer",
        "`tinynet.mlp`, `SoftmaxCrossEntropy`, `SGD`; the whole epoch is `tinynet.fit`",
    ),
    "torch": Library(
        "PyTorch eager",
        "torch.Peer",
        "`nn.Sequential` of `nn.Linear`, `nn.BatchNorm1d` and `nn.Sigmoid` or `nn.ReLU`; `F.cross_entropy`; "
        "`optim.SGD`; the loss comes by `.item()`. Predictions in eval mode under `torch.inference_mode()`. "
        "DataLoader: over a `TensorDataset`, shuffled, without worker processes (the default); arrays: `randperm` and "
        "indexing",
    ),
    "torch-compile": Library(
        "torch.compile",
        "torch.Compiled",
        "as PyTorch eager, the network given to `torch.compile` with its default settings",
    ),
    "jax": Library(
        "JAX jit",
        "jax.Peer",
        "one `jax.jit` for forward, `value_and_grad`, momentum and update, with parameters, velocity and statistics "
        "donated; waits for the loss of each step and for a prediction, and for the parameters after the last step. "
        "A whole epoch: NumPy's permutation and indexing, since a jitted function takes NumPy's arrays. "
        "XLA brings its own threads, one a core",
    ),
    "numpy": Library(
        "plain NumPy",
        "numpy.Peer",
        "as one writes it from the book: a new array for every result. Whole epoch: a permutation and indexing",
    ),
    "sklearn": Library(
        "scikit-learn",
        "sklearn.Peer",
        "`MLPClassifier.partial_fit` with `alpha=0`, `nesterovs_momentum=False`; plain networks only, it has no batch "
        "norm. Each call checks its data and turns labels into indicators; a prediction is `predict_proba`, with the "
        "softmax. A whole epoch is one call, shuffled",
    ),
}


def library_of(name: str) -> str:
    """Return whose time a name such as "torch", "torch (arrays)" or "torch, folded" stands for."""
    return re.split(r" \(|, ", name)[0]


def title(name: str) -> str:
    """Return what such a name is called on the page."""
    key = library_of(name)
    return (LIBRARIES[key].title if key in LIBRARIES else key) + name[len(key) :]


def load(name: str) -> type[Peer]:
    """Return a library's class.

    Raises
    ------
    ModuleNotFoundError
        If what it needs is not installed.
    UnusableError
        If that does not work on this machine.
    """
    file, _, class_name = LIBRARIES[name].peer.partition(".")
    peer: type[Peer] = getattr(importlib.import_module(f"{__name__}.{file}"), class_name)
    peer.try_out()
    return peer
