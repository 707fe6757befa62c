"""What is trained: networks, their initial weights, and batches of made-up data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

# Not tinynet's own: a process that measures another library's memory must not load tinynet.
Array: TypeAlias = NDArray[Any]

LEARNING_RATE, MOMENTUM, DECAY, EPS = 0.01, 0.9, 0.9, 1e-5
BATCHES = 8  # of the same data, used in rotation


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

    @property
    def plain(self) -> Spec:
        """The same network without batch norm."""
        return replace(self, batch_norm=False)

    @property
    def units(self) -> tuple[int, ...]:
        """Inputs, then the units of every Dense layer."""
        return (self.inputs, *self.hidden, self.outputs)


PAPER = [Spec("paper", 784, (100,) * 3, 10, "sigmoid", 60, batch_norm) for batch_norm in (False, True)]
DEEP = [Spec("deep", 784, (100,) * 20, 10, "relu", 60, batch_norm) for batch_norm in (False, True)]
WIDE = [Spec("wide", 784, (1024,) * 4, 10, "relu", 256, batch_norm) for batch_norm in (False, True)]
SPECS = [*PAPER, *DEEP, *WIDE]
QUICK_SPECS = [*PAPER, *DEEP]


def draw_weights(spec: Spec, dtype: str = "float32", seed: int = 0) -> dict[str, Array]:
    """Return initial parameters by tinynet's names: normal weights of variance 2 / inputs (ReLU) or 1 / inputs."""
    rng = np.random.default_rng(seed)
    weights: dict[str, Array] = {}
    last = len(spec.units) - 1
    for k, (inputs, units) in enumerate(zip(spec.units[:-1], spec.units[1:], strict=True), 1):
        gain = 2 if spec.activation == "relu" and k < last else 1
        weights[f"dense_{k}.weight"] = rng.normal(0, np.sqrt(gain / inputs), (inputs, units)).astype(dtype)
        if k == last or not spec.batch_norm:
            weights[f"dense_{k}.bias"] = np.zeros(units, dtype)
        else:
            weights[f"batch_norm_{k}.gamma"] = np.ones(units, dtype)
            weights[f"batch_norm_{k}.beta"] = np.zeros(units, dtype)
    return weights


def is_statistic(name: str) -> bool:
    """Return whether an array is a running statistic, not a parameter."""
    return ".running_" in name


def draw_batches(spec: Spec, count: int = BATCHES, dtype: str = "float32", seed: int = 1) -> list[tuple[Array, Array]]:
    """Return batches (x, y): standard normal numbers with random labels.

    Of numbers in [0, 1) many ReLU units die while a network learns the batches by heart. The velocity of their weights
    then shrinks to denormal numbers, which are slow in one library and taken for zero in another.
    """
    rng = np.random.default_rng(seed)
    return [
        (rng.normal(0, 1, (spec.batch, spec.inputs)).astype(dtype), rng.integers(0, spec.outputs, spec.batch))
        for _ in range(count)
    ]
