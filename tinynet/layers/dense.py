"""The dense (fully connected) layer."""

import numpy as np

from tinynet import initializers, kernels
from tinynet.layers.base import Layer
from tinynet.machinery import blas
from tinynet.settings import Setting, count, flag
from tinynet.typing import Array


class Dense(Layer):
    """Affine map y = x W + b.

    Parameters
    ----------
    units : int
        Number of outputs.
    bias : bool
        Whether to add b. Before `BatchNorm` it is redundant: the mean that is taken out takes it along.
    init : str or callable
        Initializer of the weight: a name, or a function of a generator, fan_in and fan_out (see
        `tinynet.initializers`). The bias starts at zero.

    Notes
    -----
    params: ``weight`` (inputs, units), ``bias`` (units,).

    Raises
    ------
    InputError
        If there is less than one unit, or no such initializer.
    """

    kind = "dense"
    replayable = True
    units, bias = Setting(count, fixed=True), Setting(flag, fixed=True)
    init = Setting(lambda _, init: initializers.check(init), fixed=True)

    def __init__(
        self, units: int, *, bias: bool = True, init: str | initializers.Initializer = "glorot_uniform"
    ) -> None:
        super().__init__()
        self.units, self.bias, self.init = units, bias, init

    def output_features(self, *features: int) -> int:  # noqa: D102
        return self.units

    def shapes(self, *features: int) -> dict[str, tuple[int, ...]]:  # noqa: D102
        return {"weight": (*features, self.units)} | ({"bias": (self.units,)} if self.bias else {})

    def create(self, rng: np.random.Generator) -> None:  # noqa: D102
        weight = initializers.draw(self.init, rng, self.features[0], self.units)
        self.params = {"weight": np.array(weight, self.dtype, order="C")}
        if self.bias:
            self.params["bias"] = np.zeros(self.units, self.dtype)

    def forward(self, x: Array, *, training: bool = False) -> Array:
        """Return x W + b: (batch, inputs) to (batch, units)."""
        x = self.checked(x)
        y = self.empty("y", (len(x), self.units), reuse=training)
        self.call(blas.matmul, x, self.params["weight"], y)
        if self.bias:
            self.call(kernels.dense.add_bias, y, self.params["bias"])
        if training:
            self.save_for_backward(y, x)
        return y

    def parameter_gradients(self, dy: Array) -> None:
        """Write dW = x^T dy and db = sum of dy over the batch."""
        dy, x = self.saved_for_backward(dy)
        self.call(blas.matmul, x.T, dy, self.grads["weight"])
        if self.bias:
            self.call(kernels.dense.bias_gradient, dy, self.grads["bias"])

    def backward(self, dy: Array) -> Array:
        """Write the parameters' gradients and return dx = dy W^T: (batch, units) to (batch, inputs)."""
        dy, _ = self.saved_for_backward(dy)
        self.parameter_gradients(dy)
        dx = self.empty("dx", (len(dy), self.features[0]))
        self.call(blas.matmul, dy, self.params["weight"].T, dx)
        return dx
