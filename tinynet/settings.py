"""Settings that a user may assign at any time: checked as in the constructor, and kept as Python's own numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from tinynet.errors import InputError

T = TypeVar("T")


class Setting(Generic[T]):
    """An attribute that checks each value assigned to it.

    Parameters
    ----------
    check : callable
        ``check("BatchNorm: eps", value)`` returns what is kept, or raises an error that begins with the text.
    fixed : bool
        Whether the attribute cannot change once its layer is built, since arrays depend on it.
    """

    def __init__(self, check: Callable[[str, Any], T], *, fixed: bool = False) -> None:
        self.check, self.fixed = check, fixed

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    if TYPE_CHECKING:  # Python finds the value in the instance, where `__set__` keeps it

        def __get__(self, owner: Any, kind: type | None = None) -> T: ...

    def __set__(self, owner: Any, value: Any) -> None:
        if self.fixed and owner.dtype is not None:
            raise InputError(f"{owner.name}: {self.name} cannot change once the layer is built; make a new layer")
        owner.__dict__[self.name] = self.check(f"{type(owner).__name__}: {self.name}", value)


def number(where: str, value: Any) -> float:
    """Return a finite number."""
    converted = _float(where, value)
    if not math.isfinite(converted):
        raise InputError(f"{where} must be a finite number, not {value}")
    return converted


def not_negative(where: str, value: Any) -> float:
    """Return a finite number of at least 0."""
    if not _float(where, value) >= 0:
        raise InputError(f"{where} must not be negative, not {value}")
    return number(where, value)


def above_0(where: str, value: Any) -> float:
    """Return a number above 0, which may be infinite."""
    if not _float(where, value) > 0:
        raise InputError(f"{where} must be above 0, not {value}")
    return _float(where, value)


def finite_above_0(where: str, value: Any) -> float:
    """Return a finite number above 0."""
    with suppress(InputError):
        if number(where, value) > 0:
            return number(where, value)
    raise InputError(f"{where} must be a positive number, not {value}")


def below_1(where: str, value: Any) -> float:
    """Return a number of at least 0 and below 1."""
    if not 0 <= _float(where, value) < 1:
        raise InputError(f"{where} must be at least 0 and below 1, not {value}")
    return _float(where, value)


def whole(where: str, value: Any) -> int:
    """Return a whole number."""
    if number(where, value) != int(value):
        raise InputError(f"{where} must be a whole number, not {value}")
    return int(value)


def count(where: str, value: Any, least: int = 1) -> int:
    """Return a whole number of at least ``least``, which fits a 64-bit integer."""
    with suppress(InputError):
        if least <= whole(where, value) < 2**62:
            return int(value)
    raise InputError(f"{where} must be a whole number of at least {least}, not {value}")


def flag(where: str, value: Any) -> bool:
    """Return true or false."""
    try:
        return bool(value)
    except ValueError:  # NumPy's, of several numbers
        raise InputError(f"{where} must be true or false, not {value!r}") from None


def generator(seed: Any) -> np.random.Generator:
    """Return a generator as it is, or a new one from a seed."""
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError):
        raise InputError(f"seed must be a whole number of at least 0, or a NumPy Generator, not {seed!r}") from None


def _float(where: str, value: Any) -> float:
    """Return the value as Python's own number, which arithmetic, files and compiled kernels all take."""
    try:
        if isinstance(value, str | bytes):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where} must be a number, not {value!r}") from None
