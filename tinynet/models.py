"""Ready-made graphs."""

import itertools
import os
from collections.abc import Sequence
from typing import Literal

from tinynet.errors import InputError, unknown_name
from tinynet.layers import BatchNorm, Dense, Dropout, Layer, LayerNorm, make_activation
from tinynet.network import Sequential
from tinynet.typing import DType, Seed

SUITED = {"sigmoid": "glorot_normal", "tanh": "glorot_normal", "selu": "lecun_normal"}  # others: he_normal
DEEPEST = 100_000  # hidden layers: half a minute to build, and far beyond what was ever trained


def mlp(
    inputs: int,
    hidden: Sequence[int],
    outputs: int,
    *,
    activation: str = "relu",
    norm: Literal["batch", "layer"] | None = None,
    init: str | None = None,
    dropout: float = 0.0,
    seed: Seed = 0,
    dtype: DType = "float32",
) -> Sequential:
    """Return a multi-layer perceptron: hidden layers of Dense, normalization, activation; then Dense.

    Parameters
    ----------
    inputs, outputs : int
        Features in, outputs (classes) out.
    hidden : sequence of int
        Units of each hidden layer.
    activation : str
        ``"sigmoid"``, ``"tanh"``, ``"relu"``, ``"leaky_relu"``, ``"elu"``, ``"selu"`` or ``"gelu"``.
    norm : {"batch", "layer", None}
        Normalization just before each activation. Before batch normalization the Dense has no bias: it would be
        redundant.
    init : str, optional
        Initializer of every weight; by default what suits the activation: He for the ReLU family, LeCun for
        SELU, Glorot for sigmoid, tanh and the last layer (all normal).
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
        If something is not as above, or the weights alone would not fit into this machine's memory: before they are
        made.

    Examples
    --------
    >>> import tinynet as tn
    >>> net = tn.mlp(784, [100] * 10, 10, activation="sigmoid", norm="batch", seed=0)
    >>> list(net.layers)[:4], sum(p.size for p in net.params.values())
    (['dense_1', 'batch_norm_1', 'sigmoid_1', 'dense_2'], 171410)
    """
    if len(hidden) > DEEPEST:
        raise InputError(f"mlp: at most {DEEPEST:,} hidden layers can be built, not {len(hidden):,}")
    if norm not in ("batch", "layer", None):
        raise unknown_name("norm (None for none)", norm, ["batch", "layer"])
    layers: list[Layer] = []
    for units in hidden:
        last = make_activation(activation)
        layers.append(Dense(units, bias=norm != "batch", init=init or SUITED.get(activation, "he_normal")))
        if norm is not None:
            layers.append(BatchNorm() if norm == "batch" else LayerNorm())
        layers.append(last)
        if dropout:
            layers.append(Dropout(dropout))
    layers.append(Dense(outputs, init=init or "glorot_normal"))
    _check_memory([inputs, *hidden, outputs])
    return Sequential(layers, inputs=inputs, seed=seed, dtype=dtype)


def _check_memory(units: Sequence[int]) -> None:
    """Raise InputError if weights between so many units, in float32, take more than all memory there is.

    They are made layer by layer, so that a system that lends memory ends the process half way, without a word.
    """
    if not hasattr(os, "sysconf"):  # Windows does not lend: NumPy raises MemoryError
        return
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    weights = sum(a * b for a, b in itertools.pairwise(units))
    if 4 * weights > memory:
        raise InputError(
            f"mlp: {len(units) - 1:,} layers with {weights:.3g} weights would take {4 * weights / 2**30:,.0f} GiB, "
            f"and this machine has {memory / 2**30:,.0f}; give fewer or narrower layers"
        )
