"""How a weight matrix starts: the scale that keeps signals and gradients alive through the layers, or does not."""

import math
import re
from collections.abc import Callable

import numpy as np

from tinynet.errors import InputError, unknown_name
from tinynet.typing import Array

Initializer = Callable[[np.random.Generator, int, int], Array]
"""Draws a float64 weight (fan_in, fan_out) from a generator."""


def _scaled(gain: float, fans: str, shape: str) -> Initializer:
    """Draw with variance ``gain / fan``: normal, or uniform on +-sqrt(3 variance)."""

    def draw(rng: np.random.Generator, fan_in: int, fan_out: int) -> Array:
        fan = fan_in if fans == "in" else (fan_in + fan_out) / 2
        std = math.sqrt(gain / fan)
        if shape == "normal":
            return rng.normal(0.0, std, (fan_in, fan_out))
        limit = math.sqrt(3.0) * std
        return rng.uniform(-limit, limit, (fan_in, fan_out))

    return draw


def _orthogonal(rng: np.random.Generator, fan_in: int, fan_out: int) -> Array:
    """Draw a matrix with orthonormal rows or columns, uniformly (Saxe, McClelland and Ganguli 2014)."""
    tall = rng.normal(size=(max(fan_in, fan_out), min(fan_in, fan_out)))
    q, r = np.linalg.qr(tall)
    q *= np.sign(np.diag(r))  # without it the distribution is not uniform
    return q if fan_in >= fan_out else q.T


def normal(std: float) -> Initializer:
    """Draw from a normal distribution of mean 0 and the given standard deviation.

    Parameters
    ----------
    std : float
        At least 0. As a name: ``"normal(0.05)"``.

    Returns
    -------
    callable
        From a generator, fan_in and fan_out to a float64 weight (fan_in, fan_out).
    """
    return lambda rng, fan_in, fan_out: rng.normal(0.0, std, (fan_in, fan_out))


def constant(value: float) -> Initializer:
    """Set every weight alike: the units of a layer then stay alike for ever, which is the lesson.

    Parameters
    ----------
    value : float
        As a name: ``"constant(0.1)"``.

    Returns
    -------
    callable
        As that of `normal`.
    """
    return lambda rng, fan_in, fan_out: np.full((fan_in, fan_out), value)


NAMED: dict[str, Initializer] = {
    "glorot_uniform": _scaled(1.0, "mean", "uniform"),  # Glorot and Bengio (2010)
    "glorot_normal": _scaled(1.0, "mean", "normal"),
    "he_uniform": _scaled(2.0, "in", "uniform"),  # He et al. (2015)
    "he_normal": _scaled(2.0, "in", "normal"),
    "lecun_uniform": _scaled(1.0, "in", "uniform"),  # LeCun et al. (1998)
    "lecun_normal": _scaled(1.0, "in", "normal"),
    "orthogonal": _orthogonal,
}
WITH_A_NUMBER: dict[str, Callable[[float], Initializer]] = {"normal": normal, "constant": constant}


def get(name: str) -> Initializer:
    """Return the initializer of a name such as ``"he_normal"``, ``"normal(0.05)"`` or ``"constant(0)"``.

    Parameters
    ----------
    name : str
        The mean is 0, the variance 1 / mean(fan_in, fan_out) for glorot, 2 / fan_in for he, 1 / fan_in for lecun, the
        distribution normal or uniform; the weight of ``"orthogonal"`` has orthonormal rows or columns.

    Returns
    -------
    callable
        From a generator, fan_in and fan_out to a float64 weight (fan_in, fan_out).

    Raises
    ------
    InputError
        If there is no such name; it suggests the nearest, or says which number is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from tinynet import initializers
    >>> initializers.get("orthogonal")(np.random.default_rng(0), 3, 2).shape
    (3, 2)
    """
    if name in NAMED:
        return NAMED[name]
    match = re.fullmatch(r"(\w+)\(([^()]*)\)", str(name))
    kind = match[1] if match else str(name)
    if kind not in WITH_A_NUMBER:
        raise unknown_name("initializer", name, [*NAMED, "normal(0.05)", "constant(0)"])
    try:
        number = float(match[2]) if match else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or (kind == "normal" and number < 0):
        raise InputError(f"initializer {name!r} needs a finite number, as in {kind}(0.05)")
    return WITH_A_NUMBER[kind](number)
