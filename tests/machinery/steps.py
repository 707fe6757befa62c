"""Networks, and one step of them: what the tests of recordings share."""

import numpy as np

import tinynet as tn
from tests.layers import kinds


def chain(kind="BatchNorm", dtype="float32", seed=0):
    layers = [tn.Dense(5), kinds.make(kind), tn.Dense(6, bias=False), kinds.make(kind), tn.Dense(3)]
    return tn.Sequential(layers, inputs=4, seed=seed, dtype=dtype)


def deep(dtype="float32"):
    """Layers of one width: arrays that are shared have one shape too."""
    return tn.mlp(4, [6] * 5, 3, activation="relu", norm="batch", seed=0, dtype=dtype)


def graph(dtype="float32", seed=0):
    """Skips, a concatenation, the input read twice, and an output that two layers read on the way."""
    x = tn.Input(4)
    h = tn.ReLU()(tn.BatchNorm()(tn.Dense(6)(x)))
    skip = tn.Add()(h, tn.Tanh()(tn.Dense(6)(h)), h)
    both = tn.Concat()(skip, x, tn.Dropout(0.3)(h))
    return tn.Network(x, tn.Dense(3)(both), seed=seed, dtype=dtype)


def by_layers(net):
    """Have the network call its layers at every step."""
    for layer in net.layers.values():
        layer.forward = layer.forward  # a method of its own
        layer.gradients = {}  # none shared with another layer
    return net


def batch(net, rows, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, net.inputs)).astype(net.dtype), rng.normal(size=(rows, 3)).astype(net.dtype)


def step(net, rows, seed, optimizer=None, training=True):
    """Make one step; return copies of all that it gives."""
    x, dy = batch(net, rows, seed)
    y = net.forward(x, training=training)
    if not training:
        return [y]
    dx = net.backward(dy)
    grads = [g.copy() for g in net.grads.values()]
    if optimizer is not None:
        optimizer.step(net.params, net.grads)
    return [y, dx, *grads, *(s.copy() for s in (net.params | net.state).values())]


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
