"""Checks of lesson 1: a network is a graph of layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinynet as tn
from tinynet.course.comparing import check_order, compare
from tinynet.course.report import NotDone, Wrong, blank, call, described, exercise, parts
from tinynet.typing import Array


def _relu(h: Array) -> Array:
    return np.maximum(h, 0)


def _forward(
    params: dict[str, Array], h: Array, bend: Callable[[Array], Array] = _relu, *, where: str = "12", bias: str = "on"
) -> Array:
    """Return a three-layer network's output by hand, rightly or with a mistake; ``where`` are the bent layers."""
    for k in "123":
        b = params[f"dense_{k}.bias"] if bias != "none" else 0.0
        h = h @ params[f"dense_{k}.weight"] + (b if bias != "after" else 0.0)
        if k in where:
            h = bend(h)
        if bias == "after":
            h = h + b
    return h


def _sigmoid(h: Array) -> Array:
    return 1 / (1 + np.exp(-h))


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
            params, x, where="123"
        ),
        "the activations are missing: after each hidden Dense stands a ReLU": _forward(params, x, where=""),
        "one ReLU is missing: there are two, after the first Dense and after the second": (
            _forward(params, x, where="1"),
            _forward(params, x, where="2"),
        ),
        "this bends with another function; the ReLU is max(h, 0), number by number": tuple(
            _forward(params, x, bend) for bend in (_sigmoid, np.tanh, np.abs, lambda h: np.minimum(h, 0))
        ),
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
    check_order((weight, bias), {"weight": w, "bias": b})
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
        "b2 goes through no other layer: only b1 meets W2": (b1 + b2) @ w2,
        "b1 goes through the second layer, so it meets W2, not W1": b1 @ w1 + b2,
        "b1 * W2 multiplies number by number; b1 goes through the layer by a matrix product, @": b1 * w2 + b2,
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
        raise Wrong(f"return a tn.Network, not {described(net)}")
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
    others = sorted(kind for kind in kinds.values() if kind not in ("Dense", "ReLU", "Add"))
    if others or len(kinds) != 5:
        raise Wrong(
            f"your graph has {', '.join(others) or 'a ReLU'} too many: it takes three Dense, one ReLU and one Add"
        )
    h_name, relu = sorted(reads[joins[0]], key=lambda name: kinds[name])
    (branch,) = reads[relu]
    if tuple(reads[branch]) != (h_name,):
        raise Wrong(f"the branch should start at h, but its Dense reads {kinds.get(reads[branch][0], 'the input')}")
    (out,) = kinds.keys() - {h_name, relu, branch, joins[0]}
    if tuple(reads[out]) != (joins[0],):
        raise Wrong("the last layer should be Dense(3) of the sum; yours does not read the Add")
    p = {name: array.astype(float) for name, array in net.params.items()}
    if len(p[f"{out}.weight"]) != 32:
        raise Wrong(f"h is Dense(32); yours has {len(p[f'{out}.weight'])} units")
    x = np.random.default_rng(3).normal(size=(5, 2))
    h = x @ p[f"{h_name}.weight"] + p[f"{h_name}.bias"]
    h = h + np.maximum(h @ p[f"{branch}.weight"] + p[f"{branch}.bias"], 0)
    y = h @ p[f"{out}.weight"] + p[f"{out}.bias"]
    compare("y", net.forward(x), y, {}, reference="h + ReLU(Dense(h)) by hand", rtol=1e-4)
    return "your graph branches at h and joins again, and it computes h + ReLU(Dense(h))"
