"""How a check speaks: not done yet, right, or what is wrong; and how it calls a student's function."""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


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
                with np.errstate(all="ignore"):
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
        If it cannot be called so, raises an exception, or changes an array that it was given.
    NotDone
        If it comes to a value that is still ``...`` or None.
    """
    if blank(function):
        raise NotDone("give the check your function")
    if not callable(function):
        raise Wrong(f"the check takes your function itself, not {described(function)}")
    _check_arguments(function, list(arguments))
    given = {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in arguments.items()}
    try:
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
        raise Wrong(
            f"your function stopped{where} with {type(error).__name__}: {error}{_hint(error, given)}"
        ) from None
    for name, value in arguments.items():
        if isinstance(value, np.ndarray) and not np.array_equal(value, given[name], equal_nan=value.dtype.kind == "f"):
            raise Wrong(
                f"your function leaves {name} changed; what it is given belongs to the caller: "
                f"work on a copy, {name}.copy(), or put back what you moved"
            )
    return result


def _check_arguments(function: Any, names: list[str]) -> None:
    """Raise if a function does not take the arguments that it was written with, or takes them in another order."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some of NumPy's functions have none
        return
    meant = ", ".join(names)
    own = list(signature.parameters)
    if own != names and sorted(own) == sorted(names):
        raise Wrong(f"the arguments of your function have changed places: they come as ({meant})")
    try:
        signature.bind(*names)
    except TypeError:
        raise Wrong(
            f"your function takes ({', '.join(own)}), it is given ({meant}): leave its first line as it was"
        ) from None


def _hint(error: Exception, given: Mapping[str, Any]) -> str:
    """Return what helps with an error that is usual, such as the shapes or the names that there are."""
    if "Node" in str(error):
        return "; nodes are joined by a layer, tn.Add()(a, b)"
    if "Layer.__init__" in str(error):
        return "; a layer is made first and then called on nodes: tn.ReLU()(a), tn.Add()(a, b)"
    if "not have enough dimensions" in str(error):
        return "; one side of @ is a single number: np.max gives the largest one, np.maximum compares number by number"
    if isinstance(error, ValueError):
        shapes = [f"{name} {value.shape}" for name, value in given.items() if isinstance(value, np.ndarray)]
        return f"; look at the shapes: {', '.join(shapes)}" if shapes else ""
    if isinstance(error, KeyError):
        own = [getattr(value, "params", value) for value in given.values()]
        names = [name for value in own if isinstance(value, dict) for name in value]
        return f"; the names here are {', '.join(names)}" if names else ""
    return ""


def parts(result: Any, *names: str) -> list[Any]:
    """Return the values of an answer that has several; raise if their number is wrong or one is a stub."""
    meant = ", ".join(names)
    if blank(result):
        raise NotDone(f"return {meant}")
    if not isinstance(result, tuple | list) or len(result) != len(names):
        got = f"{len(result)} values" if isinstance(result, tuple | list) else described(result)
        raise Wrong(f"return {len(names)} values, {meant}; yours returned {got}")
    open_ = [name for name, value in zip(names, result, strict=True) if blank(value)]
    if open_:
        raise NotDone(f"fill in {', '.join(open_)}")
    return list(result)


def blank(value: object) -> bool:
    """Return whether a value is what a stub holds."""
    return value is None or value is ...


def described(value: object) -> str:
    """Return an object in a few words."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, list | tuple) and any(isinstance(part, np.ndarray) for part in value):
        return f"a {type(value).__name__} of {', '.join(map(described, value))}"
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
        print(f"a prediction is one number, yours is {described(guess)}")
    elif guess == measured or not guess * measured > 0:
        print(f"you predicted {guess:.3g}, a difference of {abs(guess - measured):.3g}")
    else:
        ratio = max(guess / measured, measured / guess)
        print(f"you predicted {guess:.3g}, {ratio:.3g} times too {'much' if abs(guess) > abs(measured) else 'little'}")
