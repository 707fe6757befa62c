"""Checks of lesson 5: learning rates and initialization."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinynet as tn
from tinynet.course.comparing import check_order, compare
from tinynet.course.report import Wrong, call, exercise, parts
from tinynet.typing import Array

STEPS = 20  # of the two networks in 5.3


@exercise("5.1")
def he_std(std: Any) -> str:
    """Check ``std(fan_in, fan_out)``: the standard deviation of He's weights, and measure what it does."""
    fan_in, fan_out = 250, 200
    weight = tn.initializers.get("he_normal")(np.random.default_rng(1), fan_in, fan_out)
    lecun, half, bound = np.sqrt(1 / fan_in), np.sqrt(1 / (2 * fan_in)), np.sqrt(6 / fan_in)
    glorot = np.sqrt(2 / (fan_in + fan_out))
    mistakes = {
        "this is LeCun's, 1 / fan_in for the variance; a ReLU halves the mean square, so twice as much "
        "is needed": lecun,
        "2 / fan_in is the variance; the standard deviation is its root": 2 / fan_in,
        "this is half of LeCun's variance; a ReLU halves the mean square, so twice as much is needed": half,
        "sqrt(6 / fan_in) is the bound of a uniform distribution; the standard deviation is asked for": bound,
        "fan_in divides: the more terms are added up, the smaller each must be": (
            np.sqrt(2 * fan_in),
            np.sqrt(fan_in / 2),
        ),
        f"this is for layers of 100; go by the arguments, fan_in is {fan_in} here": np.sqrt(2 / 100),
        "this takes fan_out; forward, a unit adds up fan_in terms": np.sqrt(2 / fan_out),
        "this is Glorot's, a mean of both directions and without the ReLU's factor of 2": glorot,
        "2 and fan_in belong under the root together: sqrt(2 / fan_in)": (
            np.sqrt(2) / fan_in,
            2 / np.sqrt(fan_in),
        ),
    }
    given = call(std, fan_in=fan_in, fan_out=fan_out)
    expected = np.std(weight)
    compare("the standard deviation", given, expected, mistakes, reference="what tn's he_normal draws", rtol=0.02)
    h = np.random.default_rng(2).normal(size=(200, 300))
    before = np.mean(h**2)
    for k in range(20):
        w = np.random.default_rng(k).normal(size=(300, 300)) * float(call(std, fan_in=300, fan_out=300))
        h = np.maximum(h @ w, 0)
    return f"through 20 ReLU layers of 300 the mean square went from {before:.3g} to {np.mean(h**2):.3g}"


@exercise("5.2")
def best_rate(best: Any) -> str:
    """Check ``best(accuracy)``: the column of the best learning rate, and its score; nan is a diverged run."""
    accuracy = np.array(
        [[0.91, 0.94, 0.90, 0.96, 0.82], [0.90, 0.92, 0.89, np.nan, 0.97], [0.89, 0.91, 0.88, 0.94, 0.80]]
    )
    zeros = np.where(np.isnan(accuracy), 0, accuracy)
    means, dropped, median = zeros.mean(axis=0), np.nanmean(accuracy, axis=0), np.median(zeros, axis=0)
    right = int(means.argmax())
    column, score = parts(call(best, accuracy=accuracy), "the column", "the score")
    check_order((column, score), {"column": right, "score": means.max()})
    lost = int(dropped.argmax())
    of_column: dict[str, Any] = {}
    if np.array_equal(column, lost) and np.array_equal(score, np.nan, equal_nan=True):
        of_column["the mean of a column with a nan is nan, and argmax takes a nan for the largest: put 0 there"] = lost
    elif np.array_equal(column, lost) and np.array_equal(score, median[lost]):
        of_column["a median does not notice that one run of three diverged: take the mean"] = lost
    luckiest = int(zeros.max(axis=0).argmax())
    of_column |= {
        "columns are counted from 0": right + 1,
        "this is the number of a row, a seed: the mean runs over the seeds, axis 0": int(zeros.mean(axis=1).argmax()),
        "argmax of the whole array counts all of its numbers; take the means of the columns first": (
            int(accuracy.argmax()),
            int(zeros.argmax()),
        ),
        "you left the diverged run out of the mean, and took a learning rate at which a run in three is lost: "
        "count it as 0": int(dropped.argmax()),
        "you took the best single run; one lucky seed decides, so take the mean over the seeds": luckiest,
    }
    compare("the column", column, right, of_column, reference="the largest mean")
    of_score = {
        "the score is the mean over the seeds; this is the largest": accuracy[:, right].max(),
        "the score is the mean over the seeds; this is the smallest": accuracy[:, right].min(),
        "the score is the mean over the seeds; this is the median": median[right],
        "the score is the mean over the seeds at that learning rate; this is the mean over all": zeros.mean(),
    }
    compare("the score", score, means.max(), of_score, reference="the mean over the seeds")
    return "a diverged run counts as 0, and the mean over the seeds decides"


@exercise("5.3")
def equivalent_rate(equivalent: Any) -> str:
    """Check ``equivalent(lr, a)``: train W at lr, and a W at the answer, before a batch norm; compare outputs."""
    lr, a = 0.5, 3.0
    given = call(equivalent, lr=lr, a=a)
    mistakes = {
        "the learning rate is unchanged; but a W gets a gradient a times smaller and has to move a times as far": lr,
        "you make up for the smaller gradient, 1/a; but a W also has to move a times as far to turn as much": lr * a,
        "the wrong way round: larger weights get smaller gradients": lr / a,
        "the wrong way round, though with the right power: larger weights need larger steps": lr / a**2,
    }
    expected = lr * a**2
    one = _trained(lr, 1.0)
    try:
        compare("the learning rate", given, expected, mistakes, reference="scale invariance")
    except Wrong as fault:
        if not isinstance(given, int | float | np.integer) or not abs(float(given)) < 1e3:
            raise
        apart = np.abs(one - _trained(float(given), a)).max()
        raise Wrong(f"{fault}; trained so, the two networks' outputs come to differ by {apart:.2g}") from None
    apart = np.abs(one - _trained(expected, a)).max()
    return f"after {STEPS} steps of both networks their outputs differ by {apart:.1g} at most"


def _trained(lr: float, a: float) -> Array:
    """Return the outputs, after `STEPS` steps, of a Dense with weights a W before a batch norm with eps = 0."""
    rng = np.random.default_rng(3)
    x, weight, target = rng.normal(size=(30, 6)), rng.normal(size=(6, 4)), rng.normal(size=(30, 4))
    net = tn.Sequential([tn.Dense(4, bias=False), tn.BatchNorm(eps=0.0)], inputs=6, dtype="float64")
    net.params["dense_1.weight"][...] = a * weight
    for _ in range(STEPS):
        _, dy = tn.MeanSquaredError()(net.forward(x, training=True), target)
        net.backward(dy)
        net.params["dense_1.weight"] -= lr * net.grads["dense_1.weight"]
    return net.forward(x, training=True)
