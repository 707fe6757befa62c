"""Checks of lesson 6: what batch norm does not do."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinynet as tn
from tinynet.course.comparing import compare
from tinynet.course.report import call, exercise


@exercise("6.1")
def layers_until(layers: Any) -> str:
    """Check ``layers(rate, factor)``: layers until the gradient, not its square, has grown by ``factor``."""
    rate, factor = 1.5, 1000.0
    expected = 2 * np.log(factor) / np.log(rate)
    half = expected / 2
    over_rate = 2 * np.log(factor) / rate
    without_rate = 2 * np.log(factor)
    mistakes = {
        "the rate is that of the squared gradient: for the gradient itself it takes twice as many layers": half,
        "the other way round: the rate belongs to the square, so twice as many layers, not half": expected / 4,
        "this divides by the rate; the growth is a power, so divide by its logarithm": np.log(factor) / rate,
        "this divides by the rate; the growth is a power, so divide by its logarithm, and mind the square": over_rate,
        "no division by the rate gives it; the growth is a power, so take logarithms": (
            factor / rate,
            factor**2 / rate,
        ),
        "the logarithm of the rate is missing: rate ** layers = factor ** 2, take logarithms of both "
        "sides": without_rate,
        "divide one logarithm by the other; this is the logarithm of the quotient": 2 * np.log(factor / rate),
        "the quotient is upside down: a larger factor takes more layers": np.log(rate) / (2 * np.log(factor)),
        "the answer is rounded; leave it as it comes": (np.ceil(expected), np.floor(expected)),
    }
    given = call(layers, rate=rate, factor=factor)
    compare("the number of layers", given, expected, mistakes, reference="with rate ** layers = factor ** 2")
    return f"rate ** layers = {rate ** float(given):.6g} is the square of {factor:g}"


@exercise("6.2")
def mean_noise(noise: Any) -> str:
    """Check ``noise(std, m)``: the standard deviation of mu from batch to batch. The reference is drawn."""
    std, m = 2.0, 5
    mu = np.random.default_rng(2).normal(3.0, std, (20_000, m)).mean(axis=1)
    mistakes = {
        "independent deviations partly cancel in a mean, but not so well: the root of m divides, not m": std / m,
        "this is the variance of mu; take the root": std**2 / m,
        "this is one example's deviation; mu is a mean of m of them": std,
        "this divides by the root of m - 1; in the standard deviation of a mean it is m": std / np.sqrt(m - 1),
        "std stands outside of the root: only the variance is divided by m": np.sqrt(std / m),
        "a sum has this deviation; the mean is that divided by m": std * np.sqrt(m),
    }
    given = call(noise, std=std, m=m)
    compare("the noise", given, np.std(mu), mistakes, reference="20,000 drawn batches", rtol=0.03)
    return f"yours is {float(given):.4g}, that of 20,000 drawn batches {np.std(mu):.4g}"


@exercise("6.3")
def layer_norm(forward: Any) -> str:
    """Check ``forward(x, gamma, beta, eps)``: layer normalization."""
    rng = np.random.default_rng(3)
    m, features, eps = 4, 4, 0.1  # square, so that a wrong axis gives an array too; an eps that can be seen
    x = rng.normal(2.0, 1.5, (m, features))
    gamma, beta = rng.normal(size=(2, features))
    layer = tn.LayerNorm(eps=eps).build(features, dtype="float64")
    layer.params["gamma"][...], layer.params["beta"][...] = gamma, beta
    centred = x - x.mean(axis=1, keepdims=True)
    var = (centred**2).mean(axis=1, keepdims=True)
    x_hat = centred / np.sqrt(var + eps)
    along = x - x.mean(axis=1)
    batch_norm = gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps) + beta
    unbiased = gamma * centred / np.sqrt(x.var(axis=1, ddof=1, keepdims=True) + eps) + beta
    mixed_means = gamma * along / np.sqrt(x.var(axis=1) + eps) + beta
    mixed_variances = gamma * centred / np.sqrt(x.var(axis=1) + eps) + beta
    eps_outside = gamma * centred / (np.sqrt(var) + eps) + beta
    by_examples = gamma[:, None] * x_hat + beta[:, None]
    of_whole_array = gamma * (x - x.mean()) / np.sqrt(x.var() + eps) + beta
    mistakes = {
        "this is batch norm: the mean runs over the batch (axis 0), it should run over the features "
        "(axis 1)": batch_norm,
        "you divided by features - 1; the variance divides by the number of features": unbiased,
        "the means of the examples meet the features: shape (m,) spreads over the columns; use "
        "keepdims=True": mixed_means,
        "one of mean and variance runs over the batch (axis 0); both run over the features (axis 1)": (
            gamma * (x - x.mean(axis=0)) / np.sqrt(var + eps) + beta,
            gamma * centred / np.sqrt(x.var(axis=0) + eps) + beta,
        ),
        "the variances of the examples meet the features: use keepdims=True there too": mixed_variances,
        "gamma and beta have changed places": beta * x_hat + gamma,
        "x - mu is multiplied by the root; it should be divided by it": gamma * centred * np.sqrt(var + eps) + beta,
        "eps stands outside the root; it is added to the variance, inside": eps_outside,
        "eps is missing": gamma * centred / np.sqrt(var) + beta,
        "gamma and beta are missing": x_hat,
        "beta is missing": gamma * x_hat,
        "gamma is missing": x_hat + beta,
        "gamma and beta belong to the features, so they spread over the rows as they are: no reshaping": by_examples,
        "the mean is not subtracted": gamma * x / np.sqrt(var + eps) + beta,
        "the root is missing: x - mu is divided by the variance": gamma * centred / (var + eps) + beta,
        "mean and variance are taken over the whole array; each example has its own: axis 1": of_whole_array,
    }
    given = call(forward, x=x, gamma=gamma, beta=beta, eps=eps)
    compare("y", given, layer.forward(x), mistakes, reference="tn.LayerNorm", shape=("batch", "features"))
    alone = call(forward, x=x[:1], gamma=gamma, beta=beta, eps=eps)
    wrong = {
        "you divide by the number of examples; mean and variance divide by the number of features": tuple(
            gamma * (x[:1] - total) / np.sqrt(size + eps) + beta
            for total in (x[:1].mean(), x[:1].sum())
            for size in (x[:1].var(), np.sum((x[:1] - total) ** 2))
        )
    }
    compare("y of one example", alone, layer.forward(x[:1]), wrong, reference="tn.LayerNorm", shape=("1", "features"))
    return "your y is tn.LayerNorm's, for a batch and for one example alone"
