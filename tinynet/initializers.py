"""Initial weights: their scale decides whether signals and gradients keep their size through the layers.

An initializer is a name, or a function of (generator, fan_in, fan_out) that returns a weight (fan_in, fan_out).
"""

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinynet.errors import InputError, ShapeError, unknown_name
from tinynet.settings import not_negative, number
from tinynet.typing import Array

Initializer = Callable[[np.random.Generator, int, int], Array]
"""Draws a float64 weight (fan_in, fan_out) from a generator."""

CUSTOM = "custom"  # what a file has in place of a user's function


@dataclass(frozen=True)
class _Named:
    """An initializer that a file can name."""

    name: str
    draw: Initializer

    def __call__(self, rng: np.random.Generator, fan_in: int, fan_out: int) -> Array:
        return self.draw(rng, fan_in, fan_out)

    def __repr__(self) -> str:
        return self.name


def _scaled(gain: float, fans: str, shape: str) -> Initializer:
    """Return an initializer of variance ``gain / fan``: normal, or uniform on +-sqrt(3 variance)."""

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
    q *= np.sign(np.diag(r))  # without this line the distribution is not uniform
    return q if fan_in >= fan_out else q.T


def normal(std: float) -> Initializer:
    """Return an initializer that draws from a normal distribution of mean 0.

    Parameters
    ----------
    std : float
        Standard deviation, at least 0. The name ``"normal(0.05)"`` means ``normal(0.05)``.

    Returns
    -------
    callable
        A function of (generator, fan_in, fan_out) that returns a float64 weight (fan_in, fan_out).

    Raises
    ------
    InputError
        If std is negative, or not a finite number.
    """
    std = not_negative("normal: std", std)
    return _Named(_spelled("normal", std), lambda rng, fan_in, fan_out: rng.normal(0.0, std, (fan_in, fan_out)))


def constant(value: float) -> Initializer:
    """Return an initializer that sets all weights equal. The units of a layer then stay equal while they learn.

    Parameters
    ----------
    value : float
        The name ``"constant(0.1)"`` means ``constant(0.1)``.

    Returns
    -------
    callable
        As for `normal`.

    Raises
    ------
    InputError
        If the value is not a finite number.
    """
    value = number("constant: value", value)
    return _Named(_spelled("constant", value), lambda rng, fan_in, fan_out: np.full((fan_in, fan_out), value))


def _spelled(name: str, value: float) -> str:
    return f"{name}({repr(value).removesuffix('.0')})"


glorot_uniform = _Named("glorot_uniform", _scaled(1.0, "mean", "uniform"))  # Glorot and Bengio (2010)
glorot_normal = _Named("glorot_normal", _scaled(1.0, "mean", "normal"))
he_uniform = _Named("he_uniform", _scaled(2.0, "in", "uniform"))  # He et al. (2015)
he_normal = _Named("he_normal", _scaled(2.0, "in", "normal"))
lecun_uniform = _Named("lecun_uniform", _scaled(1.0, "in", "uniform"))  # LeCun et al. (1998)
lecun_normal = _Named("lecun_normal", _scaled(1.0, "in", "normal"))
orthogonal = _Named("orthogonal", _orthogonal)
NAMED: dict[str, Initializer] = {
    init.name: init
    for init in (glorot_uniform, glorot_normal, he_uniform, he_normal, lecun_uniform, lecun_normal, orthogonal)
}
OTHERS = {"xavier": "glorot", "kaiming": "he"}  # names in other libraries
WITH_A_NUMBER: dict[str, Callable[[float], Initializer]] = {"normal": normal, "constant": constant}


def get(name: str) -> Initializer:
    """Return the initializer of a name such as ``"he_normal"``, ``"normal(0.05)"`` or ``"constant(0)"``.

    Parameters
    ----------
    name : str
        ``glorot``, ``he`` and ``lecun`` draw with mean 0 and variance 1 / mean(fan_in, fan_out), 2 / fan_in and
        1 / fan_in, from a ``_normal`` or ``_uniform`` distribution; ``orthogonal`` has orthonormal rows or columns.

    Returns
    -------
    callable
        A function of (generator, fan_in, fan_out) that returns a float64 weight (fan_in, fan_out).

    Raises
    ------
    InputError
        If the name is unknown (the message suggests the nearest one), or its number is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from tinynet import initializers
    >>> initializers.get("orthogonal")(np.random.default_rng(0), 3, 2).shape
    (3, 2)
    """
    if not isinstance(name, str):
        raise InputError(f"initializer: give a name such as 'he_normal' or 'normal(0.05)', not {name!r}")
    if name in NAMED:
        return NAMED[name]
    match = re.fullmatch(r"(\w+)\(([^()]*)\)", name)
    kind = match[1] if match else name
    if kind == CUSTOM:
        return _Named(CUSTOM, _lost)
    if kind not in WITH_A_NUMBER:
        author, _, rest = kind.rstrip("_").lower().partition("_")
        if (same := f"{OTHERS.get(author)}_{rest}") in NAMED:
            raise InputError(f"unknown initializer {name!r}; here it is {same!r}")
        raise unknown_name("initializer", name, [*NAMED, "normal(0.05)", "constant(0)"])
    try:
        value = float(match[2]) if match else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (kind == "normal" and value < 0):
        raise InputError(f"initializer {name!r} needs a finite number, as in {kind}(0.05)")
    return WITH_A_NUMBER[kind](value)


def check(init: str | Initializer) -> str | Initializer:
    """Return an initializer as a layer keeps it: its name, or the user's function.

    Raises
    ------
    InputError
        If the name is unknown, or the function does not take (generator, fan_in, fan_out).
    """
    if isinstance(init, _Named):
        return init.name
    if isinstance(init, str):
        get(init)
        return str(init)
    if not callable(init):
        given = repr(init) if isinstance(init, int | float | None) else type(init).__name__
        raise InputError(
            f"init: give a name such as 'he_normal', or a function of (rng, fan_in, fan_out), not {given}"
        )
    try:
        inspect.signature(init).bind(None, 1, 1)
    except TypeError:
        name = getattr(init, "__name__", repr(init))
        made = f"; write {name}(0.05)" if name in WITH_A_NUMBER else ""
        raise InputError(f"init: {name} is no function of (rng, fan_in, fan_out){made}") from None
    except ValueError:  # a function written in C may have no signature
        pass
    return init


def draw(init: str | Initializer, rng: np.random.Generator, fan_in: int, fan_out: int) -> Array:
    """Return a weight (fan_in, fan_out); raise InputError or ShapeError if a user's function gives something else."""
    try:
        weight = np.asarray((get(init) if isinstance(init, str) else init)(rng, fan_in, fan_out))
    except TypeError as error:
        raise InputError(f"init: the function fails for (rng, {fan_in}, {fan_out}): {error}") from error
    if weight.shape != (fan_in, fan_out) or weight.dtype.kind not in "fiu":
        raise ShapeError(
            f"init: must return numbers of shape (fan_in, fan_out) = {(fan_in, fan_out)}, "
            f"not {weight.dtype} of shape {weight.shape}"
        )
    return weight


def _lost(rng: np.random.Generator, fan_in: int, fan_out: int) -> Array:
    raise InputError("init='custom' stands for a function that a file could not hold; give the function itself")
