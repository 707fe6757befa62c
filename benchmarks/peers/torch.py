"""The same training step in PyTorch, eager and with ``torch.compile``, with PyTorch's default settings."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.spec import DECAY, EPS, LEARNING_RATE, MOMENTUM, Array, Spec, is_statistic

torch: Any = importlib.import_module("torch")

RENAMED = {"gamma": "weight", "beta": "bias"}


class Peer(peers.Peer):
    """``nn.Linear``, ``nn.BatchNorm1d``, ``nn.Sigmoid`` or ``nn.ReLU``; ``cross_entropy``; ``optim.SGD``."""

    packages = ("torch",)
    pipelines = ("DataLoader", "arrays")

    def __init__(self, spec: Spec, weights: Mapping[str, Array]) -> None:
        self.spec = spec
        nn = torch.nn
        self.named: dict[str, Any] = {}
        layers: list[Any] = []
        dtype = getattr(torch, weights["dense_1.weight"].dtype.name)
        for k, (before, units) in enumerate(zip(spec.units[:-1], spec.units[1:], strict=True), 1):
            last = k == len(spec.units) - 1
            self.named[f"dense_{k}"] = nn.Linear(before, units, bias=last or not spec.batch_norm, dtype=dtype)
            layers.append(self.named[f"dense_{k}"])
            if last:
                break
            if spec.batch_norm:  # PyTorch's momentum is 1 - decay
                self.named[f"batch_norm_{k}"] = nn.BatchNorm1d(units, eps=EPS, momentum=1 - DECAY, dtype=dtype)
                layers.append(self.named[f"batch_norm_{k}"])
            layers.append(nn.ReLU() if spec.activation == "relu" else nn.Sigmoid())
        self.net = nn.Sequential(*layers).train()
        self.names = [name for name in weights if not is_statistic(name)]
        with torch.no_grad():
            for name, value in weights.items():
                self.tensor(name).copy_(torch.from_numpy(value.T))  # Linear's weight is (units, inputs)
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
        self.call: Callable[[Any], Any] = self.net

    def tensor(self, name: str) -> Any:
        """Return the tensor of tinynet's array of that name."""
        layer, array = name.split(".")
        return getattr(self.named[layer], RENAMED.get(array, array))

    def prepare(self, x: Array, y: Array) -> tuple[Any, Any]:
        return torch.from_numpy(x), torch.from_numpy(y)

    @staticmethod
    def inference() -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = torch.inference_mode()
        return context

    def step(self, x: Any, y: Any) -> float:
        self.optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(self.call(x), y)
        loss.backward()
        self.optimizer.step()
        return float(loss.item())

    def checked_step(self, x: Any, y: Any) -> tuple[float, dict[str, Array]]:
        loss = self.step(x, y)
        return loss, {name: np.array(self.tensor(name).grad.numpy().T) for name in self.names}

    def arrays(self) -> dict[str, Array]:
        norms = [name for name in self.named if name.startswith("batch_norm")]
        state = [f"{name}.{array}" for name in norms for array in ("running_mean", "running_var")]
        return {name: np.array(self.tensor(name).detach().numpy().T) for name in [*self.names, *state]}

    def predict(self, x: Any) -> Any:
        if self.net.training:
            self.net.eval()
        return self.call(x)

    def epoch(self, x: Array, y: Array, pipeline: str) -> None:
        examples, labels = self.prepare(x, y)
        batch = self.spec.batch
        if pipeline == "DataLoader":
            data = torch.utils.data.TensorDataset(examples, labels)
            for batch_x, batch_y in torch.utils.data.DataLoader(data, batch_size=batch, shuffle=True):
                self.step(batch_x, batch_y)
            return
        order = torch.randperm(len(examples))
        for start in range(0, len(examples), batch):
            rows = order[start : start + batch]
            self.step(examples[rows], labels[rows])


class Compiled(Peer):
    """As PyTorch eager, the network compiled."""

    def __init__(self, spec: Spec, weights: Mapping[str, Array]) -> None:
        super().__init__(spec, weights)
        self.call = torch.compile(self.net)

    @classmethod
    def forget(cls) -> None:
        # PyTorch would take another network of other shapes as a sign to compile for any shape, which is slower
        torch.compiler.reset()

    @classmethod
    def try_out(cls) -> None:
        """Compile a trifle: that needs a C++ compiler."""
        x = torch.ones(2, requires_grad=True)
        try:
            torch.compile(lambda x: torch.relu(x) * 2)(x).sum().backward()
        except Exception as error:  # whatever it is
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise peers.UnusableError(f"torch.compile does not work here ({reason})") from None


def normalized(x: Array, dy: Array, activation: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return batch norm with an activation over ``x``: forward in training, and forward with autograd's backward."""
    function = torch.nn.functional
    inputs = torch.from_numpy(x.copy()).requires_grad_()
    gradient = torch.from_numpy(dy)
    features = x.shape[1]
    gamma, beta = torch.ones(features, requires_grad=True), torch.zeros(features, requires_grad=True)
    mean, var = torch.zeros(features), torch.ones(features)
    activate = torch.relu if activation == "relu" else torch.sigmoid

    def forward() -> Any:
        return activate(function.batch_norm(inputs, mean, var, gamma, beta, True, 1 - DECAY, EPS))

    def both() -> object:
        return torch.autograd.grad(forward(), (inputs, gamma, beta), gradient)

    return forward, both
