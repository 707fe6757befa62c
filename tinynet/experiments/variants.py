"""Batch norm taken apart: layers that do only some of what it does, or undo what it does. Plain NumPy, for reading."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tinynet.errors import InputError
from tinynet.layers import BatchNorm, Layer
from tinynet.typing import Array


class PartialNorm(Layer):
    """Batch norm with only its mean, only its variance, or without gamma and beta.

    In training, over a mini-batch, with u = x - mu if ``mean``, else x, and s = 1 / sqrt(var + eps) if
    ``variance``, else 1::

        y = gamma u s + beta

    var is always that about the mean. Otherwise mu and var are running statistics, kept as `BatchNorm` keeps them.

    Parameters
    ----------
    mean, variance : bool
        Whether to subtract the one, and to divide by the root of the other.
    affine : bool
        Whether there are gamma and beta.
    """

    kind = "partial_norm"
    decay, eps = 0.9, 1e-5  # as of `BatchNorm`

    def __init__(self, *, mean: bool = True, variance: bool = True, affine: bool = True) -> None:
        super().__init__()
        self.mean, self.variance, self.affine = mean, variance, affine

    def create(self, rng: np.random.Generator) -> None:  # noqa: D102
        zeros, ones = (make(self.features[0], self.dtype) for make in (np.zeros, np.ones))
        self.params = {"gamma": ones.copy(), "beta": zeros.copy()} if self.affine else {}
        self.state = {"running_mean": zeros, "running_var": ones}

    def forward(self, x: Array, *, training: bool = False) -> Array:
        """Normalize (batch, features): by the batch's statistics in training, else by the running ones."""
        x = self.checked(x)
        mu, var = self.state["running_mean"], self.state["running_var"]
        if training:
            m = len(x)
            if m < 2:
                raise InputError(f"{self.name}: a training batch needs at least 2 examples, got {m}")
            mu, var = x.mean(axis=0), x.var(axis=0)
            for name, value in (("running_mean", mu), ("running_var", var * (m / (m - 1)))):
                self.state[name] *= self.decay
                self.state[name] += (1 - self.decay) * value
        centred = x - mu
        u = centred if self.mean else x
        s = 1 / np.sqrt(var + self.eps) if self.variance else np.ones_like(var)
        x_hat = u * s
        y: Array = self.params["gamma"] * x_hat + self.params["beta"] if self.affine else x_hat.copy()
        if training:
            self.save_for_backward(y, x_hat, centred, s)
        return y

    def backward(self, dy: Array) -> Array:
        """Write dgamma and dbeta if there are any; return dx, through those statistics that are used."""
        dy, x_hat, centred, s = self.saved_for_backward(dy)
        dx_hat = dy
        if self.affine:
            self.grads["gamma"][...] = (dy * x_hat).sum(axis=0)
            self.grads["beta"][...] = dy.sum(axis=0)
            dx_hat = self.params["gamma"] * dy
        dx: Array = dx_hat * s
        if self.mean:  # through mu
            dx = dx - dx.mean(axis=0)
        if self.variance:  # through var: d var / dx = 2 (x - mu) / m
            dx -= centred * s**2 * (dx_hat * x_hat).mean(axis=0)
        return dx


class MovingNoise(Layer):
    """In training, give every unit another mean and standard deviation at every step (Santurkar et al. 2018).

    At each step and for each unit, a shift is drawn from uniform(-shift, shift) and a scale from
    uniform(1, scale); each example's own shift and scale are drawn around them, with ``spread``. Otherwise it does
    nothing. After batch norm it takes away what batch norm gave: distributions that stay put.
    """

    kind = "moving_noise"
    shift, scale, spread = 0.5, 1.25, 0.1

    def create(self, rng: np.random.Generator) -> None:
        """Take a stream of its own, so that the weights drawn are the same with and without noise."""
        self.rng = rng.spawn(1)[0]

    def forward(self, x: Array, *, training: bool = False) -> Array:
        """Return x scaled and shifted at random in training, else a copy of x."""
        x = self.checked(x)
        if not training:
            return x.copy()
        units, dtype = x.shape[1], x.dtype.type
        shift = dtype(self.shift) * (2 * self.rng.random(units, dtype) - 1)
        scale = 1 + dtype(self.scale - 1) * self.rng.random(units, dtype)
        m = shift + dtype(self.spread) * (2 * self.rng.random(x.shape, dtype) - 1)
        s = scale + dtype(self.spread) * self.rng.standard_normal(x.shape, dtype)
        y: Array = s * x + m
        self.save_for_backward(y, s)
        return y

    def backward(self, dy: Array) -> Array:
        """Return dy, scaled alike."""
        dy, s = self.saved_for_backward(dy)
        return np.asarray(dy * s)


# what stands between a Dense layer and its activation; none of these needs the Dense layer's bias
BEFORE: Mapping[str, Callable[[], list[Layer]]] = {
    "batch norm": lambda: [BatchNorm()],
    "noise after batch norm": lambda: [BatchNorm(), MovingNoise()],
    "without gamma and beta": lambda: [PartialNorm(affine=False)],
    "mean only": lambda: [PartialNorm(variance=False)],
    "variance only": lambda: [PartialNorm(mean=False)],
}
VARIANTS = ("none", *BEFORE, "after the activation", "layer norm")
