"""What every layer is: a forward, a backward, and the arrays it owns. And how layers are connected: nodes."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from tinynet.arrays import HasArrays, LiveArrays, check_array, float_dtype
from tinynet.errors import InputError, ShapeError
from tinynet.machinery.recording import Recorded
from tinynet.settings import count, generator, whole
from tinynet.typing import Array, DType, Seed


class Layer(Recorded, HasArrays):
    """One step of a network: ``y = forward(x)``, and ``dx = backward(dy)``.

    A layer works alone on arrays, or as part of a `Network`. Arrays are C-ordered ``(batch, features)``.

    Attributes
    ----------
    params : dict of str to ndarray
        What is learned, by name (``weight``, ``bias``, ``gamma``, ``beta``).
    grads : dict of str to ndarray
        The gradient of each parameter, same names and shapes; written by `backward`, not added up.
    state : dict of str to ndarray
        What is kept besides, such as running statistics: no optimizer sees it.
    name : str
        Its kind, and inside a network its kind and number: ``dense_1``.
    """

    kind: ClassVar[str] = "layer"
    many_inputs: ClassVar[bool] = False  # Add and Concat take several arrays

    def __init__(self) -> None:
        self.name = self.kind
        self.params: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}
        self.state: dict[str, Array] = {}
        self.dtype: np.dtype[Any] | None = None  # set when built
        self.features: tuple[int, ...] = ()  # of each input, set when built
        self.saved: tuple[tuple[int, ...], tuple[Any, ...]] | None = None  # by forward: y's shape, and for backward
        self.rng: Any = None  # a Generator, of a layer that draws in training: a stream of its own
        self.buffers: dict[tuple[Any, ...], Array] = {}  # in a network: arrays that are reused from step to step
        self.gradients = self.buffers  # those for d loss / dx; in a chain, two sets serve all layers in turn

    # -- what a kind of layer defines ---------------------------------------------------------------------

    def forward(self, x: Array, *, training: bool = False) -> Array:
        """Return the layer's output for ``x``; with ``training``, keep what `backward` needs.

        Parameters
        ----------
        x : ndarray (batch, features)
            Of the layer's dtype, float32 or float64; left as it is.
        training : bool

        Returns
        -------
        ndarray (batch, output features)

        Raises
        ------
        ShapeError, InputError
            If x has another number of features, or is not float; the error names the layer.
        """
        raise NotImplementedError

    def backward(self, dy: Array) -> Array:
        """Return d loss / dx from ``dy`` = d loss / dy of the last training forward; write ``grads``.

        Parameters
        ----------
        dy : ndarray (batch, output features)

        Returns
        -------
        ndarray (batch, features)

        Raises
        ------
        InputError, ShapeError
            If there was no training forward, or dy has not its output's shape; the error names the layer.
        """
        raise NotImplementedError

    def parameter_gradients(self, dy: Array) -> None:
        """Write ``grads`` only: what a network needs of a layer that reads the data itself."""
        self.backward(dy)

    def output_features(self, *features: int) -> int:
        """Return the number of output features for inputs of so many; raise ShapeError if they do not fit."""
        return features[0]

    def shapes(self, *features: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of each array that `create` makes: by it a file is checked before anything is made."""
        return {}

    def create(self, rng: np.random.Generator) -> None:
        """Make the arrays, given ``self.features``; a layer without any needs nothing."""

    # -- what all kinds share -----------------------------------------------------------------------------

    def build(self, *features: int, seed: Seed = 0, dtype: DType = "float32") -> Self:
        """Create parameters and state for inputs of so many features.

        Parameters
        ----------
        *features : int
            Features of each input: one number, but for `Add` and `Concat`.
        seed : int or numpy.random.Generator
            From which the weights are drawn.
        dtype : "float32" or "float64"

        Raises
        ------
        ShapeError
            If the layer does not take such inputs.
        """
        if self.recorder.in_network:
            raise InputError(f"{self.name}: is in a network, whose arrays stay; build a copy()")
        features = tuple(count(f"{self.name}: features", width) for width in features)
        self.output_features(*features)
        vars(self).update(features=features, dtype=float_dtype(dtype), params={}, state={})
        self.create(generator(seed))
        grads = {name: np.zeros_like(value) for name, value in self.params.items()}
        vars(self).update(params=LiveArrays(self.params), state=LiveArrays(self.state), grads=LiveArrays(grads))
        return self

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, each kept under its own name."""
        return {name: getattr(self, name) for name in list(inspect.signature(type(self)).parameters)}

    def copy(self) -> Self:
        """Return an independent layer with the same arrays, outside any network.

        Raises
        ------
        InputError
            If a method was assigned to the layer: it would be the copy's too, and work on this one.
        """
        if own := [name for name in list(vars(self)) if callable(getattr(type(self), name, None))]:
            raise InputError(f"{self.name}: its own {own[0]} works on it, not on a copy; define it in a subclass")
        other = copy.copy(self)
        live = {role: getattr(self, role) for role in ("params", "grads", "state")}
        live = {role: type(arrays)({name: a.copy() for name, a in arrays.items()}) for role, arrays in live.items()}
        buffers: dict[Any, Array] = {}
        vars(other).update(live, name=self.kind, rng=copy.deepcopy(self.rng), saved=None)
        vars(other).pop("recorder", None)
        vars(other).update(buffers=buffers, gradients=buffers)
        return other

    def call(self, kernel: Callable[..., None], *arguments: Any) -> None:
        """Call a kernel; if the network is recording, note the call."""
        self.recorder.note(kernel, arguments)
        kernel(*arguments)

    def checked(self, x: Array) -> Array:
        """Return ``x`` if it fits; build the layer for it if it is new and alone; else say what is wrong."""
        if self.dtype is None:
            x = check_array(x, self.name)
            self.build(x.shape[1], dtype=x.dtype)
        return check_array(x, self.name, self.features[0], self.dtype)

    def save_for_backward(self, y: Array, *needed: Any) -> None:
        """Save what backward will need of the training forward that returns ``y``."""
        self.recorder.forget_last()  # the network says when its forward is over; else this layer is called alone
        self.saved = y.shape, needed

    def saved_for_backward(self, dy: Array) -> tuple[Any, ...]:
        """Return ``dy``, checked, and what the last training forward saved.

        Raises
        ------
        InputError
            If there was no training forward.
        ShapeError
            If ``dy`` has not the shape of that forward's output.
        """
        if self.saved is None:
            raise InputError(f"{self.name}: backward needs a forward(x, training=True) before it")
        if type(dy) is not np.ndarray or dy.dtype != self.dtype or not dy.flags.c_contiguous:
            dy = check_array(dy, f"{self.name}: backward", dtype=self.dtype)
        shape, needed = self.saved
        if dy.shape != shape:
            raise ShapeError(f"{self.name}: backward expects dy of the output's shape {shape}, got {dy.shape}")
        return dy, *needed

    def empty(self, role: str, shape: tuple[int, ...], *, reuse: bool = True) -> Array:
        """Return an array to write into: a new one, or inside a network the same one at every step."""
        if not (self.recorder.in_network and reuse):
            return np.empty(shape, self.dtype)
        buffers = self.gradients if role == "dx" else self.buffers
        if (role, shape) not in buffers:
            buffers[role, shape] = np.empty(shape, self.dtype)
        return buffers[role, shape]

    def unshared(self, y: Array) -> Array:
        """Return y inside a network, else a copy of it: alone, y is the caller's, who may write into it."""
        return y if self.recorder.in_network else y.copy()

    def __call__(self, *nodes: Node) -> Node:
        """Connect this layer to the outputs of others, in a graph; raise InputError for what is no node."""
        for node in nodes:
            if not isinstance(node, Node):
                raise InputError(
                    f"{self.name}: a layer is called on tn.Input(...) or another layer's node; "
                    "to apply it to an array use .forward(x, training=...)"
                )
        if not nodes or (len(nodes) > 1 and not self.many_inputs):
            raise ShapeError(f"{self.name}: takes {'one or more inputs' if self.many_inputs else 'one input'}")
        return Node(self, nodes)

    def __repr__(self) -> str:
        given = {name: getattr(value, "__name__", repr(value)) for name, value in self.config().items()}
        settings = ", ".join(f"{name}={text}" for name, text in given.items())
        return f"{type(self).__name__}({settings})"


@dataclass(frozen=True, eq=False)
class Node:
    """A place in a graph: a layer and the nodes whose outputs it reads. Calling a layer on nodes makes one.

    Attributes
    ----------
    layer : Layer, or None for the input
    parents : tuple of Node
        Whose outputs it reads.
    input_features : int
        Of the data, for the input.
    """

    layer: Layer | None
    parents: tuple[Node, ...] = ()
    input_features: int = 0


def Input(features: int) -> Node:  # noqa: N802 - reads as a layer, as in Keras
    """Return the node where a graph's data comes in, ``features`` numbers an example; ShapeError if below 1."""
    if whole("Input: features", features) < 1:
        raise ShapeError(f"Input: needs at least 1 feature, not {features}")
    return Node(None, (), int(features))
