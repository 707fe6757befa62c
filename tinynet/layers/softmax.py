"""Softmax as a layer: for predictions to read as probabilities. To train, use `SoftmaxCrossEntropy` on logits."""

from tinynet import kernels
from tinynet.layers.base import Layer
from tinynet.typing import Array


class Softmax(Layer):
    """Turn each row into probabilities, in (0, 1) and with the sum 1: e^x / sum(e^x)."""

    kind = "softmax"
    replayable = True

    def forward(self, x: Array, *, training: bool = False) -> Array:
        """Return the softmax of each row of (batch, features)."""
        x = self.checked(x)
        y = self.empty("y", x.shape, reuse=training)
        self.call(kernels.softmax.forward, x, y)
        if training:
            self.save_for_backward(y, self.unshared(y))
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx = y (dy - sum(dy y)), row by row."""
        dy, y = self.saved_for_backward(dy)
        dx = self.empty("dx", dy.shape)
        self.call(kernels.softmax.backward, dy, y, dx)
        return dx
