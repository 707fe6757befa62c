"""Checks of lesson 2: backward by hand, and the gradient check."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinynet as tn
from tinynet.course.numerical import derivative
from tinynet.course.report import call, compare, exercise, parts
from tinynet.typing import Array

REFERENCE = "the numerical derivative"


@exercise("2.1")
def sigmoid_backward(backward: Any) -> str:
    """Check ``backward(dy, x)`` of y = 1 / (1 + e^-x)."""
    x, dy = np.random.default_rng(1).normal(size=(2, 4, 3))
    s = 1 / (1 + np.exp(-x))
    expected = derivative(lambda: float(np.sum(dy * tn.Sigmoid().forward(x))), x)
    mistakes = {
        "dy is missing: the chain rule multiplies the slope by what comes from above": s * (1 - s),
        "x (1 - x) is not the slope: the formula y (1 - y) is in the output y, not in x": dy * x * (1 - x),
        "this is dy y; the slope is y (1 - y)": dy * s,
        "this is dy (1 - y); the slope is y (1 - y)": dy * (1 - s),
        "this is dy times the sigmoid of the sigmoid: take y = sigmoid(x) once": dy
        / (1 + np.exp(-s))
        * (1 - 1 / (1 + np.exp(-s))),
    }
    compare("dx", call(backward, dy=dy, x=x), expected, mistakes, reference=REFERENCE, shape=("batch", "features"))
    return f"your dx is {REFERENCE}"


@exercise("2.2")
def dense_backward(backward: Any) -> str:
    """Check ``backward(dy, x, weight)``, which returns dx, dweight, dbias."""
    rng = np.random.default_rng(2)
    x, dy = rng.normal(size=(2, 5, 3))
    layer = tn.Dense(3).build(3, seed=rng, dtype="float64")
    weight, bias = layer.params["weight"], layer.params["bias"]
    m = len(x)

    def loss() -> float:
        return float(np.sum(dy * layer.forward(x)))

    dx, dweight, dbias = parts(call(backward, dy=dy, x=x, weight=weight), "dx", "dweight", "dbias")
    of_dx = {
        "the weight must be transposed in dx: y_k has the factor W_jk of x_j, and dx_j collects dy_k W_jk over k": dy
        @ weight,
        "dx is divided by the batch size; the mean over the batch is the loss's affair, and dy has it already": dy
        @ weight.T
        / m,
    }
    of_dweight = {
        "dweight is transposed: weight is (inputs, units), so it is x^T dy, not dy^T x": dy.T @ x,
        "dweight is the mean over the batch; it should be the sum: the loss's dy has the 1/m already": x.T @ dy / m,
    }
    of_dbias = {
        "dbias is the mean over the batch; it should be the sum: the loss's dy has the 1/m already": dy.mean(axis=0),
        "the sum of dbias runs over the units (axis 1); it should run over the batch (axis 0)": dy.sum(axis=1),
        "dbias is summed over everything; each unit has a bias of its own: sum over the batch only (axis 0)": dy.sum(),
        "dbias is not summed: one bias serves all examples of the batch, so their dy add up": dy,
    }
    compare("dx", dx, derivative(loss, x), of_dx, reference=REFERENCE, shape=("batch", "inputs"))
    compare("dweight", dweight, derivative(loss, weight), of_dweight, reference=REFERENCE, shape=("inputs", "units"))
    compare("dbias", dbias, derivative(loss, bias), of_dbias, reference=REFERENCE, shape=("units",))
    return f"dx, dweight and dbias are {REFERENCE}s"


@exercise("2.3")
def numerical_gradient(numerical: Any) -> str:
    """Check ``numerical(f, x, h)``: the gradient of the number f(x) by central differences."""
    rng = np.random.default_rng(3)
    x, c = rng.uniform(0.5, 1.0, (2, 3, 2))
    h = 1e-5

    def f(x: Array) -> float:
        return float(np.sin(np.sum(c * x**3)))

    exact = np.cos(np.sum(c * x**3)) * 3 * c * x**2
    forward, backward, drifting, moved = np.empty_like(x), np.empty_like(x), np.empty_like(x), x.copy()
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = h
        forward[place] = (f(x + step) - f(x)) / h
        backward[place] = (f(x) - f(x - step)) / h
        drifting[place] = (f(moved + step) - f(moved - step)) / (2 * h)
        moved -= step
    one_sided = ", whose error is of order h; go h to both sides, and it is of order h^2"
    mistakes = {
        "the distance between x + h and x - h is 2 h: divide by that": 2 * exact,
        f"this is (f(x + h) - f(x)) / h{one_sided}": forward,
        f"this is (f(x) - f(x - h)) / h{one_sided}": backward,
        "a number is not put back before the next is moved, so that x drifts away": drifting,
        "all numbers are moved at once, which gives one slope; move one at a time": np.full_like(x, exact.sum()),
        "this is one slope for all numbers moved at once; move one at a time, a slope for each": exact.sum(),
    }
    given = call(numerical, f=f, x=x, h=h)
    shape = tuple(f"axis {k}" for k in range(x.ndim))
    compare("the gradient", given, exact, mistakes, reference="the formula for the derivative", shape=shape, rtol=1e-6)
    return "your numerical gradient is the derivative, but for an error of order h^2"


@exercise("2.4")
def cross_entropy_gradient(gradient: Any) -> str:
    """Check ``gradient(logits, labels)`` of the mean softmax cross-entropy."""
    logits = np.random.default_rng(4).normal(size=(3, 3))
    labels = np.array([2, 0, 2])
    m, classes = logits.shape
    one_hot = np.eye(classes)[labels]
    e = np.exp(logits)
    softmax = e / e.sum(axis=1, keepdims=True)
    expected = derivative(lambda: tn.SoftmaxCrossEntropy()(logits, labels)[0], logits)
    mistakes = {
        "the 1/m is missing: the loss is the mean over the batch": softmax - one_hot,
        "the sign is wrong: a larger logit of the right class makes the loss smaller, so its gradient is negative": (
            one_hot - softmax
        )
        / m,
        "the one-hot label is missing: softmax - 1 at the right class, softmax elsewhere": softmax / m,
        "softmax is missing: it is the probabilities that are compared with the label, not the logits": (
            logits - one_hot
        )
        / m,
        "your softmax sums over the batch (axis 0); probabilities of one example, its row, add up to 1 (axis 1)": (
            e / e.sum(axis=0) - one_hot
        )
        / m,
        "you took the mean over batch and classes; the loss has one number an example: divide by m": (
            softmax - one_hot
        )
        / (m * classes),
    }
    given = call(gradient, logits=logits, labels=labels)
    compare("dlogits", given, expected, mistakes, reference=REFERENCE, shape=("batch", "classes"))
    return f"your dlogits is {REFERENCE} of tn.SoftmaxCrossEntropy"
