"""The same training step written straight down in NumPy: what a student would write first."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmarks import peers
from benchmarks.spec import DECAY, EPS, LEARNING_RATE, MOMENTUM, Array, Spec, is_statistic


class Peer(peers.Peer):
    """Dense, (batch norm,) activation for each hidden layer, then Dense; softmax cross-entropy; SGD with momentum."""

    def __init__(self, spec: Spec, weights: Mapping[str, Array]) -> None:
        self.spec = spec
        self.params = {name: value.copy() for name, value in weights.items() if not is_statistic(name)}
        self.velocity = {name: np.zeros_like(value) for name, value in self.params.items()}
        self.grads: dict[str, Array] = {}
        self.state: dict[str, Array] = {}
        for k in range(1, len(spec.hidden) + 1) if spec.batch_norm else ():
            gamma, (mean, var) = self.params[f"batch_norm_{k}.gamma"], running(k)
            self.state[mean], self.state[var] = np.zeros_like(gamma), np.ones_like(gamma)
        self.state |= {name: value.copy() for name, value in weights.items() if is_statistic(name)}

    def step(self, x: Array, y: Array) -> float:
        logits, kept = self.forward(x, training=True)
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

    def forward(self, x: Array, training: bool) -> tuple[Array, list[tuple[Array, ...]]]:
        """Return logits, and for each hidden layer its input, x_hat, inv_std and output."""
        kept: list[tuple[Array, ...]] = []
        p, h, none = self.params, x, np.empty(0)
        for k in range(1, len(self.spec.hidden) + 1):
            z = h @ p[f"dense_{k}.weight"]
            x_hat, inv_std = none, none
            if self.spec.batch_norm:
                mu, var = self.statistics(z, k) if training else (self.state[name] for name in running(k))
                inv_std = 1 / np.sqrt(var + EPS)
                x_hat = (z - mu) * inv_std
                z = p[f"batch_norm_{k}.gamma"] * x_hat + p[f"batch_norm_{k}.beta"]
            else:
                z = z + p[f"dense_{k}.bias"]
            out = np.maximum(z, 0) if self.spec.activation == "relu" else 1 / (1 + np.exp(-z))
            kept.append((h, x_hat, inv_std, out))
            h = out
        last = len(self.spec.hidden) + 1
        kept.append((h,))
        return h @ p[f"dense_{last}.weight"] + p[f"dense_{last}.bias"], kept

    def statistics(self, z: Array, k: int) -> tuple[Array, Array]:
        """Return the batch's mean and variance, and move the running ones toward them."""
        mu, var = z.mean(axis=0), z.var(axis=0)
        unbiased = var * (len(z) / (len(z) - 1))
        for name, batch in zip(running(k), (mu, unbiased), strict=True):
            self.state[name] = DECAY * self.state[name] + (1 - DECAY) * batch
        return mu, var

    def predict(self, x: Array) -> Array:
        return self.forward(x, training=False)[0]

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

    def checked_step(self, x: Array, y: Array) -> tuple[float, dict[str, Array]]:
        loss = self.step(x, y)
        return loss, dict(self.grads)

    def arrays(self) -> dict[str, Array]:
        return {**self.params, **self.state}


def running(k: int) -> tuple[str, str]:
    """Name the running statistics of the k-th batch norm."""
    return f"batch_norm_{k}.running_mean", f"batch_norm_{k}.running_var"
