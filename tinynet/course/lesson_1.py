"""Checks of lesson 1: a network is a graph of layers."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinynet as tn
from tinynet.course.report import NotDone, Wrong, blank, brief, call, compare, exercise, parts
from tinynet.typing import Array


def _forward(
    params: dict[str, Array], h: Array, *, relu: bool = True, last: bool = False, bias: str = "before"
) -> Array:
    """Return a three-layer network's output by hand, rightly or with a mistake."""
    for k in (1, 2, 3):
        b = params[f"dense_{k}.bias"] if bias != "none" else 0.0
        h = h @ params[f"dense_{k}.weight"] + (b if bias != "after" else 0.0)
        if relu and (k < 3 or last):
            h = np.maximum(h, 0)
        if bias == "after":
            h = h + b
    return h


@exercise("1.1")
def forward_by_hand(forward: Any) -> str:
    """Check ``forward(x, params)``: 4 features, two hidden layers of 5 and 3 ReLU, 2 outputs."""
    rng = np.random.default_rng(1)
    net = tn.mlp(4, [5, 3], 2, activation="relu", seed=1, dtype="float64")
    for name, array in net.params.items():
        if name.endswith("bias"):
            array[...] = rng.normal(size=array.shape)
    x, params = rng.normal(size=(6, 4)), {name: array.copy() for name, array in net.params.items()}
    mistakes = {
        "there is no activation after the last layer: the outputs of a classifier may be negative": _forward(
            params, x, last=True
        ),
        "the activations are missing: after each hidden Dense stands a ReLU": _forward(params, x, relu=False),
        "the biases are missing: a Dense is x W + b": _forward(params, x, bias="none"),
        "the bias belongs to the Dense, so it is added before the ReLU, not after it": _forward(
            params, x, bias="after"
        ),
    }
    y = call(forward, x=x, params=params)
    compare("y", y, net.forward(x), mistakes, reference="the network", shape=("batch", "outputs"))
    return "your y is net.forward(x): a network's forward pass is its layers', one after the other"


@exercise("1.2")
def collapse(collapse: Any) -> str:
    """Check ``collapse(weight_1, bias_1, weight_2, bias_2)``: the one Dense that does what two in a row do."""
    rng = np.random.default_rng(2)
    w1, w2 = rng.normal(size=(2, 3, 3))
    b1, b2 = rng.normal(size=(2, 3))
    net = tn.Sequential([tn.Dense(3), tn.Dense(3)], inputs=3, dtype="float64")
    for name, value in zip(net.params, (w1, b1, w2, b2), strict=True):
        net.params[name][...] = value
    b = net.forward(np.zeros((1, 3)))[0]  # what comes out for nothing is the bias,
    w = net.forward(np.eye(3)) - b  # and for unit vectors the weight's rows

    answer = call(collapse, weight_1=w1, bias_1=b1, weight_2=w2, bias_2=b2)
    weight, bias = parts(answer, "weight", "bias")
    of_weight = {
        "the factors of your weight are in the wrong order: examples are rows here, x W, so the first layer's weight "
        "stands on the left": w2 @ w1,
        "your weight is a product number by number, *; layers in a row are a matrix product, @": w1 * w2,
        "your weight is a sum; put y = x W1 + b1 into y W2 + b2 and multiply out": w1 + w2,
    }
    of_bias = {
        "your bias is b1 + b2; but b1 goes through the second layer too: (x W1 + b1) W2 + b2": b1 + b2,
        "your bias leaves out b1, which goes through the second layer": b2,
        "your bias leaves out the second layer's own b2": b1 @ w2,
        "b1 meets the second weight from the left, as every row vector here: b1 @ W2": w2 @ b1 + b2,
    }
    compare("weight", weight, w, of_weight, reference="the two layers", shape=("inputs", "units"))
    compare("bias", bias, b, of_bias, reference="the two layers", shape=("units",))
    return "one Dense does what the two did: without activations depth adds nothing that can be computed"


@exercise("1.3")
def skip_connection(make: Any) -> str:
    """Check ``make()``: the network Dense(3) of h + ReLU(Dense(32)(h)), where h = Dense(32) of 2 inputs."""
    net = call(make)
    if blank(net):
        raise NotDone("return tn.Network(x, the last node)")
    if isinstance(net, tn.Node):
        raise Wrong("you returned a node; a network is made of its first and last one: tn.Network(x, node)")
    if not isinstance(net, tn.Network):
        raise Wrong(f"return a tn.Network, not {brief(net)}")
    kinds = {name: type(layer).__name__ for name, layer in net.layers.items()}
    reads = {row[0]: row[2] for row in net.describe()}
    if "Concat" in kinds.values():
        raise Wrong("Concat puts its inputs side by side, so that features add up; a skip connection adds: tn.Add()")
    if "Add" not in kinds.values():
        raise Wrong("there is no tn.Add() in your graph: it is a chain, " + " - ".join(kinds.values()))
    joins = [name for name, kind in kinds.items() if kind == "Add"]
    sources = [kinds.get(name, "Input") for name in reads[joins[0]]]
    if len(set(reads[joins[0]])) < len(sources):
        raise Wrong("your Add reads the same node twice, which is 2 h: give it h and the branch")
    if len(joins) > 1 or len(sources) != 2:
        raise Wrong("one Add of two nodes is enough: h, and the branch that starts at h")
    if "ReLU" not in kinds.values():
        raise Wrong("the branch has no ReLU: h + Dense(h) is again one affine map of h, as in exercise 1.2")
    if sorted(sources) == ["Dense", "Dense"]:
        raise Wrong("the ReLU stands after the Add or is not in the branch: only the branch goes through it")
    if sorted(sources) != ["Dense", "ReLU"]:
        raise Wrong(f"Add should read h, a Dense, and the branch's ReLU; yours reads {' and '.join(sources)}")
    if (net.inputs, net.outputs) != (2, 3):
        raise Wrong(f"2 features in and 3 classes out are meant; yours has {net.inputs} and {net.outputs}")
    if list(kinds.values()).count("Dense") != 3:
        raise Wrong("three Dense layers are meant: one that makes h, one in the branch, one for the 3 outputs")
    p = {name: array.astype(float) for name, array in net.params.items()}
    x = np.random.default_rng(3).normal(size=(5, 2))
    h = x @ p["dense_1.weight"] + p["dense_1.bias"]
    h = h + np.maximum(h @ p["dense_2.weight"] + p["dense_2.bias"], 0)
    y = h @ p["dense_3.weight"] + p["dense_3.bias"]
    compare("y", net.forward(x), y, {}, reference="h + ReLU(Dense(h)) by hand", rtol=1e-4)
    return "your graph branches at h and joins again, and it computes h + ReLU(Dense(h))"
