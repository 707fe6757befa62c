"""Batch normalization (Ioffe and Szegedy 2015)."""

import numpy as np

from tinynet import kernels
from tinynet.errors import InputError
from tinynet.layers.base import Layer
from tinynet.settings import Setting, below_1, not_negative
from tinynet.typing import Array


class BatchNorm(Layer):
    """Normalize each feature over the batch, then scale by gamma and shift by beta.

    In training, over a mini-batch of m examples::

        mu    = mean(x)                          (1)
        var   = mean((x - mu)^2)                 (2)
        x_hat = (x - mu) / sqrt(var + eps)       (3)
        y     = gamma x_hat + beta               (4)

    Otherwise mu and var are the running statistics, or the whole training set's after `Network.calibrate`.

    Parameters
    ----------
    decay : float
        How much of the running statistics is kept at each step:
        running = decay running + (1 - decay) batch. It is not called ``momentum`` because PyTorch means
        1 - decay by that word and Keras means decay.
    eps : float
        Added to the variance, so that a constant feature does not divide by zero.

    Notes
    -----
    params: ``gamma`` (starts at 1), ``beta`` (0); state: ``running_mean`` (0), ``running_var`` (1);
    all (features,). Normalizing uses the biased batch variance (1/m), the running variance takes the
    unbiased one, m/(m - 1), as the paper's Algorithm 2.

    Placed just before the activation, as in the paper. A batch of one example is refused in training: its
    variance is zero and every output would be beta.

    Raises
    ------
    InputError
        If decay is not in [0, 1), or eps is negative or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> import tinynet as tn
    >>> bn = tn.BatchNorm(decay=0.9)
    >>> bn.forward(np.array([[1.0], [2.0], [3.0]]), training=True).round(2).ravel().tolist()
    [-1.22, 0.0, 1.22]
    >>> bn.state["running_mean"].round(2).tolist()  # 0.9 * 0 + 0.1 * 2
    [0.2]
    """

    kind = "batch_norm"
    replayable = True
    decay, eps = Setting(below_1), Setting(not_negative)

    def __init__(self, *, decay: float = 0.9, eps: float = 1e-5) -> None:
        super().__init__()
        self.decay, self.eps = decay, eps

    def shapes(self, *features: int) -> dict[str, tuple[int, ...]]:  # noqa: D102
        return dict.fromkeys(("gamma", "beta", "running_mean", "running_var"), features)

    def create(self, rng: np.random.Generator) -> None:  # noqa: D102
        features, dtype = self.features, self.dtype
        self.params = {"gamma": np.ones(features, dtype), "beta": np.zeros(features, dtype)}
        self.state = {"running_mean": np.zeros(features, dtype), "running_var": np.ones(features, dtype)}

    def forward(self, x: Array, *, training: bool = False) -> Array:
        """Normalize (batch, features): by the batch's statistics in training (Algorithm 1), else by the running ones.

        Raises
        ------
        InputError
            In training, if the batch has fewer than two examples; also as `Layer.forward`.
        """
        x = self.checked(x)
        gamma, beta = self.params["gamma"], self.params["beta"]
        running_mean, running_var = self.state["running_mean"], self.state["running_var"]
        y = self.empty("y", x.shape, reuse=training)
        if not training:
            inv_std = self.empty("inv_std", gamma.shape, reuse=False)
            self.call(kernels.batch_norm.inference, x, gamma, beta, running_mean, running_var, self.eps, y, inv_std)
            return y

        m = len(x)
        if m < 2:
            raise InputError(
                f"{self.name}: a training batch needs at least 2 examples, got {m} "
                "(one example has no variance; for a prediction use training=False)"
            )
        mu, correction, var, inv_std = (
            self.empty(role, gamma.shape) for role in ("mu", "correction", "var", "inv_std")
        )
        self.call(kernels.batch_norm.forward, x, gamma, beta, self.eps, y, mu, correction, var, inv_std)
        self.call(kernels.batch_norm.update_running, mu, correction, var, m, self.decay, running_mean, running_var)
        self.save_for_backward(y, x, mu, correction, inv_std)
        return y

    def backward(self, dy: Array) -> Array:
        """Write dgamma and dbeta, (features,); return dx (batch, features), through the batch's mean and variance too.

        The chain rule of the paper's section 3, simplified: dx = gamma inv_std (dy - mean(dy) - x_hat mean(dy x_hat)).
        """
        dy, x, mu, correction, inv_std = self.saved_for_backward(dy)
        dx = self.empty("dx", dy.shape)
        coefficients = (self.empty(role, mu.shape) for role in ("of_centred", "constant"))
        read = dy, x, mu, correction, inv_std, self.params["gamma"]
        written = dx, self.grads["gamma"], self.grads["beta"], *coefficients
        self.call(kernels.batch_norm.backward, *read, *written)
        return dx
