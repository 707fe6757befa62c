"""Ready-made networks: the multi-layer perceptron."""

import itertools
import os
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from tinynet.errors import InputError, unknown_name
from tinynet.initializers import Initializer
from tinynet.layers import ACTIVATIONS, BatchNorm, Dense, Dropout, Layer, LayerNorm, make_activation
from tinynet.network import Sequential
from tinynet.settings import whole
from tinynet.typing import DType, Seed

NORMS: dict[str, type[Layer]] = {"batch": BatchNorm, "layer": LayerNorm}
BY_CLASS = {layer.__name__.lower(): kind for kind, layer in ACTIVATIONS.items()}  # "leakyrelu"
NOT_HERE = {"silu": "gelu", "swish": "gelu", "mish": "gelu"}  # an activation that is missing: the nearest one

SUITED = {"sigmoid": "glorot_normal", "tanh": "glorot_normal", "selu": "lecun_normal"}  # others: he_normal
DEEPEST = 100_000  # hidden layers: they take half a minute to build, and nobody trains as many


def mlp(
    inputs: int,
    hidden: Iterable[int] | int,
    outputs: int,
    *,
    activation: str | Layer | type[Layer] = "relu",
    norm: Literal["batch", "layer"] | Layer | type[Layer] | None = None,
    init: str | Initializer | None = None,
    dropout: float = 0.0,
    seed: Seed = 0,
    dtype: DType = "float32",
) -> Sequential:
    """Return a multi-layer perceptron: each hidden layer is Dense, normalization, activation; the last is Dense.

    Parameters
    ----------
    inputs, outputs : int
        Number of features and of outputs (classes).
    hidden : iterable of int, or int
        Units of each hidden layer; a single number makes one hidden layer.
    activation : str, or layer
        ``"sigmoid"``, ``"tanh"``, ``"relu"``, ``"leaky_relu"``, ``"elu"``, ``"selu"`` or ``"gelu"``; or a layer, such
        as ``tn.LeakyReLU(0.2)``: each hidden layer gets a new one with the same settings.
    norm : {"batch", "layer", None}, or layer
        Normalization before each activation. A Dense before batch normalization has no bias, since beta does the same.
    init : str or callable, optional
        Initializer of every weight (see `tinynet.initializers`); by default it suits the activation: He for the ReLU
        family, LeCun for SELU, Glorot for sigmoid, tanh and the last layer (all normal).
    dropout : float
        Rate of `Dropout` after each activation.
    seed, dtype
        As for `Network`.

    Returns
    -------
    Sequential
        From x (batch, inputs) to logits (batch, outputs).

    Raises
    ------
    InputError
        If an argument is not as above, or the weights would not fit into this machine's memory; none is made then.

    Examples
    --------
    >>> import tinynet as tn
    >>> net = tn.mlp(784, [100] * 10, 10, activation="sigmoid", norm="batch", seed=0)
    >>> list(net.layers)[:4], sum(p.size for p in net.params.values())
    (['dense_1', 'batch_norm_1', 'sigmoid_1', 'dense_2'], 171410)
    """
    inputs, outputs, units = whole("mlp: inputs", inputs), whole("mlp: outputs", outputs), _units(hidden)
    _activation(activation), _normalization(norm)  # checked here, since there may be no hidden layer
    rate = 0.0 if dropout is None else Dropout(dropout).rate
    layers: list[Layer] = []
    for width in units:
        activate, normalize = _activation(activation), _normalization(norm)
        suited = SUITED.get(activate.kind, "he_normal") if init is None else init
        layers.append(Dense(width, bias=not isinstance(normalize, BatchNorm), init=suited))
        if normalize is not None:
            layers.append(normalize)
        layers.append(activate)
        if rate:
            layers.append(Dropout(rate))
    layers.append(Dense(outputs, init="glorot_normal" if init is None else init))
    _check_memory([inputs, *units, outputs])
    return Sequential(layers, inputs=inputs, seed=seed, dtype=dtype)


def _units(hidden: Any) -> list[int]:
    """Return the units of each hidden layer."""
    try:
        units = [hidden] if isinstance(hidden, str) else list(hidden)
    except TypeError:  # a number
        units = [hidden]
    if len(units) > DEEPEST:
        raise InputError(f"mlp: at most {DEEPEST:,} hidden layers can be built, not {len(units):,}")
    return [whole("mlp: hidden", width) for width in units]


def _activation(given: Any) -> Layer:
    """Return a new activation layer."""
    if isinstance(given, str):
        name = given.lower()
        if name in NOT_HERE:
            raise InputError(f"activation {given!r}: tinynet has none; the nearest is {NOT_HERE[name]!r}")
        return make_activation(name if name in ACTIVATIONS else BY_CLASS.get(name, given))
    return _another("activation", given) or make_activation(given)


def _normalization(given: Any) -> Layer | None:
    """Return a new normalization layer, None for none."""
    if given is None or given is False:
        return None
    if isinstance(given, str) and given in NORMS:
        return NORMS[given]()
    layer = _another("norm", given)
    if layer is None:
        raise unknown_name("norm (None for none)", given, NORMS)
    return layer


def _another(name: str, given: Any) -> Layer | None:
    """Return a new layer: like the given one, or of the given class; None if ``given`` is neither."""
    if isinstance(given, Layer):
        return type(given)(**given.config())
    if not (isinstance(given, type) and issubclass(given, Layer)):
        return None
    try:
        return given()
    except TypeError:
        raise InputError(f"{name}: {given.__name__} needs its settings; give {given.__name__}(...)") from None


def _check_memory(units: Sequence[int]) -> None:
    """Raise InputError if the weights between layers of these ``units``, in float32, exceed the machine's memory.

    Linux and macOS promise more memory than there is, and kill a process that uses it, without an error.
    """
    if not hasattr(os, "sysconf"):  # Windows promises no more than it has: NumPy raises MemoryError
        return
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    weights = sum(a * b for a, b in itertools.pairwise(units))
    if 4 * weights > memory:
        raise InputError(
            f"mlp: {len(units) - 1:,} layers with {weights:.3g} weights would take {4 * weights / 2**30:,.0f} GiB, "
            f"and this machine has {memory / 2**30:,.0f}; give fewer or narrower layers"
        )
