"""An answer beside the expected one: equal, or wrong in a way that is known or that can be told from the numbers."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinynet.course.report import NotDone, Wrong, blank, described
from tinynet.typing import Array

CLOSE = 1e-6  # relative: answers are in float64, numerical derivatives good to about 1e-9
NEARLY = 1e-3  # so close as no mistake of the mathematics comes


def check_order(values: Sequence[Any], expected: Mapping[str, Any]) -> None:
    """Raise if the parts of an answer are right but stand in another order than the expected ones, by name."""
    try:
        given = [_numbers(value) for value in values]
    except (TypeError, ValueError):
        return  # `compare` says so
    right = [np.asarray(value, float) for value in expected.values()]
    in_order, *others = [all(map(_close, order, right)) for order in itertools.permutations(given)]
    if any(others) and not in_order:
        raise Wrong(f"the values are right, but in another order: return {', '.join(expected)}")


def equal(answer: Any, expected: Any) -> bool:
    """Return whether an answer, whatever it is, has the expected numbers; a nan equals nothing."""
    try:
        return _close(_numbers(answer), np.asarray(expected, float))
    except (TypeError, ValueError):
        return False


def compare(
    name: str,
    answer: Any,
    expected: Any,
    mistakes: Mapping[str, Any],
    *,
    reference: str,
    shape: Sequence[str] = (),
    rtol: float = CLOSE,
) -> None:
    """Raise unless the answer is the expected one; say which of the usual mistakes it is, if it is one.

    Parameters
    ----------
    name : str
        Of what is compared, such as ``"dx"``.
    answer : object
    expected : array_like
    mistakes : mapping of str to array_like
        What is wrong, as a sentence, and the values that one then gets; a tuple if there are several ways.
    reference : str
        Where ``expected`` comes from, such as ``"the numerical derivative"``.
    shape : sequence of str
        Names of the expected value's axes.
    rtol : float
        How close the answer must be, as a share of the largest expected value. A mistake is recognized at `CLOSE`.
    """
    if answer is None:
        raise NotDone(f"fill in {name}, and return it: your function returned None")
    if blank(answer):
        raise NotDone(f"fill in {name}")
    right = np.asarray(expected, float)
    try:
        given = _numbers(answer)
    except (TypeError, ValueError):
        if isinstance(answer, tuple):
            raise Wrong(f"return {name} alone; yours returned {described(answer)}") from None
        raise Wrong(f"{name} must be {_meant(right)}, not {described(answer)}") from None
    if _same(given, right, rtol):
        return
    where = _distance(name, given, right, reference, rtol)
    for sentence, value in mistakes.items():
        values = value if isinstance(value, tuple) else (value,)
        if any(_close(given, np.asarray(v, float)) for v in values):
            raise Wrong(f"{sentence}{where}")
    if given.shape != right.shape:
        raise Wrong(_wrong_shape(name, answer, given, right, shape))
    bad = int(np.count_nonzero(~np.isfinite(given)))
    if bad:
        count = "is" if given.ndim == 0 else f"has {bad} of {given.size} numbers that are"
        raise Wrong(f"{name} {count} nan or inf: look for a division by zero, or the root of a negative number{where}")
    wrong = int(np.count_nonzero(_apart(given, right, rtol)))
    count = f" in {wrong} of {right.size} numbers" if right.ndim else ""
    pattern = _pattern(np.asarray(answer), given, right)
    raise Wrong(f"{name} {pattern}{where}" if pattern else f"{name} is not right{count}{where}")


def _wrong_shape(name: str, answer: Any, given: Array, right: Array, axes: Sequence[str]) -> str:
    """Return what is wrong with an answer of another shape than the expected one."""
    if isinstance(answer, tuple):
        return f"return {name} alone; yours returned {described(answer)}"
    if right.ndim == 0:
        return f"{name} must be {_meant(right)}, not {described(given)}"
    named = f" ({', '.join(axes)})" if axes else ""
    if given.size == right.size and _close(given.reshape(right.shape), right):
        return f"the numbers of {name} are right, but its shape is {given.shape} where {right.shape}{named} is meant"
    hint = "; it is the transpose's shape" if given.shape == right.shape[::-1] else ""
    return f"{name} has shape {given.shape} where {right.shape}{named} is meant{hint}"


def _pattern(answer: Array, given: Array, right: Array) -> str:
    """Return in what regular way an answer of the right shape is wrong, or nothing."""
    if answer.dtype.kind in "iub" and any(np.array_equal(given, cut(right)) for cut in (np.trunc, np.round)):
        return "is in whole numbers: what comes after the point was cut off"
    if _same(given, right, NEARLY):
        off = np.max(np.abs(given - right)) / np.max(np.abs(right))
        return f"is off by {off:.0e} of its largest number: rounded, in float32, or with another h or eps than given?"
    if right.ndim == 0:
        return "has the wrong sign" if _close(given, -right) else ""
    if right.ndim == 2 and _close(given.T, right):
        return "is transposed"
    factor = float(np.sum(given * right) / np.sum(right * right))
    if abs(factor) > CLOSE and _close(given, factor * right):
        return (
            "has the wrong sign everywhere" if np.isclose(factor, -1) else f"is {factor:.4g} times what it should be"
        )
    for axis, line in enumerate(("column", "row") if right.ndim == 2 else ()):
        if right.shape[axis] < 3:
            continue
        apart = given - right
        if np.allclose(apart, apart.mean(axis=axis, keepdims=True), atol=CLOSE * float(np.max(np.abs(right)))):
            return f"is off by one number for each {line}: a term that belongs to the {line} is missing, or too many"
        size = np.sum(right**2, axis=axis, keepdims=True)
        if np.all(size > 0) and _close(given, right * np.sum(given * right, axis=axis, keepdims=True) / size):
            return f"is right but for a factor for each {line}: one that belongs to the {line} is missing, or too many"
    return ""


def _apart(a: Array, b: Array, rtol: float) -> Array:
    """Return where two arrays of one shape differ by more than a share of the largest number of the second."""
    scale = float(np.max(np.abs(b), initial=0.0)) or 1.0
    return np.asarray(~(np.abs(a - b) <= rtol * scale))


def _same(a: Array, b: Array, rtol: float) -> bool:
    """Return whether two arrays are equal but for a share of the largest number of the second."""
    return a.shape == b.shape and not _apart(a, b, rtol).any()


def _numbers(value: Any) -> Array:
    if np.iscomplexobj(value):
        raise TypeError
    return np.asarray(value, float)


def _close(a: Array, b: Array) -> bool:
    return _same(a, b, CLOSE)


def _distance(name: str, given: Array, right: Array, reference: str, rtol: float) -> str:
    """Return the first place where an answer is not the reference, with both numbers; if shapes differ, the shapes."""
    if given.shape != right.shape:
        return f" ({name} has shape {given.shape} where {right.shape} is meant)"
    if given.ndim == 0:
        return f" (yours is {float(given):.4g}; {reference}: {float(right):.4g})"
    at = tuple(int(k) for k in np.argwhere(_apart(given, right, rtol))[0])
    place = ", ".join(map(str, at))
    return f" ({name}[{place}] is {given[at]:.4g}; {reference}: {right[at]:.4g})"


def _meant(right: Array) -> str:
    return "an array of numbers" if right.ndim else "one number"
