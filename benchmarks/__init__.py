"""tinynet beside other ways to train the same networks: what is compared, and the check that it is the same work.

``python -m benchmarks`` times it. A peer is a class that takes a `Spec` and the initial weights, and trains: the
same weights, the same batches, stochastic gradient descent with momentum. Before anything is timed, `check` compares
its loss, gradients, updated weights and running statistics with tinynet's.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

import tinynet as tn
from tinynet.typing import Array

LEARNING_RATE, MOMENTUM, DECAY, EPS = 0.01, 0.9, 0.9, 1e-5

# How far an array may be from tinynet's: ||difference|| / ||tinynet's||. The float64 run decides whether the work is
# the same. In float32 a matrix product that adds in another order differs by 1e-7, but then a number near zero may
# fall on the other side of a ReLU's kink, for one example and one unit. Its gradient then appears or vanishes as a
# whole: 1e-2 of an array, and more after further steps, since twenty batch-normalized ReLU layers amplify it.
# Therefore float32 is compared over one step only.
TOLERANCE = {"float64": 1e-9, "float32": 2e-2}
CHECKED_STEPS = {"float64": 3, "float32": 1}


@dataclass(frozen=True)
class Spec:
    """One network and its batch: Dense, (BatchNorm,) activation for each hidden layer, then Dense."""

    name: str
    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    activation: str  # "sigmoid" or "relu"
    batch: int
    batch_norm: bool

    @property
    def title(self) -> str:
        """Name and arm, as in the table."""
        return f"{self.name} + batch norm" if self.batch_norm else self.name


SPECS = [
    Spec(name, 784, hidden, 10, activation, batch, batch_norm)
    for name, hidden, activation, batch in (
        ("paper", (100,) * 3, "sigmoid", 60),
        ("deep", (100,) * 20, "relu", 60),
        ("wide", (1024,) * 4, "relu", 256),
    )
    for batch_norm in (False, True)
]


class Peer(Protocol):
    """One implementation, holding one network."""

    def __init__(self, spec: Spec, weights: Mapping[str, Array]) -> None:
        """Take the weights, by tinynet's names; they must not be changed."""

    def step(self, x: Array, y: Array) -> float:
        """Make one training step and return the loss before it: what is timed."""

    def gradients(self) -> dict[str, Array]:
        """Return the gradients that the last step used, by tinynet's names and in its layout."""

    def arrays(self) -> dict[str, Array]:
        """Return parameters and running statistics as they are now, by tinynet's names and in its layout."""


class Tinynet:
    """The step that `tinynet.fit` makes."""

    def __init__(self, spec: Spec, weights: Mapping[str, Array]) -> None:
        self.net = network(spec, weights["dense_1.weight"].dtype.name)
        for name, value in weights.items():
            self.net.params[name] = value
        self.loss, self.optimizer = tn.SoftmaxCrossEntropy(), tn.SGD(LEARNING_RATE, momentum=MOMENTUM)

    def step(self, x: Array, y: Array) -> float:
        loss, gradient = self.loss(self.net.run(x, training=True), y)
        self.net.run_backward(gradient)
        self.optimizer.step(self.net.params, self.net.grads)
        return loss

    def gradients(self) -> dict[str, Array]:
        return dict(self.net.grads)

    def arrays(self) -> dict[str, Array]:
        return {**self.net.params, **self.net.state}


PEERS = {"numpy": "benchmarks.plain_numpy", "torch": "benchmarks.torch_peer"}
"""The module of each peer; it has a class ``Peer``."""


def load_peer(name: str) -> type[Peer]:
    """Return a peer's class; raise ModuleNotFoundError if what it needs is not installed."""
    peer: type[Peer] = importlib.import_module(PEERS[name]).Peer
    return peer


def network(spec: Spec, dtype: str, seed: int = 0) -> tn.Network:
    """Return tinynet's network for a spec, newly initialized."""
    return tn.mlp(
        spec.inputs, spec.hidden, spec.outputs, activation=spec.activation,
        norm="batch" if spec.batch_norm else None, seed=seed, dtype=np.dtype(dtype),
    )  # fmt: skip


def task(spec: Spec, batches: int, dtype: str = "float32", seed: int = 0) -> tuple[dict[str, Array], list[Array]]:
    """Return initial weights, and batches as a flat list x, y, x, y: numbers in [0, 1) with random labels."""
    rng = np.random.default_rng(seed)
    drawn: list[Array] = []
    for _ in range(batches):
        drawn.append(rng.random((spec.batch, spec.inputs)).astype(dtype))
        drawn.append(rng.integers(0, spec.outputs, spec.batch))
    return dict(network(spec, dtype, seed).params), drawn


def difference(a: Array, b: Array) -> float:
    """Return the Euclidean norm of a - b over that of b; nan if either has one."""
    size = float(np.linalg.norm(b))
    return float(np.linalg.norm(np.asarray(a, np.float64) - b)) / (size if size > 0 else 1.0)


def check(spec: Spec, peer: type[Peer], dtype: str, steps: int) -> dict[str, float]:
    """Train tinynet and a peer a few steps from the same weights on the same batches; return what differs by how much.

    Returns
    -------
    dict of str to float
        The largest relative difference, see `difference`, among losses, gradients, and weights with statistics. The
        work is the same if each is at most ``TOLERANCE[dtype]``.
    """
    weights, batches = task(spec, steps, dtype)
    ours, theirs = Tinynet(spec, weights), peer(spec, weights)
    found = {"loss": 0.0, "gradients": 0.0, "weights and statistics": 0.0}
    for x, y in zip(batches[::2], batches[1::2], strict=True):
        expected, loss = ours.step(x, y), theirs.step(x, y)
        pairs = {
            "loss": [(np.array(loss), np.array(expected))],
            "gradients": matched(theirs.gradients(), ours.gradients()),
            "weights and statistics": matched(theirs.arrays(), ours.arrays()),
        }
        for kind, arrays in pairs.items():
            # np.max, unlike max, returns a nan
            found[kind] = float(np.max([found[kind], *(difference(a, b) for a, b in arrays)]))
    return found


def matched(theirs: dict[str, Array], ours: dict[str, Array]) -> list[tuple[Array, Array]]:
    """Pair arrays by name; raise ValueError unless both have the same names and shapes."""
    shapes, expected = ({k: v.shape for k, v in arrays.items()} for arrays in (theirs, ours))
    if shapes != expected:
        raise ValueError(f"a peer's arrays are {shapes}, tinynet's {expected}")
    return [(theirs[name], ours[name]) for name in ours]
