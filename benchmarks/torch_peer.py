"""The same training step in PyTorch eager, with PyTorch's default settings."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks import DECAY, EPS, LEARNING_RATE, MOMENTUM, Spec
from tinynet.typing import Array

torch: Any = importlib.import_module("torch")

RENAMED = {"gamma": "weight", "beta": "bias"}


class Peer:
    """``nn.Linear``, ``nn.BatchNorm1d``, ``nn.Sigmoid`` or ``nn.ReLU``; ``cross_entropy``; ``optim.SGD``."""

    def __init__(self, spec: Spec, weights: Mapping[str, Array]) -> None:
        nn = torch.nn
        self.named: dict[str, Any] = {}
        layers: list[Any] = []
        before = spec.inputs
        dtype = getattr(torch, weights["dense_1.weight"].dtype.name)
        for k, units in enumerate(spec.hidden, 1):
            self.named[f"dense_{k}"] = nn.Linear(before, units, bias=not spec.batch_norm, dtype=dtype)
            layers.append(self.named[f"dense_{k}"])
            if spec.batch_norm:  # PyTorch's momentum is 1 - decay
                self.named[f"batch_norm_{k}"] = nn.BatchNorm1d(units, eps=EPS, momentum=1 - DECAY, dtype=dtype)
                layers.append(self.named[f"batch_norm_{k}"])
            layers.append(nn.ReLU() if spec.activation == "relu" else nn.Sigmoid())
            before = units
        self.named[f"dense_{len(spec.hidden) + 1}"] = nn.Linear(before, spec.outputs, dtype=dtype)
        layers.append(self.named[f"dense_{len(spec.hidden) + 1}"])
        self.net = nn.Sequential(*layers).train()
        self.names = list(weights)
        with torch.no_grad():
            for name, value in weights.items():
                self.tensor(name).copy_(torch.from_numpy(value.T))  # Linear's weight is (units, inputs)
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)

    def tensor(self, name: str) -> Any:
        """Return the tensor of tinynet's array of that name."""
        layer, array = name.split(".")
        return getattr(self.named[layer], RENAMED.get(array, array))

    def step(self, x: Array, y: Array) -> float:
        self.optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(self.net(torch.from_numpy(x)), torch.from_numpy(y))
        loss.backward()
        self.optimizer.step()
        return float(loss.item())

    def gradients(self) -> dict[str, Array]:
        return {name: np.array(self.tensor(name).grad.numpy().T) for name in self.names}

    def arrays(self) -> dict[str, Array]:
        norms = [name for name in self.named if name.startswith("batch_norm")]
        state = [f"{name}.{array}" for name in norms for array in ("running_mean", "running_var")]
        return {name: np.array(self.tensor(name).detach().numpy().T) for name in [*self.names, *state]}
