"""The gradient of one batch: its factor per layer, what theory says that is with batch norm, and the loss along it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tinynet.datasets import Dataset
from tinynet.experiments.runs import NetworkSettings, RunSettings
from tinynet.layers import Activation, BatchNorm, Dense, Layer, ReLU
from tinynet.losses import SoftmaxCrossEntropy
from tinynet.network import Network, Sequential
from tinynet.probes import gradient_by_layer
from tinynet.typing import Array


@dataclass(frozen=True, kw_only=True)
class GradientSettings(NetworkSettings):
    """One batch, once forward and back through a network that has not been trained."""

    init: str | None = None
    norm: Literal["batch"] | None = None

    def run(self) -> dict[str, Any]:
        """Measure, by hidden layer: the weight's gradient, RMS; squared norm of d loss / d the activation's input."""
        train, _ = self.sets()
        # in float64 what vanishes is the gradient, not the last digits of a float32
        net = RunSettings(**dataclasses.asdict(self)).network(train, dtype="float64")
        rows = np.random.default_rng(self.seed).choice(len(train), self.batch_size, replace=False)
        _, dy = SoftmaxCrossEntropy()(net.forward(train.x[rows], training=True), train.y[rows])
        squared = squared_gradients(net, dy, after=Activation)
        return {"gradient_rms": list(gradient_by_layer(net).values())[:-1], "squared": squared}


@dataclass(frozen=True, kw_only=True)
class MeanFieldSettings(NetworkSettings):
    """What the mean-field theory speaks about: a wide network of Dense and BatchNorm, Gaussian data and gradient."""

    activation: Literal["relu", "linear"]
    width: int = 1000
    depth: int = 30

    def __post_init__(self) -> None:
        if self.activation != "linear":  # which is no layer
            super().__post_init__()

    def run(self) -> dict[str, Any]:
        """Measure the squared norm of d loss / d the input of every layer, from the first to the last."""
        layers: list[Layer] = []
        for _ in range(self.depth):
            layers += [Dense(self.width, bias=False, init="lecun_normal"), BatchNorm()]
            layers += [ReLU()] if self.activation == "relu" else []
        net = Sequential(layers, inputs=self.width, seed=self.seed)
        x, dy = np.random.default_rng(self.seed).normal(size=(2, self.batch_size, self.width)).astype(np.float32)
        net.forward(x, training=True)
        return {"squared": squared_gradients(net, dy, after=Dense)}


def squared_gradients(net: Network, dy: Array, *, after: type[Layer]) -> list[float]:
    """Return the squared norm of what each layer of one kind hands back, the first layer first; write ``grads``.

    A `Network` hands out the gradient of its input only; a chain's layers can be run back one by one.
    """
    squared = []
    for layer in reversed([*net.layers.values()]):
        dy = layer.backward(dy)
        if isinstance(layer, after):
            squared.append(float(np.sum(np.square(dy, dtype=np.float64))))
    return squared[::-1]


def mean_field_rate(activation: str, batch_size: float) -> float:
    """Return by how much the squared gradient grows per layer toward the input, with batch norm before ``activation``.

    Yang et al. (2019), "A mean field theory of batch normalization": wide layers, before training; pi / (pi - 1) =
    1.467 for ReLU and 1 for none in the limit of a large batch.
    """
    n = batch_size
    if activation == "linear":
        return (n - 2) / (n - 3)
    c = -1 / (n - 1)  # the correlation of two examples whose sum over the batch is 0
    angle = math.pi - math.acos(c)
    j, slope = (math.sqrt(1 - c * c) + angle * c) / math.pi, angle / math.pi
    return (slope + n - 1) / ((n - 3) * (1 - j)) - 1 / (n - 3)


def vanishing_index(squared: Sequence[float]) -> tuple[float, float, float]:
    """Return the squared gradient's factor per layer toward the input, and the fit's own 95 % interval.

    The slope of a straight line through log squared gradient against layer, least squares. The first fifth of the
    layers, which still carry the data's own shape, and the last tenth, which carry the loss's, are left out. The
    fit's interval takes the layers as independent, which they are not quite: the range over seeds is the wider
    truth. All nan if fewer than five layers are left with a gradient that is neither zero nor infinite.
    """
    depth = len(squared)
    layers = np.arange(math.ceil(depth / 5), depth - math.ceil(depth / 10))
    y = np.array(squared, dtype=float)[layers]
    usable = np.isfinite(y) & (y > 0)
    if usable.sum() < 5:
        return math.nan, math.nan, math.nan
    x, y = -layers[usable].astype(float), np.log(y[usable])
    x -= x.mean()
    slope = float(x @ y / (x @ x))
    residual = y - y.mean() - slope * x
    error = math.sqrt(float(residual @ residual) / (len(x) - 2) / float(x @ x))
    return math.exp(slope), math.exp(slope - 1.96 * error), math.exp(slope + 1.96 * error)


def along_the_gradient(net: Network, data: Dataset, sizes: Sequence[float]) -> dict[str, float]:
    """Measure the loss around the weights w, in training mode, at w - size g for the gradient g at w.

    Returns
    -------
    dict of str to float
        ``loss_range``, largest minus smallest loss over the sizes; ``gradient_change``, the largest l2 distance
        between the gradient there and g; ``smoothness``, the largest ratio of that distance to the distance walked
        (Santurkar's "effective beta-smoothness"). Weights and running statistics are as they were.
    """
    before = {name: value.copy() for name, value in [*net.params.items(), *net.state.items()]}
    x = np.ascontiguousarray(data.x, net.dtype)
    _, g = _loss_and_gradient(net, x, data.y)
    length = _norm(g)
    losses, changes, ratios = [], [], []
    for size in sizes:
        for name, weight in net.params.items():
            weight[...] = before[name] - size * g[name]
        loss, there = _loss_and_gradient(net, x, data.y)
        losses.append(loss)
        changes.append(_norm({name: there[name] - g[name] for name in g}))
        ratios.append(changes[-1] / (size * length) if length else 0.0)
    for arrays in (net.params, net.state):
        for name, value in arrays.items():
            value[...] = before[name]
    return {"loss_range": max(losses) - min(losses), "gradient_change": max(changes), "smoothness": max(ratios)}


def _loss_and_gradient(net: Network, x: Array, y: Array) -> tuple[float, dict[str, Array]]:
    loss, dy = SoftmaxCrossEntropy()(net.forward(x, training=True), y)
    net.backward(dy, input_gradient=False)
    return loss, {name: grad.astype(np.float64) for name, grad in net.grads.items()}


def _norm(arrays: Mapping[str, Array]) -> float:
    return math.sqrt(sum(float(np.square(a).sum()) for a in arrays.values()))
