"""Checks of lesson 2: backward by hand, and the gradient check."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinynet as tn
from tinynet.course.comparing import check_order, compare
from tinynet.course.numerical import derivative
from tinynet.course.report import call, exercise, parts
from tinynet.typing import Array

REFERENCE = "the numerical derivative"


@exercise("2.1")
def sigmoid_backward(backward: Any) -> str:
    """Check ``backward(dy, x)`` of y = 1 / (1 + e^-x)."""
    x, dy = np.random.default_rng(1).normal(size=(2, 4, 3))
    s = 1 / (1 + np.exp(-x))
    expected = derivative(lambda: float(np.sum(dy * tn.Sigmoid().forward(x))), x)
    mean_over_batch = dy * s * (1 - s) / len(x)
    sigmoid_twice = dy / (1 + np.exp(-s)) * (1 - 1 / (1 + np.exp(-s)))
    mistakes = {
        "dy is missing: the chain rule multiplies the slope by what comes from above": s * (1 - s),
        "x (1 - x) is not the slope: the formula y (1 - y) is in the output y, not in x": dy * x * (1 - x),
        "this is dy y; the slope is y (1 - y)": dy * s,
        "this is dy (1 - y); the slope is y (1 - y)": dy * (1 - s),
        "dx is divided by the batch size; the mean over the batch is the loss's affair, and dy has it "
        "already": mean_over_batch,
        "the chain rule multiplies dy by the slope; this is their sum": dy + s * (1 - s),
        "this is y, the forward pass; backward is dy times the slope": s,
        "this is dy times the sigmoid of the sigmoid: take y = sigmoid(x) once": sigmoid_twice,
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
    slopes = {"dx": derivative(loss, x), "dweight": derivative(loss, weight), "dbias": derivative(loss, bias)}
    check_order((dx, dweight, dbias), slopes)
    not_transposed = dy @ weight
    mean_over_batch = dy @ weight.T / m
    of_dx = {
        "dx is made of x; what comes back is dy": (x @ weight.T, x @ weight),
        "the weight must be transposed in dx: y_k has the factor W_jk of x_j, and dx_j collects dy_k "
        "W_jk over k": not_transposed,
        "dx is divided by the batch size; the mean over the batch is the loss's affair, and dy has it "
        "already": mean_over_batch,
    }
    of_dweight = {
        "dweight has a factor of x and one of dy; this is a product of one with itself": (x.T @ x, dy.T @ dy),
        "dweight is transposed: weight is (inputs, units), so it is x^T dy, not dy^T x": dy.T @ x,
        "dweight is the mean over the batch; it should be the sum: the loss's dy has the 1/m already": x.T @ dy / m,
    }
    of_dbias = {
        "dbias is the mean over the batch; it should be the sum: the loss's dy has the 1/m already": dy.mean(axis=0),
        "the sum of dbias runs over the units (axis 1); it should run over the batch (axis 0)": dy.sum(axis=1),
        "dbias is summed over everything; each unit has a bias of its own: sum over the batch only (axis 0)": dy.sum(),
        "dbias is not summed: one bias serves all examples of the batch, so their dy add up": dy,
    }
    compare("dx", dx, slopes["dx"], of_dx, reference=REFERENCE, shape=("batch", "inputs"))
    compare("dweight", dweight, slopes["dweight"], of_dweight, reference=REFERENCE, shape=("inputs", "units"))
    compare("dbias", dbias, slopes["dbias"], of_dbias, reference=REFERENCE, shape=("units",))
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
    forward, backward, drifting, alone = np.empty((4, *x.shape))
    moved = x.copy()
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = h
        forward[place] = (f(x + step) - f(x)) / h
        backward[place] = (f(x) - f(x - step)) / h
        drifting[place] = (f(moved + step) - f(moved - step)) / (2 * h)
        moved -= step
        alone[place] = (np.sin(np.sum(c * (x[place] + h) ** 3)) - np.sin(np.sum(c * (x[place] - h) ** 3))) / (2 * h)
    one_sided = ", whose error is of order h; go h to both sides, and it is of order h^2"
    mistakes = {
        "the distance between x + h and x - h is 2 h: divide by that": 2 * exact,
        "the division by 2 h is missing": 2 * h * exact,
        "/ 2 * h divides by 2 and then multiplies by h: put 2 * h into brackets": h**2 * exact,
        "+ h and then - h leads back to x: subtract 2 h to come from x + h to x - h": forward / 2,
        "f is given one number, x[place] with h; it takes the whole array, with that one number moved": alone,
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
    other_sign = (one_hot - softmax) / m
    of_logits = (logits - one_hot) / m
    over_batch = (e / e.sum(axis=0) - one_hot) / m
    mean_over_all = (softmax - one_hot) / (m * classes)
    mistakes = {
        "the 1/m is missing: the loss is the mean over the batch": softmax - one_hot,
        "the sign is wrong: a larger logit of the right class makes the loss smaller, so its gradient "
        "is negative": other_sign,
        "the one-hot label is missing: softmax - 1 at the right class, softmax elsewhere": softmax / m,
        "softmax is missing: it is the probabilities that are compared with the label, not the logits": of_logits,
        "your softmax sums over the batch (axis 0); probabilities of one example, its row, add up to 1 "
        "(axis 1)": over_batch,
        "you took the mean over batch and classes; the loss has one number an example: divide by m": mean_over_all,
    }
    other_row = (e / e.sum(axis=1) - one_hot) / m
    over_everything = (e / e.sum() - one_hot) / m
    whole_rows = (softmax - np.isin(np.arange(m), labels)[:, None]) / m
    whole_columns = (softmax - np.isin(np.arange(classes), labels)) / m
    amounts = (softmax - labels[:, None]) / m
    right_class_alone = (softmax - 1) * one_hot / m
    mistakes |= {
        "each row is divided by another row's sum: keepdims=True keeps the sums of the rows in a column": other_row,
        "your softmax sums over everything; probabilities of one example, its row, add up to 1 (axis "
        "1)": over_everything,
        "p[labels] are whole rows; the right class of example i is p[i, labels[i]]: p[np.arange(m), "
        "labels]": whole_rows,
        "p[:, labels] are whole columns; the right class of example i is p[i, labels[i]]: "
        "p[np.arange(m), labels]": whole_columns,
        "a label is the number of a class, not an amount: subtract 1 at that class, and nothing elsewhere": amounts,
        "only the right class is there; the others have a gradient too: their probability": right_class_alone,
        "this is the loss; its derivative by the logits is meant": tn.SoftmaxCrossEntropy()(logits, labels)[0],
    }
    given = call(gradient, logits=logits, labels=labels)
    names = ("batch", "classes")
    compare("dlogits", given, expected, mistakes, reference=REFERENCE, shape=names)
    given = call(gradient, logits=logits[:2], labels=labels[:2])  # m = 3 = classes until here, so that any axis fits
    expected = tn.SoftmaxCrossEntropy()(logits[:2], labels[:2])[1]
    mistakes = {"you divide by the number of classes; it is the number of examples, m = len(logits)": expected * 2 / 3}
    compare("dlogits of 2 examples", given, expected, mistakes, reference="tn.SoftmaxCrossEntropy", shape=names)
    return f"your dlogits is {REFERENCE} of tn.SoftmaxCrossEntropy"
