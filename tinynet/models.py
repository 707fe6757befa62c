"""Ready-made graphs."""

from collections.abc import Sequence
from typing import Literal

from tinynet.errors import unknown_name
from tinynet.layers import BatchNorm, Dense, Dropout, Layer, LayerNorm, make_activation
from tinynet.network import Sequential
from tinynet.typing import DType, Seed

SUITED = {"sigmoid": "glorot_normal", "tanh": "glorot_normal", "selu": "lecun_normal"}  # others: he_normal


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
    """
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
    return Sequential(layers, inputs=inputs, seed=seed, dtype=dtype)
