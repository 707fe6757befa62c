"""The same training step written straight down in NumPy: what a student would write first."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmarks import DECAY, EPS, LEARNING_RATE, MOMENTUM, Spec
from tinynet.typing import Array


class Peer:
    """Dense, (batch norm,) activation for each hidden layer, then Dense; softmax cross-entropy; SGD with momentum."""

    def __init__(self, spec: Spec, weights: Mapping[str, Array]) -> None:
        self.spec = spec
        self.params = {name: value.copy() for name, value in weights.items()}
        self.velocity = {name: np.zeros_like(value) for name, value in weights.items()}
        self.grads: dict[str, Array] = {}
        self.state: dict[str, Array] = {}
        for k in range(1, len(spec.hidden) + 1) if spec.batch_norm else ():
            gamma = self.params[f"batch_norm_{k}.gamma"]
            self.state[f"batch_norm_{k}.running_mean"] = np.zeros_like(gamma)
            self.state[f"batch_norm_{k}.running_var"] = np.ones_like(gamma)

    def step(self, x: Array, y: Array) -> float:
        logits, kept = self.forward(x)
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_softmax = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        m = len(x)
        loss = -log_softmax[np.arange(m), y].mean()
        d = np.exp(log_softmax)
        d[np.arange(m), y] -= 1
        self.backward(d / m, kept)
        for name, w in self.params.items():
            self.velocity[name] = MOMENTUM * self.velocity[name] + self.grads[name]
            w -= LEARNING_RATE * self.velocity[name]
        return float(loss)

    def forward(self, x: Array) -> tuple[Array, list[tuple[Array, ...]]]:
        """Return logits, and for each hidden layer its input, x_hat, inv_std and output."""
        kept: list[tuple[Array, ...]] = []
        p, h, none = self.params, x, np.empty(0)
        for k in range(1, len(self.spec.hidden) + 1):
            z = h @ p[f"dense_{k}.weight"]
            x_hat, inv_std = none, none
            if self.spec.batch_norm:
                mu, var = z.mean(axis=0), z.var(axis=0)
                inv_std = 1 / np.sqrt(var + EPS)
                x_hat = (z - mu) * inv_std
                z = p[f"batch_norm_{k}.gamma"] * x_hat + p[f"batch_norm_{k}.beta"]
                unbiased = var * (len(x) / (len(x) - 1))
                for name, batch in (("running_mean", mu), ("running_var", unbiased)):
                    running = self.state[f"batch_norm_{k}.{name}"]
                    self.state[f"batch_norm_{k}.{name}"] = DECAY * running + (1 - DECAY) * batch
            else:
                z = z + p[f"dense_{k}.bias"]
            out = np.maximum(z, 0) if self.spec.activation == "relu" else 1 / (1 + np.exp(-z))
            kept.append((h, x_hat, inv_std, out))
            h = out
        last = len(self.spec.hidden) + 1
        kept.append((h,))
        return h @ p[f"dense_{last}.weight"] + p[f"dense_{last}.bias"], kept

    def backward(self, d: Array, kept: list[tuple[Array, ...]]) -> None:
        """Write ``grads`` from d loss / d logits, the layers in reverse."""
        p, g = self.params, self.grads
        last = len(self.spec.hidden) + 1
        (h,) = kept[-1]
        g[f"dense_{last}.weight"], g[f"dense_{last}.bias"] = h.T @ d, d.sum(axis=0)
        d = d @ p[f"dense_{last}.weight"].T
        for k in range(last - 1, 0, -1):
            h, x_hat, inv_std, out = kept[k - 1]
            d = d * (out > 0) if self.spec.activation == "relu" else d * out * (1 - out)
            if self.spec.batch_norm:
                g[f"batch_norm_{k}.gamma"], g[f"batch_norm_{k}.beta"] = (d * x_hat).sum(axis=0), d.sum(axis=0)
                centred = d - d.mean(axis=0) - x_hat * (d * x_hat).mean(axis=0)
                d = p[f"batch_norm_{k}.gamma"] * inv_std * centred
            else:
                g[f"dense_{k}.bias"] = d.sum(axis=0)
            g[f"dense_{k}.weight"] = h.T @ d
            if k > 1:  # the gradient of the data is not needed
                d = d @ p[f"dense_{k}.weight"].T

    def gradients(self) -> dict[str, Array]:
        return dict(self.grads)

    def arrays(self) -> dict[str, Array]:
        return {**self.params, **self.state}
