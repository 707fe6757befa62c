"""Activations: one function applied to every number. The mathematics is in `tinynet.kernels.activations`."""

from typing import ClassVar

from tinynet import kernels
from tinynet.errors import InputError, unknown_name
from tinynet.layers.base import Layer
from tinynet.settings import Setting, number
from tinynet.typing import Array

SELU_ALPHA = 1.6732632423543772  # Klambauer et al. (2017), equation 14: mean 0, variance 1 are a fixed point
SELU_SCALE = 1.0507009873554805


class Activation(Layer):
    """y = f(x) elementwise; a subclass names its pair of kernels and their constants."""

    kernel: ClassVar[str]  # of kernel_forward and kernel_backward
    constants: ClassVar[tuple[float, ...]] = ()
    settings: ClassVar[tuple[str, ...]] = ()  # attributes that the kernels take before the constants
    steepest: float = 1.0  # the largest slope, where the function is not saturated

    def forward(self, x: Array, *, training: bool = False) -> Array:
        """Return f(x), elementwise: (batch, features) to the same."""
        x = self.checked(x)
        y = self.empty("y", x.shape, reuse=training)
        self.call(getattr(kernels.activations, self.kernel + "_forward"), x.ravel(), y.ravel(), *self._numbers())
        if training:
            self.save_for_backward(y, x, self.unshared(y))
        return y

    def backward(self, dy: Array) -> Array:
        """Return dy f'(x), elementwise."""
        dy, x, y = self.saved_for_backward(dy)
        dx = self.empty("dx", dy.shape)
        kernel = getattr(kernels.activations, self.kernel + "_backward")
        self.call(kernel, dy.ravel(), x.ravel(), y.ravel(), dx.ravel(), *self._numbers())
        return dx

    def _numbers(self) -> list[float]:
        return [*(getattr(self, name) for name in self.settings), *self.constants]


class Sigmoid(Activation):
    """1 / (1 + e^-x), in (0, 1). Its slope y (1 - y) is at most 1/4: the classic cause of vanishing gradients."""

    kind = "sigmoid"
    replayable = True
    steepest = 0.25
    kernel = "sigmoid"


class Tanh(Activation):
    """Hyperbolic tangent, in (-1, 1); its slope is 1 - y^2."""

    kind = "tanh"
    replayable = True
    kernel = "tanh"


class ReLU(Activation):
    """max(x, 0) (Nair and Hinton 2010); its slope is 1 where x > 0, else 0."""

    kind = "relu"
    replayable = True
    kernel = "relu"


class LeakyReLU(Activation):
    """Identity where x > 0, else ``slope`` x (Maas, Hannun and Ng 2013); the slope is PyTorch's default."""

    kind = "leaky_relu"
    replayable = True
    kernel = "leaky_relu"
    settings = ("slope",)
    slope = Setting(number)

    def __init__(self, slope: float = 0.01) -> None:
        super().__init__()
        self.slope = slope


class ELU(Activation):
    """Identity where x > 0, else ``alpha`` (e^x - 1) (Clevert, Unterthiner and Hochreiter 2016)."""

    kind = "elu"
    replayable = True
    kernel = "elu"
    settings = ("alpha",)
    constants = (1.0,)
    alpha = Setting(number)

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha


class SELU(Activation):
    """1.0507 ELU(x) with alpha 1.6733, which keep mean 0 and variance 1 (Klambauer et al. 2017)."""

    kind = "selu"
    replayable = True
    kernel = "elu"
    constants = (SELU_ALPHA, SELU_SCALE)
    steepest = SELU_ALPHA * SELU_SCALE


class GELU(Activation):
    """Gaussian error unit x Phi(x), exact, not the tanh form (Hendrycks and Gimpel 2016)."""

    kind = "gelu"
    replayable = True
    kernel = "gelu"


ACTIVATIONS: dict[str, type[Activation]] = {
    layer.kind: layer for layer in (Sigmoid, Tanh, ReLU, LeakyReLU, ELU, SELU, GELU)
}


def make_activation(name: str) -> Activation:
    """Return a new activation layer by name, such as ``"sigmoid"``; raise InputError for an unknown one."""
    if not isinstance(name, str):
        raise InputError(f"activation: give a name such as 'relu', not {name!r}")
    if name not in ACTIVATIONS:
        raise unknown_name("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]()
