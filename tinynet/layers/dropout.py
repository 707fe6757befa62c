"""Dropout (Srivastava et al. 2014)."""

import numpy as np

from tinynet.layers.base import Layer
from tinynet.settings import Setting, below_1
from tinynet.typing import Array


class Dropout(Layer):
    """In training set each number to zero with probability ``rate`` and divide the others by 1 - rate.

    Otherwise it does nothing: the division keeps the expected value the same ("inverted" dropout; Srivastava et al.
    2014 multiply at test time instead).

    Raises
    ------
    InputError
        If the rate is not in [0, 1).
    """

    kind = "dropout"
    replayable = True
    rate = Setting(below_1)

    def __init__(self, rate: float = 0.5) -> None:
        super().__init__()
        self.rate = rate

    def create(self, rng: np.random.Generator) -> None:
        """Take a stream of its own, so that the weights drawn are the same with and without dropout."""
        self.rng = rng.spawn(1)[0]

    def forward(self, x: Array, *, training: bool = False) -> Array:
        """Return x with some numbers zeroed in training, else a copy of x."""
        x = self.checked(x)
        y = self.empty("y", x.shape, reuse=training)
        if not training:
            self.call(np.copyto, y, x)
            return y
        mask = self.empty("mask", x.shape)
        self.call(draw, self.rng, self.rate, mask)
        self.call(np.multiply, x, mask, y)
        self.save_for_backward(y, mask)
        return y

    def backward(self, dy: Array) -> Array:
        """Return dy for the numbers that were let through, scaled alike, and zero for the others."""
        dy, mask = self.saved_for_backward(dy)
        dx = self.empty("dx", dy.shape)
        self.call(np.multiply, dy, mask, dx)
        return dx


def draw(rng: np.random.Generator, rate: float, mask: Array) -> None:
    """Fill ``mask`` with 0, with probability ``rate``, and 1 / (1 - rate)."""
    rng.random(out=mask, dtype=mask.dtype)
    np.greater_equal(mask, rate, out=mask)
    mask *= 1 / (1 - rate)
