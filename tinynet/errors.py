"""Errors about wrong input: each is one sentence that says what is wrong, where, and what to do."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """The input cannot be used; the base class of the errors below."""


class ShapeError(InputError):
    """An array, or a layer in a graph, does not fit its place."""


class DataError(InputError):
    """A data set cannot be used: empty, not finite, or with labels out of range."""


class FileFormatError(InputError):
    """A file is not what it should be: truncated, mislabelled or of another kind."""


def unknown_name(kind: str, name: object, known: Iterable[str]) -> InputError:
    """Return the error for an unknown name, which suggests the nearest known one."""
    names = list(known)
    asked = str(name).lower()
    near = difflib.get_close_matches(asked, names, n=1) or [n for n in names if asked and n.startswith(asked)]
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
    return InputError(f"unknown {kind} {str(name)!r}; {hint}")
