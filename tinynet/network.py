"""The layer graph: connected, ordered, checked; run forward and, in reverse, backward."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tinynet import files, inference
from tinynet.errors import FileFormatError, InputError, ShapeError, unknown_name
from tinynet.layers import LAYERS, BatchNorm, Dense, Input, Layer, LayerNorm, Node, make_activation
from tinynet.layers.dropout import Dropout
from tinynet.layers.base import check_array, float_dtype
from tinynet.typing import Array, DType, Seed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMAT_VERSION = "1"


class LiveArrays(dict[str, Array]):
    """Arrays by name; assigning writes into the array that the layer uses, and no name is added or lost."""

    def __setitem__(self, name: str, value: Array) -> None:
        if name not in self:
            raise unknown_name("array", name, self)
        if np.shape(value) != self[name].shape:
            raise ShapeError(f"{name}: has shape {self[name].shape}, got {np.shape(value)}")
        self[name][...] = value

    def __reduce__(self) -> tuple[Any, ...]:
        return LiveArrays, (dict(self),)


class Network:
    """Layers connected in a graph without cycles, from one input to one output.

    Parameters
    ----------
    inputs : Node
        The graph's `Input`.
    outputs : Node
        The node whose output is the network's.
    seed : int or numpy.random.Generator
        From which weights are drawn, layer by layer; the same seed gives the same `Dense` weights whatever
        normalization, activation or dropout stands between.
    dtype : "float32" or "float64"
        Of every array in the network.

    Attributes
    ----------
    params, grads, state : dict of str to ndarray
        The layers' own arrays under names such as ``dense_1.weight``; see `Layer`.
    layers : dict of str to Layer
        The layers by name, in the order in which they run.

    Raises
    ------
    ShapeError
        If a layer does not fit its inputs; it names the layer.
    """

    def __init__(self, inputs: Node, outputs: Node, *, seed: Seed = 0, dtype: DType = "float32") -> None:
        self.dtype = float_dtype(dtype)
        self.nodes = _in_order(inputs, outputs)
        self.inputs = inputs.input_features
        position = {node: k for k, node in enumerate(self.nodes)}
        self._plan: list[tuple[Layer, tuple[int, ...]]] = []
        self._values: list[Array] = []  # every node's output in the last training forward
        self.layers: dict[str, Layer] = {}

        rng = np.random.default_rng(seed)
        features = [self.inputs]
        for layer, parents in _layers(self.nodes):
            if layer.buffers is not None:
                raise InputError(f"{layer.name} is in a network already; make a new layer, or a copy()")
            number = 1 + sum(other.kind == layer.kind for other in self.layers.values())
            layer.name = f"{layer.kind}_{number}"
            sources = tuple(position[parent] for parent in parents)
            widths = tuple(features[source] for source in sources)
            if layer.dtype is None:
                layer.build(*widths, seed=rng, dtype=self.dtype)
            elif (layer.features, layer.dtype) != (widths, self.dtype):
                raise ShapeError(
                    f"{layer.name}: was built for {layer.features} features of {layer.dtype}, "
                    f"gets {widths} of {self.dtype}"
                )
            features.append(layer.output_features(*widths))
            layer.buffers = {}
            self.layers[layer.name] = layer
            self._plan.append((layer, sources))
        self.outputs = features[-1]
        self.params, self.grads, self.state = (
            LiveArrays({f"{name}.{key}": a for name, layer in self.layers.items() for key, a in role(layer)})
            for role in (lambda la: la.params.items(), lambda la: la.grads.items(), lambda la: la.state.items())
        )

    # -- forward and backward -----------------------------------------------------------------------------

    def forward(self, x: Array, *, training: bool = False) -> Array:
        """Return the network's output for a batch; what is returned is the caller's.

        Parameters
        ----------
        x : ndarray (batch, inputs)
            Left as it is; converted if it is of the other float dtype.
        training : bool
            Normalize by the batch, drop out, and keep what `backward` needs.

        Returns
        -------
        ndarray (batch, outputs)

        Raises
        ------
        ShapeError, InputError
            If x has another number of features, or is not float.
        """
        y = self.run(check_array(x, "input", self.inputs, self.dtype), training)
        return y.copy() if training else y

    def backward(self, dy: Array) -> Array:
        """Return d loss / dx from ``dy`` = d loss / d output of the last training forward; write ``grads``."""
        dx = self.run_backward(dy, input_gradient=True)
        assert dx is not None
        return dx.copy()

    def run(self, x: Array, training: bool) -> Array:
        """As `forward`, for callers that keep nothing: unchecked, and in training the output is reused."""
        values = [x]
        for layer, sources in self._plan:
            values.append(layer.forward(*[values[source] for source in sources], training=training))
        if training:
            self._values = values
        return values[-1]

    def run_backward(self, dy: Array, *, input_gradient: bool = False) -> Array | None:
        """As `backward`; without ``input_gradient`` the gradient of the data, which costs a product, is left out."""
        dvalues: list[Array | None] = [None] * len(self.nodes)
        dvalues[-1] = dy
        for k in range(len(self._plan), 0, -1):
            layer, sources = self._plan[k - 1]
            d = dvalues[k]
            assert d is not None
            if sources == (0,) and not input_gradient:
                layer.parameter_gradients(d)
                continue
            dxs: Any = layer.backward(d)
            for source, dx in zip(sources, dxs if layer.many_inputs else (dxs,), strict=True):
                known = dvalues[source]  # where the graph branches, gradients add up
                dvalues[source] = dx if known is None else known + dx
        return dvalues[0]

    @property
    def values(self) -> dict[str, Array]:
        """Every layer's output in the last training forward, by name: to look at, before the next step."""
        return dict(zip(self.layers, self._values[1:], strict=False))

    def layer_input(self, name: str) -> Array:
        """Return what the named layer read in the last training forward, its first input if it has several."""
        return self._values[self._plan[list(self.layers).index(name)][1][0]]

    # -- what is done to a trained network ----------------------------------------------------------------

    def calibrate(
        self, x: Array, *, method: Literal["population", "minibatch"] = "population", batch_size: int = 60
    ) -> None:
        """Set batch normalization's statistics from training data; no parameter is touched.

        Parameters
        ----------
        x : ndarray (examples, inputs)
            The training set.
        method : {"population", "minibatch"}
            "population": mean and variance (1/n) of each layer's input over all of x, layer by layer, each
            input computed with the layers before it already calibrated. "minibatch": the average of
            mini-batch means and unbiased variances, each layer normalizing by the mini-batch, as Algorithm 2
            of the 2015 paper; a last, short mini-batch is left out.
        batch_size : int
            For "minibatch".
        """
        inference.calibrate(self.nodes, check_array(x, "input", self.inputs, self.dtype), method, batch_size)

    def fold(self) -> Network:
        """Return a new network, the same function at test time, without `BatchNorm` after `Dense`.

        The running statistics, gamma and beta go into the weight and bias of the `Dense` before: a prediction
        costs no more than without normalization. A `BatchNorm` elsewhere stays.
        """
        return Network(*inference.fold(self.nodes), dtype=self.dtype)

    # -- to and from files --------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write architecture, parameters and state to a safetensors file, whole or not at all."""
        for name, layer in self.layers.items():
            if LAYERS.get(type(layer).__name__) is not type(layer):
                raise InputError(f"{name}: a file can only name tinynet's own layers, not {type(layer)}")
        graph = [
            {"layer": type(layer).__name__, "config": layer.config(), "inputs": sources}
            for layer, sources in self._plan
        ]
        metadata = {
            "format": "tinynet",
            "version": FORMAT_VERSION,
            "dtype": str(self.dtype),
            "inputs": str(self.inputs),
            "graph": json.dumps(graph),
        }
        files.write_arrays(path, {**self.params, **self.state}, metadata)

    @classmethod
    def load(cls, path: str | Path) -> Network:
        """Return the network that `save` wrote.

        Raises
        ------
        FileFormatError
            If the file is not one that `save` writes; it names the file and the reason.
        """
        arrays, metadata = files.read_arrays(path)
        if metadata.get("format") != "tinynet" or metadata.get("version") != FORMAT_VERSION:
            raise FileFormatError(f"{path}: not a tinynet network of format version {FORMAT_VERSION}")
        try:
            nodes = [Input(int(metadata["inputs"]))]
            for entry in json.loads(metadata["graph"]):
                layer = LAYERS[entry["layer"]](**entry["config"])
                nodes.append(layer(*(nodes[source] for source in entry["inputs"])))
            net = Network(nodes[0], nodes[-1], dtype=metadata["dtype"])  # type: ignore[arg-type]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise FileFormatError(f"{path}: its architecture cannot be read ({error})") from None
        expected = {**net.params, **net.state}
        if arrays.keys() != expected.keys():
            wrong = sorted(arrays.keys() ^ expected.keys())
            raise FileFormatError(f"{path}: arrays missing or not in the architecture: {', '.join(wrong)}")
        for name, array in arrays.items():
            if (array.shape, array.dtype) != (expected[name].shape, expected[name].dtype):
                raise FileFormatError(f"{path}: {name} is {array.dtype} {array.shape}, which does not fit")
            expected[name][...] = array
        return net

    # -- to look at ---------------------------------------------------------------------------------------

    def describe(self) -> list[tuple[str, str, tuple[str, ...], int, int]]:
        """Return name, settings, names of inputs, output features and number of parameters of every node."""
        names = ["input", *self.layers]
        rows: list[tuple[str, str, tuple[str, ...], int, int]] = [("input", "Input", (), self.inputs, 0)]
        for name, (layer, sources) in zip(self.layers, self._plan, strict=True):
            size = sum(p.size for p in layer.params.values())
            width = layer.output_features(*layer.features)
            rows.append((name, repr(layer), tuple(names[source] for source in sources), width, size))
        return rows

    def __str__(self) -> str:
        cells = [("layer", "settings", "reads", "outputs", "parameters")]
        cells += [(n, s, ", ".join(r), str(w), f"{p:,}") for n, s, r, w, p in self.describe()]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
        rule = "-" * max(len(line.rstrip()) for line in lines)
        total = sum(p.size for p in self.params.values())
        body = [line.rstrip() for line in lines]
        return "\n".join([body[0], rule, *body[1:], rule, f"{total:,} parameters, {self.dtype}"])

    def summary(self) -> None:
        """Print a table of the layers: what each reads, its outputs, its parameters."""
        print(self)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the layer graph with matplotlib and return the axes."""
        from tinynet import plots

        return plots.draw_graph(self.describe(), ax=ax)


class Sequential(Network):
    """A chain of layers: the simplest graph.

    Parameters
    ----------
    layers : iterable of Layer
        In the order in which they run.
    inputs : int
        Number of features of the data.
    seed, dtype
        As for `Network`.
    """

    def __init__(
        self, layers: Iterable[Layer], *, inputs: int, seed: Seed = 0, dtype: DType = "float32"
    ) -> None:
        first = node = Input(inputs)
        for layer in layers:
            if not isinstance(layer, Layer):
                raise InputError(f"Sequential: {layer!r} is not a layer")
            node = layer(node)
        super().__init__(first, node, seed=seed, dtype=dtype)


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
        raise unknown_name("norm", norm, ["batch", "layer", "none"])
    suited = {"sigmoid": "glorot_normal", "tanh": "glorot_normal", "selu": "lecun_normal"}
    layers: list[Layer] = []
    for units in hidden:
        last = make_activation(activation)
        layers.append(Dense(units, bias=norm != "batch", init=init or suited.get(activation, "he_normal")))
        if norm is not None:
            layers.append(BatchNorm() if norm == "batch" else LayerNorm())
        layers.append(last)
        if dropout:
            layers.append(Dropout(dropout))
    layers.append(Dense(outputs, init=init or "glorot_normal"))
    return Sequential(layers, inputs=inputs, seed=seed, dtype=dtype)





def _layers(nodes: Sequence[Node]) -> list[tuple[Layer, tuple[Node, ...]]]:
    return [(node.layer, node.parents) for node in nodes if node.layer is not None]


def _in_order(inputs: Node, outputs: Node) -> list[Node]:
    """Return the nodes that lead to ``outputs``, each after those it reads, the input first."""
    if not isinstance(inputs, Node) or not isinstance(outputs, Node):
        raise InputError("Network: give the tn.Input(...) node and the last layer's node")
    order: list[Node] = []
    done: set[Node] = set()
    stack = [(outputs, False)]
    while stack:
        node, parents_done = stack.pop()
        if node in done:
            continue
        if parents_done:
            done.add(node)
            order.append(node)
        else:
            stack.append((node, True))
            stack.extend((parent, False) for parent in reversed(node.parents))
    if any(node.layer is None and node is not inputs for node in order):
        raise InputError("Network: the output reads an Input other than the one given")
    if inputs not in done or outputs is inputs:
        raise InputError("Network: no layer leads from the input to the output")
    used = [node.layer for node in order if node.layer is not None]
    for layer in used:
        if used.count(layer) > 1:
            raise InputError(f"{layer!r} is connected twice; make a layer for each place")
    order.remove(inputs)
    return [inputs, *order]
