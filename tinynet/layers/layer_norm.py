"""Layer normalization (Ba, Kiros and Hinton 2016)."""

import numpy as np

from tinynet import kernels
from tinynet.layers.base import Layer
from tinynet.settings import Setting, not_negative
from tinynet.typing import Array


class LayerNorm(Layer):
    """Normalize each example over its features: the batch plays no part, in training or after.

    For a row x, with mean and variance over its features (Ba, Kiros and Hinton 2016, equation 3)::

        y = gamma (x - mean) / sqrt(var + eps) + beta

    Parameters
    ----------
    eps : float
        Added to the variance.

    Notes
    -----
    params: ``gamma`` (starts at 1), ``beta`` (0), both (features,).

    Raises
    ------
    InputError
        If eps is negative or not finite.
    """

    kind = "layer_norm"
    replayable = True
    eps = Setting(not_negative)

    def __init__(self, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps

    def shapes(self, *features: int) -> dict[str, tuple[int, ...]]:  # noqa: D102
        return dict.fromkeys(("gamma", "beta"), features)

    def create(self, rng: np.random.Generator) -> None:  # noqa: D102
        self.params = {"gamma": np.ones(self.features, self.dtype), "beta": np.zeros(self.features, self.dtype)}

    def forward(self, x: Array, *, training: bool = False) -> Array:
        """Normalize each row of (batch, features)."""
        x = self.checked(x)
        y = self.empty("y", x.shape, reuse=training)
        x_hat = self.empty("x_hat", x.shape, reuse=training)
        inv_std = self.empty("inv_std", (len(x),), reuse=training)
        self.call(
            kernels.layer_norm.forward, x, self.params["gamma"], self.params["beta"], self.eps, y, x_hat, inv_std
        )
        if training:
            self.save_for_backward(y, x_hat, inv_std)
        return y

    def backward(self, dy: Array) -> Array:
        """Write dgamma and dbeta, (features,); return dx (batch, features)."""
        dy, x_hat, inv_std = self.saved_for_backward(dy)
        dx = self.empty("dx", dy.shape)
        gamma, dgamma, dbeta = self.params["gamma"], self.grads["gamma"], self.grads["beta"]
        self.call(kernels.layer_norm.backward, dy, x_hat, gamma, inv_std, dx, dgamma, dbeta)
        return dx
