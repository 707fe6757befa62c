"""Checks of lesson 4: batch norm from its four equations."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinynet as tn
from tinynet.course.comparing import check_order, compare
from tinynet.course.numerical import derivative
from tinynet.course.report import Wrong, call, exercise, parts
from tinynet.typing import Array

AXIS = "the sum runs over the features (axis 1); it should run over the batch (axis 0)"


def _layer(gamma: Array, beta: Array, eps: float, decay: float = 0.9) -> tn.BatchNorm:
    layer = tn.BatchNorm(eps=eps, decay=decay).build(len(gamma), dtype="float64")
    layer.params["gamma"][...], layer.params["beta"][...] = gamma, beta
    return layer


@exercise("4.1")
def forward(forward: Any) -> str:
    """Check ``forward(x, gamma, beta, eps)``, which returns y, x_hat, inv_std."""
    rng = np.random.default_rng(1)
    m, features, eps = 6, 4, 0.1  # an eps so large that one sees where it stands
    x = rng.normal(2.0, 1.5, (m, features))
    gamma, beta = rng.normal(size=(2, features))
    mu, var = x.mean(axis=0), ((x - x.mean(axis=0)) ** 2).mean(axis=0)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = _layer(np.ones(features), np.zeros(features), eps).forward(x, training=True)
    y = _layer(gamma, beta, eps).forward(x, training=True)

    given = parts(call(forward, x=x, gamma=gamma, beta=beta, eps=eps), "y", "x_hat", "inv_std")
    check_order(given, {"y": y, "x_hat": x_hat, "inv_std": inv_std})
    along = ((x - x.mean(axis=1, keepdims=True)) ** 2).mean(axis=1)
    of_whole_array = 1 / np.sqrt(np.var(x) + eps)
    of_inv_std = {
        "this is the variance; inv_std is 1 / sqrt(var + eps)": (var, var + eps),
        "you divided by m - 1; the batch variance of the equations divides by m": 1 / np.sqrt(var * m / (m - 1) + eps),
        AXIS: (1 / np.sqrt(along + eps), 1 / np.sqrt(along + eps)[:, None]),
        "mean and variance are taken over the whole array; each feature has its own: axis 0": of_whole_array,
        "eps stands outside the root; equation (3) adds it to the variance, inside": 1 / (np.sqrt(var) + eps),
        "eps is missing": 1 / np.sqrt(var),
        "the root is missing: this is 1 / (var + eps)": 1 / (var + eps),
        "inv_std is the inverse, 1 / sqrt(var + eps); this is the standard deviation": (
            np.sqrt(var + eps),
            np.sqrt(var),
        ),
        "the variance is the mean of (x - mu)^2, this is the mean of x^2": 1 / np.sqrt((x**2).mean(axis=0) + eps),
    }
    along_features = inv_std * (x - x.mean(axis=1, keepdims=True))
    of_x_hat = {
        "mu is not subtracted": x * inv_std,
        "mu is the mean over the features (axis 1); it should be that over the batch (axis 0)": along_features,
        "mu is the mean of the whole array; each feature has its own: axis 0": inv_std * (x - x.mean()),
        "your inv_std is right, but x_hat is made with another: multiply x - mu by it": (
            (x - mu) / np.sqrt(var),
            (x - mu) / (np.sqrt(var) + eps),
            (x - mu) / np.sqrt(var * m / (m - 1) + eps),
        ),
        "x - mu is divided by inv_std; it should be multiplied by it": (x - mu) / inv_std,
        "x - mu is divided by the variance, not by its root": (x - mu) / (var + eps),
        "(3) is not applied: x_hat is only x - mu": x - mu,
    }
    of_y = {
        "gamma is missing in (4)": x_hat + beta,
        "beta is missing in (4)": gamma * x_hat,
        "this is gamma (x_hat + beta); beta is added after the scaling": gamma * (x_hat + beta),
        "y is made of x; (4) takes x_hat": gamma * x + beta,
        "this is x_hat; (4) is missing": x_hat,
        "gamma and beta have changed places": beta * x_hat + gamma,
    }
    names = ("batch", "features")
    compare("inv_std", given[2], inv_std, of_inv_std, reference="the definition", shape=names[1:])
    compare("x_hat", given[1], x_hat, of_x_hat, reference="tn.BatchNorm", shape=names)
    compare("y", given[0], y, of_y, reference="tn.BatchNorm", shape=names)
    return "your y is tn.BatchNorm's"


@exercise("4.2")
def backward(backward: Any) -> str:
    """Check ``backward(dy, x_hat, inv_std, gamma)``, which returns dx, dgamma, dbeta."""
    rng = np.random.default_rng(2)
    m, features, eps = 6, 4, 1e-5
    x, dy = rng.normal(2.0, 1.5, (m, features)), rng.normal(size=(m, features))
    gamma, beta = rng.normal(size=(2, features))
    layer = _layer(gamma, beta, eps)
    mu = x.mean(axis=0)
    inv_std = 1 / np.sqrt(x.var(axis=0) + eps)
    x_hat = (x - mu) * inv_std

    def loss() -> float:
        return float(np.sum(dy * layer.forward(x, training=True)))

    scale, of_mu, of_var = gamma * inv_std, dy.mean(axis=0), x_hat * (dy * x_hat).mean(axis=0)
    answer = call(backward, dy=dy, x_hat=x_hat, inv_std=inv_std, gamma=gamma)
    dx, dgamma, dbeta = parts(answer, "dx", "dgamma", "dbeta")
    reference = "the numerical derivative"
    slopes = {"dx": derivative(loss, x)}
    slopes |= {f"d{name}": derivative(loss, layer.params[name]) for name in ("gamma", "beta")}
    check_order((dx, dgamma, dbeta), slopes)
    of_dbeta = {
        "dbeta is the mean over the batch; it should be the sum": of_mu,
        AXIS.replace("the sum", "the sum of dbeta"): dy.sum(axis=1),
        "dbeta is not summed over the batch: one beta serves all examples, so their dy add up": dy,
    }
    of_dgamma = {
        "dgamma is the mean over the batch; it should be the sum": (dy * x_hat).mean(axis=0),
        AXIS.replace("the sum", "the sum of dgamma"): (dy * x_hat).sum(axis=1),
        "dgamma is not summed over the batch: one gamma serves all examples": dy * x_hat,
        "dgamma is the sum of dy; gamma is multiplied by x_hat, so its derivative is too": dy.sum(axis=0),
    }
    neither_path = scale * dy
    means_along_features = scale * (
        dy - dy.mean(axis=1, keepdims=True) - x_hat * (dy * x_hat).mean(axis=1, keepdims=True)
    )
    mean_along_features = scale * (dy - dy.mean(axis=1, keepdims=True) - of_var)
    of_dx = {
        "your dx is right except that the path through the variance is missing": scale * (dy - of_mu),
        "your dx is right except that the path through the mean is missing": scale * (dy - of_var),
        "both the path through the mean and that through the variance are missing: x enters mu and var "
        "too": neither_path,
        "the means of your dx run over the features (axis 1); they should run over the batch (axis "
        "0)": means_along_features,
        "the mean of dy runs over the features (axis 1); it should run over the batch (axis 0)": mean_along_features,
        "the means of your dx are those of the whole array; each feature has its own: axis 0": (
            scale * (dy - dy.mean() - x_hat * (dy * x_hat).mean()),
            scale * (dy - dy.mean() - of_var),
        ),
        "x_hat is missing before the mean of dy x_hat": scale * (dy - of_mu - (dy * x_hat).mean(axis=0)),
        "dx is divided by inv_std; it is 1 / std already, so multiply": gamma / inv_std * (dy - of_mu - of_var),
        "dy's own mean is a sum in your dx: divide it by m": scale * (dy - m * of_mu - of_var),
        "the mean of dy x_hat is a sum in your dx: divide it by m": scale * (dy - of_mu - m * of_var),
        "your dx is right but for inv_std": gamma * (dy - of_mu - of_var),
        "your dx is right but for gamma": inv_std * (dy - of_mu - of_var),
        "the two means are sums in your dx: divide them by m": scale * (dy - m * of_mu - m * of_var),
        "the path through the mean has the wrong sign": scale * (dy + of_mu - of_var),
        "the path through the variance has the wrong sign": scale * (dy - of_mu + of_var),
    }
    compare("dbeta", dbeta, slopes["dbeta"], of_dbeta, reference=reference, shape=("features",))
    compare("dgamma", dgamma, slopes["dgamma"], of_dgamma, reference=reference, shape=("features",))
    try:
        compare("dx", dx, slopes["dx"], of_dx, reference=reference, shape=("batch", "features"))
    except Wrong as fault:
        unknown = not any(sentence in str(fault) for sentence in of_dx)
        raise Wrong(f"{fault}{_direction(dx, slopes['dx'], x_hat) if unknown else ''}") from None
    return f"dx, dgamma and dbeta are {reference}s"


def _direction(dx: Any, expected: Array, x_hat: Array) -> str:
    """Return along which of the two directions of the derivation an error of dx lies, if it lies along one."""
    try:
        error = np.asarray(dx, float) - expected
    except (TypeError, ValueError):
        return ""
    if error.shape != x_hat.shape or not np.isfinite(error).all():
        return ""
    size = np.sqrt((error**2).mean())
    along = x_hat * (error * x_hat).mean(axis=0)
    level = error.mean(axis=0)
    if np.allclose(error, along, atol=1e-4 * size):
        return (
            f"; dx differs from the reference by {size:.3g} (RMS) in the direction of x_hat alone, "
            "which is what goes through the variance"
        )
    if np.allclose(error, np.broadcast_to(level, error.shape), atol=1e-4 * size):
        return (
            f"; dx differs from the reference by {size:.3g} (RMS), by the same number for all examples of a feature, "
            "which is what goes through the mean"
        )
    return ""


@exercise("4.3")
def running(update: Any) -> str:
    """Check ``update(running_mean, running_var, x, decay)``, which returns the new running_mean, running_var."""
    rng = np.random.default_rng(3)
    m, features, decay = 5, 4, 0.8
    x = rng.normal(2.0, 1.5, (m, features))
    mean, var = rng.normal(size=features), rng.uniform(1, 2, features)
    layer = _layer(np.ones(features), np.zeros(features), 1e-5, decay)
    layer.state["running_mean"][...], layer.state["running_var"][...] = mean, var
    layer.forward(x, training=True)
    mu, batch = x.mean(axis=0), x.var(axis=0)
    unbiased = batch * m / (m - 1)

    answer = call(update, running_mean=mean, running_var=var, x=x, decay=decay)
    new_mean, new_var = parts(answer, "running_mean", "running_var")
    check_order((new_mean, new_var), layer.state)
    swapped = (
        "decay and 1 - decay have changed places: decay is what is kept of the old (PyTorch's momentum is 1 - decay)"
    )
    of_whole_array = decay * mean + (1 - decay) * x.mean()
    corrected_mean = decay * mean + (1 - decay) * mu * m / (m - 1)
    of_mean = {
        swapped: (1 - decay) * mean + decay * mu,
        "this is the batch's mean alone; nothing of the old is kept": mu,
        "1 - decay is missing before the batch's mean": decay * mean + mu,
        "this has the mean of the whole array; each feature has its own: axis 0": of_whole_array,
        "m / (m - 1) belongs to the variance; a mean needs no correction": corrected_mean,
    }
    upside_down = decay * var + (1 - decay) * batch * (m - 1) / m
    of_var = {
        "the running variance takes the unbiased variance, times m / (m - 1); yours takes the batch's own, which is "
        "too small on average": decay * var + (1 - decay) * batch,
        swapped: (1 - decay) * var + decay * unbiased,
        "this averages standard deviations; the variances are averaged": (
            decay * var + (1 - decay) * np.sqrt(unbiased),
            decay * var + (1 - decay) * np.sqrt(batch),
        ),
        "m / (m - 1) is there twice: ddof=1 has it already": decay * var + (1 - decay) * unbiased * m / (m - 1),
        "m / (m - 1) is upside down: the batch's own variance is too small": upside_down,
        "this is the batch's variance alone; nothing of the old is kept": (unbiased, batch),
        "1 - decay is missing before the batch's variance": (decay * var + unbiased, decay * var + batch),
        "the batch's variance is taken around its own mean, not around running_mean": tuple(
            decay * var + (1 - decay) * np.sum((x - about) ** 2, axis=0) / n
            for about in (mean, layer.state["running_mean"])
            for n in (m, m - 1)
        ),
    }
    for name, given, mistakes in (("running_mean", new_mean, of_mean), ("running_var", new_var, of_var)):
        compare(name, given, layer.state[name], mistakes, reference="tn.BatchNorm", shape=("features",))
    return "your running statistics are tn.BatchNorm's"


@exercise("4.4")
def predict(predict: Any) -> str:
    """Check ``predict(x, gamma, beta, running_mean, running_var, eps)``: y at test time."""
    rng = np.random.default_rng(4)
    m, features, eps = 5, 4, 0.1
    x = rng.normal(2.0, 1.5, (m, features))
    gamma, beta, mean = rng.normal(size=(3, features))
    var = rng.uniform(1, 2, features)
    layer = _layer(gamma, beta, eps)
    layer.state["running_mean"][...], layer.state["running_var"][...] = mean, var
    of_batch = gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps) + beta
    multiplied = gamma * (x - mean) * np.sqrt(var + eps) + beta
    beta_scaled = gamma * ((x - mean) / np.sqrt(var + eps) + beta)
    eps_outside = gamma * (x - mean) / (np.sqrt(var) + eps) + beta
    only_normalized = (x - mean) / np.sqrt(var + eps)
    mistakes = {
        "you normalize by the batch's own statistics; at test time they are the running ones, whatever else is in the "
        "batch": (
            of_batch,
            gamma * (x - mean) / np.sqrt(x.var(axis=0) + eps) + beta,
            gamma * (x - x.mean(axis=0)) / np.sqrt(var + eps) + beta,
        ),
        "running_var is unbiased already: use it as it is": tuple(
            gamma * (x - mean) / np.sqrt(var * factor + eps) + beta for factor in (m / (m - 1), (m - 1) / m)
        ),
        "x - running_mean is multiplied by the root; it should be divided by it": multiplied,
        "beta is missing": gamma * (x - mean) / np.sqrt(var + eps),
        "gamma is missing": (x - mean) / np.sqrt(var + eps) + beta,
        "this is gamma (x_hat + beta); beta is added after the scaling": beta_scaled,
        "running_var is a variance: its root divides": gamma * (x - mean) / (var + eps) + beta,
        "eps is missing": gamma * (x - mean) / np.sqrt(var) + beta,
        "eps stands outside the root; it is added to the variance, inside": eps_outside,
        "gamma and beta are missing: they were learned, and are used at test time too": only_normalized,
        "running_mean is not subtracted": gamma * x / np.sqrt(var + eps) + beta,
    }
    others = {"gamma": gamma, "beta": beta, "running_mean": mean, "running_var": var, "eps": eps}
    given = call(predict, x=x, **others)
    compare("y", given, layer.forward(x), mistakes, reference="tn.BatchNorm", shape=("batch", "features"))
    alone = call(predict, x=x[:1], **others)
    compare("y of one example", alone, layer.forward(x[:1]), {}, reference="tn.BatchNorm", shape=("1", "features"))
    return "your y is tn.BatchNorm's, for a batch and for one example"
