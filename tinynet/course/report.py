"""How a check speaks: not done yet, right, or what is wrong, found among the mistakes that are usual."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinynet.typing import Array

CLOSE = 1e-6  # relative: answers are in float64, numerical derivatives good to about 1e-9


class NotDone(Exception):  # noqa: N818 - it is not an error
    """The exercise, or a part of it, is still a stub."""


class Wrong(Exception):  # noqa: N818
    """The answer is not right; the text says in what."""


def exercise(number: str) -> Callable[[Callable[[Any], str]], Callable[[Any], None]]:
    """Make a check print its report in one line.

    The decorated function takes the student's answer and returns a sentence on what was seen to be right, or raises
    `NotDone` or `Wrong`. So a page with empty or wrong exercises still runs to its end.
    """

    def decorate(check: Callable[[Any], str]) -> Callable[[Any], None]:
        @functools.wraps(check)
        def run(answer: Any) -> None:
            try:
                print(f"exercise {number}: right: {check(answer)}")
            except NotDone as todo:
                print(f"exercise {number}: not done yet: {todo}")
            except Wrong as fault:
                print(f"exercise {number}: not right yet: {fault}")

        return run

    return decorate


def call(function: Any, **arguments: Any) -> Any:
    """Return what the student's function returns for copies of the arguments, given by position.

    Raises
    ------
    Wrong
        If it cannot be called, raises an exception, or changes an array that it was given.
    NotDone
        If it comes to a value that is still ``...`` or None.
    """
    if blank(function):
        raise NotDone("give the check your function")
    if not callable(function):
        raise Wrong(f"the check takes your function itself, not {brief(function)}")
    given = {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in arguments.items()}
    try:
        with np.errstate(all="ignore"):
            result = function(*given.values())
    except NotImplementedError:
        raise NotDone("the function has no body yet") from None
    except Exception as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
        own = getattr(getattr(function, "__code__", None), "co_filename", None)
        line = next((f.line for f in reversed(frames) if f.filename == own and f.line), None)
        where = f" in the line `{line}`" if line else ""
        if "ellipsis" in str(error).lower() or "NoneType" in str(error):
            raise NotDone(f"a value is still ... or None{where}") from None
        raise Wrong(f"your function stopped{where} with {type(error).__name__}: {error}") from None
    for name, value in arguments.items():
        if isinstance(value, np.ndarray) and not np.array_equal(value, given[name], equal_nan=value.dtype.kind == "f"):
            raise Wrong(
                f"your function leaves {name} changed; what it is given belongs to the caller: "
                f"work on a copy, {name}.copy(), or put back what you moved"
            )
    return result


def parts(result: Any, *names: str) -> list[Any]:
    """Return the values of an answer that has several; raise if their number is wrong or one is a stub."""
    meant = ", ".join(names)
    if blank(result):
        raise NotDone(f"return {meant}")
    if not isinstance(result, tuple | list) or len(result) != len(names):
        got = f"{len(result)} values" if isinstance(result, tuple | list) else brief(result)
        raise Wrong(f"return {len(names)} values, {meant}; yours returned {got}")
    open_ = [name for name, value in zip(names, result, strict=True) if blank(value)]
    if open_:
        raise NotDone(f"fill in {', '.join(open_)}")
    return list(result)


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
    if blank(answer):
        raise NotDone(f"fill in {name}")
    right = np.asarray(expected, float)
    try:
        given = np.asarray(answer, float)
    except (TypeError, ValueError):
        raise Wrong(f"{name} must be an array of numbers, not {brief(answer)}") from None
    if _same(given, right, rtol):
        return
    for sentence, value in mistakes.items():
        values = value if isinstance(value, tuple) else (value,)
        if any(_same(given, np.asarray(v, float), CLOSE) for v in values):
            raise Wrong(f"{sentence}{_distance(name, given, right, reference)}")
    if given.shape != right.shape:
        axes = f" ({', '.join(shape)})" if shape else ""
        hint = "; it is the transpose's shape" if given.shape == right.shape[::-1] else ""
        raise Wrong(f"{name} has shape {given.shape} where {right.shape}{axes} is meant{hint}")
    bad = int(np.count_nonzero(~np.isfinite(given)))
    if bad:
        raise Wrong(f"{bad} of {given.size} numbers of {name} are nan or inf: look for a division by zero")
    factor = float(np.sum(given * right) / np.sum(right * right))
    if abs(factor) > CLOSE and abs(factor - 1) > 1e-3 and _same(given, factor * right, CLOSE):
        sign = "has the wrong sign" if np.isclose(factor, -1) else f"is {factor:.4g} times what it should be"
        raise Wrong(f"{name} {sign} everywhere: {reference} says so")
    raise Wrong(f"{name} is not right{_distance(name, given, right, reference)}")


def _same(a: Array, b: Array, rtol: float) -> bool:
    """Return whether two arrays are equal but for a share of the largest number of the second."""
    if a.shape != b.shape:
        return False
    scale = float(np.max(np.abs(b), initial=0.0)) or 1.0
    return bool(np.all(np.abs(a - b) <= rtol * scale))


def _distance(name: str, given: Array, right: Array, reference: str) -> str:
    """Return where and how far an answer is from the reference, or nothing if the shapes differ."""
    if given.shape != right.shape:
        return f" ({name} has shape {given.shape} where {right.shape} is meant)"
    if given.ndim == 0:
        return f" (yours is {float(given):.4g}; {reference}: {float(right):.4g})"
    at = np.unravel_index(np.argmax(np.abs(given - right)), right.shape)
    place = ", ".join(str(int(k)) for k in at)
    return f" ({name}[{place}] is {given[at]:.4g}, {reference} says {right[at]:.4g})"


def blank(value: object) -> bool:
    """Return whether a value is what a stub holds."""
    return value is None or value is ...


def brief(value: object) -> str:
    """Return an object in a few words."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def prediction(guess: Any, measured: float, what: str) -> None:
    """Print what was measured beside what a student had predicted.

    Parameters
    ----------
    guess : float or None
        None, or ``...``, if nothing was written down.
    measured : float
    what : str
        Name of the number.
    """
    print(f"{what}: measured {measured:.3g}", end="; ")
    if blank(guess):
        print("you wrote down no prediction")
    elif isinstance(guess, bool) or not isinstance(guess, int | float):
        print(f"a prediction is one number, yours is {brief(guess)}")
    elif guess == measured or not guess * measured > 0:
        print(f"you predicted {guess:.3g}, a difference of {abs(guess - measured):.3g}")
    else:
        ratio = max(guess / measured, measured / guess)
        print(f"you predicted {guess:.3g}, {ratio:.3g} times too {'much' if abs(guess) > abs(measured) else 'little'}")
