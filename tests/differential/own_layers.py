"""Layers of a user's own: their Python has to run at every step, since what it reads may be another number."""

import tinynet as tn
from tests.differential.model import FACTORS


class Scaled:
    """A mixin: y is multiplied by a number that only its Python knows."""

    def forward(self, *xs, training=False):
        return FACTORS["subclass"] * super().forward(*xs, training=training)

    def backward(self, dy):
        return super().backward(FACTORS["subclass"] * dy)


class ScaledDense(Scaled, tn.Dense):
    pass


class ScaledBatchNorm(Scaled, tn.BatchNorm):
    pass


class ScaledTanh(Scaled, tn.Tanh):
    pass


class ScaledSigmoid(tn.Sigmoid):
    def forward(self, x, *, training=False):
        return FACTORS["subclass"] * super().forward(x, training=training)

    def backward(self, dy):
        return super().backward(FACTORS["subclass"] * dy)


class MovingLeakyReLU(tn.LeakyReLU):
    """A setting that is a property."""

    @property
    def slope(self):
        return FACTORS["property"]

    @slope.setter
    def slope(self, value):
        pass


class Moving(dict):
    """Settings of a layer whose slope is a property."""

    def __getitem__(self, name):
        return FACTORS["property"]


SCALED = {tn.Dense: ScaledDense, tn.BatchNorm: ScaledBatchNorm, tn.Tanh: ScaledTanh, tn.Sigmoid: ScaledSigmoid}


SUBCLASSES = {**SCALED, tn.LeakyReLU: MovingLeakyReLU}
