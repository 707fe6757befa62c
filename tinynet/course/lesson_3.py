"""Checks of lesson 3: why deep sigmoid networks stall."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinynet as tn
from tinynet.course.comparing import compare, equal
from tinynet.course.report import call, exercise


@exercise("3.1")
def gradient_rms(measure: Any) -> str:
    """Check ``measure(net, x, labels)``: the RMS of the gradient of each Dense's weight, first to last."""
    net = tn.mlp(4, [6, 5], 3, activation="sigmoid", seed=1, dtype="float64")
    rng = np.random.default_rng(1)
    x, labels = rng.normal(size=(8, 4)), rng.integers(0, 3, 8)
    _, dy = tn.SoftmaxCrossEntropy()(net.forward(x, training=True), labels)
    net.backward(dy)
    grads = [net.grads[f"dense_{k}.weight"].copy() for k in (1, 2, 3)]
    weights = [net.params[f"dense_{k}.weight"].copy() for k in (1, 2, 3)]
    every = [g.copy() for g in net.grads.values()]
    expected = [tn.probes.gradient_by_layer(net)[f"dense_{k}"] for k in (1, 2, 3)]
    for g in net.grads.values():
        g[...] = 0  # of a student who forgets to call backward
    mistakes = {
        "this is the norm, which is larger in a wider layer whatever one weight gets; take the root of the mean": [
            np.sqrt(np.sum(g**2)) for g in grads
        ],
        "the gradients are 0: call net.backward(dy) before you read them": [0.0] * 3,
        "this is the norm divided by the size; divide the sum of the squares by it, then take the root": [
            np.sqrt(np.sum(g**2)) / g.size for g in grads
        ],
        "np.std takes out the mean first; the root mean square does not": [np.std(g) for g in grads],
        "this is the largest of each; the root mean square is meant": [np.max(np.abs(g)) for g in grads],
        "the root is missing: this is the mean square": [np.mean(g**2) for g in grads],
        "this is the mean, in which positive and negative gradients cancel; square before the mean": [
            np.mean(g) for g in grads
        ],
        "this is the mean of the absolute values; the root mean square is meant": [np.mean(np.abs(g)) for g in grads],
        "these are the weights, net.params, not their gradients, net.grads": [np.sqrt(np.mean(w**2)) for w in weights],
        "the order is reversed: the layer next to the data comes first": expected[::-1],
        "the biases are among them; take the weights only": [np.sqrt(np.mean(g**2)) for g in every],
    }
    given = call(measure, net=net, x=x, labels=labels)
    compare("the list", given, expected, mistakes, reference="tn.Probe", shape=("Dense layers",))
    return "your numbers are those of tn.Probe"


@exercise("3.2")
def factor_per_layer(factor: Any) -> str:
    """Check ``factor(squared)``: by how much squared gradients change per layer toward the input."""
    squared = np.array([2e-7, 5e-6, 3e-5, 1e-3, 4e-2, 0.3, 2.0])
    n, whole = len(squared), squared[0] / squared[-1]
    slope = np.polyfit(np.arange(n), np.log(squared), 1)[0]
    ratios = squared[:-1] / squared[1:]
    difference = (squared[0] - squared[-1]) / (n - 1)
    of_the_gradient = whole ** (1 / (2 * (n - 1)))
    mistakes = {
        f"between {n} layers there are {n - 1} steps: the root is the {n - 1}th, not the {n}th": whole ** (1 / n),
        "the direction is reversed: toward the input one divides the first layer's by the last's": (
            whole ** (-1 / (n - 1)),
            np.exp(slope),
        ),
        "this is the logarithm of the factor": (slope, -slope, np.log(whole) / (n - 1)),
        "there are as many factors as layers in between; one number is meant that stands for all": ratios,
        "the root is meant, the power 1 / (n - 1); this is the power n - 1": whole ** (n - 1),
        "gradients are multiplied from layer to layer, not shifted: divide, do not subtract": difference,
        "this is the factor through all layers; the factor per layer, multiplied by itself, gives it: take the root": (
            whole
        ),
        "factors multiply, so their mean is the geometric one; this is the arithmetic one": np.mean(ratios),
        "this is the factor of the gradient; that of its square is meant, so no square root": of_the_gradient,
        "divided by the number of steps; factors multiply, so take the root": whole / (n - 1),
    }
    given = call(factor, squared=squared)
    expected = whole ** (1 / (n - 1))
    if equal(given, np.exp(-slope)):
        return "you fitted a straight line to the logarithms, which uses the layers between too"
    compare("the factor", given, expected, mistakes, reference="the definition")
    return f"multiplied by itself {n - 1} times your factor leads from the last layer's gradient to the first's"


@exercise("3.3")
def one_layer(theory: Any) -> str:
    """Check ``theory(z, weight)``: the factor of the squared gradient through sigmoid and Dense.

    The reference is a measurement: random gradients are sent back through tinynet's layers.
    """
    rng = np.random.default_rng(3)
    n_in, n_out, rows = 120, 60, 2000
    weight = rng.normal(0, 1.5 / np.sqrt(n_in), (n_in, n_out))  # so that each factor of the formula shows
    z, dy = rng.normal(0, 3, (rows, n_out)), rng.normal(size=(rows, n_out))
    sigmoid = tn.Sigmoid()
    sigmoid.forward(z, training=True)
    dense = tn.Dense(n_out, bias=False).build(n_in, dtype="float64")
    dense.params["weight"][...] = weight
    dense.forward(np.zeros((rows, n_in)), training=True)
    measured = np.sum(dense.backward(sigmoid.backward(dy)) ** 2) / np.sum(dy**2)

    slope = 1 / (1 + np.exp(-z))
    slope *= 1 - slope
    w2 = np.mean(weight**2)
    square_of_mean = np.mean(slope) ** 2 * n_in * w2
    for_each_output = np.mean(slope**2) * n_out * w2
    slope_not_squared = np.mean(slope) * n_in * w2
    of_z = np.mean((z - z**2) ** 2) * n_in * w2
    square_of_mean_weight = np.mean(slope**2) * n_in * np.mean(weight) ** 2
    mistakes = {
        "this takes the square of the mean slope; the mean of the squared slope is meant, which is "
        "larger": square_of_mean,
        "the sum has a term for each input, the rows of the weight: each of them collects from all "
        "units": for_each_output,
        "the Dense is missing: its weight, squared and summed over the inputs, is the second factor": np.mean(
            slope**2
        ),
        "this is the slope at 0, 1/4, for all units; z lies elsewhere, where the slope is smaller": n_in * w2 / 16,
        "the slope is not squared: gradients are multiplied by it, so their squares by its square": slope_not_squared,
        "the mean square of the weight stands for one of them; there is one for each input": np.mean(slope**2) * w2,
        "the slope of the sigmoid is missing": n_in * w2,
        "this is the sigmoid's value, squared; its slope is y (1 - y)": np.mean(1 / (1 + np.exp(-z)) ** 2) * n_in * w2,
        "z (1 - z) is not the slope: the formula y (1 - y) is in the output, y = sigmoid(z)": of_z,
        "mean(W^2) is the mean of the squares; this sums over the whole weight": np.mean(slope**2) * np.sum(weight**2),
        "the slope is summed; its square's mean is meant": np.sum(slope**2) * n_in * w2,
        "the weight is not squared: this has its standard deviation": np.mean(slope**2) * n_in * np.std(weight),
        "square the weight before the mean: positive and negative weights cancel": square_of_mean_weight,
    }
    given = call(theory, z=z, weight=weight)
    compare("the factor", given, measured, mistakes, reference="the measurement", rtol=0.03)
    return f"yours is {float(given):.4g}; gradients sent back through the two layers shrank by {measured:.4g}"
