"""The same training step in scikit-learn: ``MLPClassifier.partial_fit``."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.spec import LEARNING_RATE, MOMENTUM, Array, Spec

neural_network: Any = importlib.import_module("sklearn.neural_network")


class Peer(peers.Peer):
    """Plain networks only: scikit-learn has no batch normalization."""

    packages = ("scikit-learn", "numpy")
    softmaxed = True

    def __init__(self, spec: Spec, weights: Mapping[str, Array]) -> None:
        self.spec = spec
        dtype = weights["dense_1.weight"].dtype
        self.model = neural_network.MLPClassifier(
            spec.hidden, activation="logistic" if spec.activation == "sigmoid" else "relu", solver="sgd", alpha=0,
            batch_size=spec.batch, learning_rate_init=LEARNING_RATE, momentum=MOMENTUM, nesterovs_momentum=False,
            shuffle=False, random_state=0,
        )  # fmt: skip
        # Arrays exist after a first step; then they take the weights given, and the velocity goes back to zero.
        x, y = np.zeros((spec.outputs, spec.inputs), dtype), np.arange(spec.outputs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the batch is smaller than batch_size
            self.model.partial_fit(x, y, classes=y)
        for name, array in self.arrays().items():
            array[...] = weights[name]
        for velocity in self.velocities().values():
            velocity[...] = 0

    @classmethod
    def can(cls, spec: Spec) -> bool:
        return not spec.batch_norm

    def step(self, x: Array, y: Array) -> float:
        return float(self.model.partial_fit(x, y).loss_)

    def checked_step(self, x: Array, y: Array) -> tuple[float, dict[str, Array]]:
        # gradients are not to be had, but velocity = momentum velocity - learning_rate gradient
        before = {name: v.copy() for name, v in self.velocities().items()}
        loss = self.step(x, y)
        after = self.velocities()
        return loss, {name: (MOMENTUM * v - after[name]) / LEARNING_RATE for name, v in before.items()}

    def velocities(self) -> dict[str, Array]:
        return self.named(self.model._optimizer.velocities)

    def arrays(self) -> dict[str, Array]:
        return self.named([*self.model.coefs_, *self.model.intercepts_])

    def named(self, arrays: list[Array]) -> dict[str, Array]:
        """Name a list of all weights, then all biases, as tinynet does."""
        layers = len(arrays) // 2
        names = [f"dense_{k}.{kind}" for kind in ("weight", "bias") for k in range(1, layers + 1)]
        return dict(zip(names, arrays, strict=True))

    def predict(self, x: Array) -> Array:
        probabilities: Array = self.model.predict_proba(x)
        return probabilities

    def epoch(self, x: Array, y: Array, pipeline: str) -> None:
        self.model.shuffle = True
        self.model.partial_fit(x, y)
        self.model.shuffle = False
