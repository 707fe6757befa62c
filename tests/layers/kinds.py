"""Every kind of layer, found in `tinynet.layers`, with settings to try it with: by these a new kind is tested too."""

import inspect
from functools import partial
from typing import Any

from tinynet.layers import LAYERS, Layer

NEEDED: dict[str, dict[str, Any]] = {"Dense": {"units": 5}}  # arguments without a default, or that cannot be 0.3


def make(kind: str, **settings: Any) -> Layer:
    """Return a new layer of a kind."""
    return LAYERS[kind](**NEEDED.get(kind, {}), **settings)


def others(kind: str) -> dict[str, Any]:
    """Return settings that are not the defaults: 0.3 for each number, and the other of true and false."""
    arguments = inspect.signature(LAYERS[kind]).parameters.items()
    defaults = {name: argument.default for name, argument in arguments if name not in NEEDED.get(kind, {})}
    numbers = {name: 0.3 for name, default in defaults.items() if type(default) is float}
    return numbers | {name: not default for name, default in defaults.items() if type(default) is bool}


MAKERS: dict[str, partial[Layer]] = {
    repr(make(kind, **settings)): partial(make, kind, **settings) for kind in LAYERS for settings in ({}, others(kind))
}
"""What makes each of them, with its defaults and with other settings, by its repr."""
