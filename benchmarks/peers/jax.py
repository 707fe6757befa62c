"""The same training step in JAX: one jitted function, its parameters donated, momentum written out."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.spec import DECAY, EPS, LEARNING_RATE, MOMENTUM, Array, Spec, is_statistic

jax: Any = importlib.import_module("jax")
jnp: Any = importlib.import_module("jax.numpy")


class Peer(peers.Peer):
    """A pure function from parameters, velocity, statistics and batch to the next ones."""

    packages = ("jax", "jaxlib")

    def __init__(self, spec: Spec, weights: Mapping[str, Array]) -> None:
        self.spec = spec
        self.params = {name: jnp.array(value) for name, value in weights.items() if not is_statistic(name)}
        self.velocity = {name: jnp.zeros_like(value) for name, value in self.params.items()}
        self.state: dict[str, Any] = {}
        for name, gamma in self.params.items():
            if name.endswith(".gamma"):
                norm = name.removesuffix(".gamma")
                self.state[f"{norm}.running_mean"] = jnp.zeros_like(gamma)
                self.state[f"{norm}.running_var"] = jnp.ones_like(gamma)
        self.state |= {name: jnp.array(value) for name, value in weights.items() if is_statistic(name)}
        self.train = jax.jit(functools.partial(_train, spec), donate_argnums=(0, 1, 2))
        self.grad = jax.jit(jax.grad(functools.partial(_loss, spec), has_aux=True))
        self.infer = jax.jit(lambda params, state, x: _forward(spec, params, state, x, training=False)[0])

    @staticmethod
    def precision(dtype: str) -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = jax.enable_x64(dtype == "float64")
        return context

    @classmethod
    def forget(cls) -> None:
        jax.clear_caches()

    def prepare(self, x: Array, y: Array) -> tuple[Any, Any]:
        return jnp.asarray(x), jnp.asarray(y, jnp.int32)

    def step(self, x: Any, y: Any) -> float:
        self.params, self.velocity, self.state, loss = self.train(self.params, self.velocity, self.state, x, y)
        return float(loss)

    def wait(self) -> None:
        jax.block_until_ready(self.params)

    def checked_step(self, x: Any, y: Any) -> tuple[float, dict[str, Array]]:
        grads, _ = self.grad(self.params, self.state, x, y)
        found = {name: np.array(value) for name, value in grads.items()}
        return self.step(x, y), found

    def arrays(self) -> dict[str, Array]:
        return {name: np.array(value) for name, value in {**self.params, **self.state}.items()}

    def predict(self, x: Any) -> Any:
        return self.infer(self.params, self.state, x).block_until_ready()

    def epoch(self, x: Array, y: Array, pipeline: str) -> None:
        super().epoch(x, y.astype(np.int32), pipeline)


def _forward(spec: Spec, params: Any, state: Any, x: Any, training: bool) -> tuple[Any, Any]:
    """Return logits and the next running statistics."""
    m, h = x.shape[0], x
    after = dict(state)
    last = len(spec.hidden) + 1
    for k in range(1, last):
        z = h @ params[f"dense_{k}.weight"]
        if spec.batch_norm:
            mean, var = f"batch_norm_{k}.running_mean", f"batch_norm_{k}.running_var"
            mu, sigma2 = (z.mean(axis=0), z.var(axis=0)) if training else (state[mean], state[var])
            x_hat = (z - mu) * jax.lax.rsqrt(sigma2 + EPS)
            z = params[f"batch_norm_{k}.gamma"] * x_hat + params[f"batch_norm_{k}.beta"]
            if training:
                after[mean] = DECAY * state[mean] + (1 - DECAY) * mu
                after[var] = DECAY * state[var] + (1 - DECAY) * sigma2 * (m / (m - 1))
        else:
            z = z + params[f"dense_{k}.bias"]
        h = jax.nn.relu(z) if spec.activation == "relu" else jax.nn.sigmoid(z)
    return h @ params[f"dense_{last}.weight"] + params[f"dense_{last}.bias"], after


def _loss(spec: Spec, params: Any, state: Any, x: Any, y: Any) -> tuple[Any, Any]:
    logits, after = _forward(spec, params, state, x, training=True)
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1)
    return -chosen.mean(), after


def _train(spec: Spec, params: Any, velocity: Any, state: Any, x: Any, y: Any) -> tuple[Any, Any, Any, Any]:
    loss_and_grad = jax.value_and_grad(functools.partial(_loss, spec), has_aux=True)
    (loss, state), grads = loss_and_grad(params, state, x, y)
    velocity = {name: MOMENTUM * v + grads[name] for name, v in velocity.items()}
    params = {name: w - LEARNING_RATE * velocity[name] for name, w in params.items()}
    return params, velocity, state, loss
