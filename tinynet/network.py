"""The layer graph: connected, ordered, checked; run forward and, in reverse, backward."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, overload

from tinynet import graph, inference, kernels, text
from tinynet.arrays import HasArrays, LiveArrays, check_array, float_dtype
from tinynet.errors import FileFormatError, InputError, ShapeError
from tinynet.io import network_file, pytorch
from tinynet.layers import Input, Layer, Node
from tinynet.machinery.recording import Passes
from tinynet.settings import generator
from tinynet.typing import Array, DType, Seed

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Network(HasArrays):
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
        The layers' own arrays under names such as ``dense_1.weight``; see `Layer`. An assignment, of one or of all of
        them, copies the values.
    layers : mapping of str to Layer
        The layers by name, in the order in which they run; none can be exchanged.

    Raises
    ------
    ShapeError
        If a layer does not fit its inputs; it names the layer.
    InputError
        If the nodes are no graph from one input to one output, or a layer is connected twice.

    Examples
    --------
    >>> import tinynet as tn
    >>> x = tn.Input(4)
    >>> h = tn.ReLU()(tn.Dense(8)(x))
    >>> net = tn.Network(x, tn.Dense(3)(tn.Add()(h, tn.Dense(8)(h))), seed=0)
    >>> list(net.layers)
    ['dense_1', 'relu_1', 'dense_2', 'add_1', 'dense_3']
    """

    def __init__(self, inputs: Node, outputs: Node, *, seed: Seed = 0, dtype: DType = "float32") -> None:
        self.dtype = float_dtype(dtype)
        self.nodes = graph.in_order(inputs, outputs)
        self.inputs = inputs.input_features
        position = {node: k for k, node in enumerate(self.nodes)}
        self._plan: list[tuple[Layer, tuple[int, ...]]] = []
        self._layers: dict[str, Layer] = {}

        # Names and shapes of the whole graph first: if a layer does not fit, no other is touched.
        features, count = [self.inputs], Counter[str]()
        for node in self.nodes[1:]:
            layer, parents = node.layer, node.parents
            assert layer is not None
            if layer.recorder.in_network:
                raise InputError(f"{layer.name} is in a network already; make a new layer, or a copy()")
            count[layer.kind] += 1
            layer.name = f"{layer.kind}_{count[layer.kind]}"
            sources = tuple(position[parent] for parent in parents)
            widths = tuple(features[source] for source in sources)
            if layer.dtype is not None and (layer.features, layer.dtype) != (widths, self.dtype):
                raise ShapeError(
                    f"{layer.name}: was built for {layer.features} features of {layer.dtype}, "
                    f"gets {widths} of {self.dtype}"
                )
            features.append(layer.output_features(*widths))
            self._layers[layer.name] = layer
            self._plan.append((layer, sources))

        rng = generator(seed)
        for layer, sources in self._plan:
            if layer.dtype is None:
                layer.build(*(features[source] for source in sources), seed=rng, dtype=self.dtype)
        # In a chain nobody reads a layer's dx once the layer before it has turned it into its own: two arrays, which
        # stay in the processor's cache, are enough for all.
        if all(sources == (k,) for k, (_, sources) in enumerate(self._plan)):
            turns: tuple[dict[Any, Array], dict[Any, Array]] = {}, {}
            for k, layer in enumerate(self.layers.values()):
                layer.gradients = turns[k % 2]
        self._passes = Passes(list(self.layers.values()), features, self.dtype)
        self._values: list[Array] = []  # every node's output in the last training forward, the batch first
        self.outputs = features[-1]
        self.params, self.grads, self.state = (self._named(role) for role in ("params", "grads", "state"))

    def _named(self, role: str) -> LiveArrays:
        return LiveArrays(
            {f"{name}.{key}": a for name, layer in self.layers.items() for key, a in getattr(layer, role).items()}
        )

    @property
    def layers(self) -> Mapping[str, Layer]:  # noqa: D102 - see the class
        return MappingProxyType(self._layers)

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
        x = check_array(x, "input", self.inputs, self.dtype)
        return self._training_forward(x).copy() if training else self._predict(x)

    @overload
    def backward(self, dy: Array) -> Array: ...

    @overload
    def backward(self, dy: Array, *, input_gradient: bool) -> Array | None: ...

    def backward(self, dy: Array, *, input_gradient: bool = True) -> Array | None:
        """Return d loss / dx, (batch, inputs), and write ``grads``; errors as for `Layer.backward`.

        Parameters
        ----------
        dy : ndarray (batch, outputs)
            d loss / d output of the last training forward, such as a loss returns it.
        input_gradient : bool
            Without it the product that gives d loss / dx is left out, and None returned: for training.
        """
        dy = self._plan[-1][0].saved_for_backward(dy)[0]
        recording = self._passes.backward(dy, input_gradient)
        if recording.new:
            with self._passes.recorder.record(recording):
                recording.gradient = self._back_through_layers(recording.values[0], input_gradient)
        else:
            recording.replay()
        recording.put_back()
        dx = recording.gradient
        return dx.copy() if input_gradient and dx is not None else None

    # A pass goes through the layers the first time; from then on their kernel calls are replayed.

    def _training_forward(self, x: Array) -> Array:
        """Return the outputs in an array that the next batch of this size is written over."""
        batch = self._passes.batch_with(x)
        recording = self._passes.training(batch)
        if recording.new:
            with self._passes.recorder.record(recording):
                recording.values = self._through_layers(batch, training=True)
        else:
            recording.replay()
        self._values = recording.values
        self._passes.finish_training(recording)
        return self._values[-1]

    def _predict(self, x: Array) -> Array:
        """Return the outputs at test time; in any thread, at any time."""
        recording = self._passes.prediction(x)
        if recording.new:
            assert recording.source is not None
            with self._passes.recorder.record(recording):
                recording.values = self._through_layers(recording.source, training=False)[-1:]
        else:
            recording.replay(x)
        y = recording.values[0].copy()
        recording.put_back()
        return y

    def _through_layers(self, x: Array, training: bool) -> list[Array]:
        """Return every node's output: each layer reads the outputs of those before it."""
        values = [x]
        for layer, sources in self._plan:
            values.append(layer.forward(*[values[source] for source in sources], training=training))
        return values

    def _back_through_layers(self, dy: Array, input_gradient: bool) -> Array | None:
        """Return d loss / d input: in reverse order, each layer turns the gradient of its output into its inputs'."""
        dvalues: list[Array | None] = [None] * len(self.nodes)
        dvalues[-1] = dy
        for k in range(len(self._plan), 0, -1):
            layer, sources = self._plan[k - 1]
            d = dvalues[k]
            assert d is not None
            if sources == (0,) and not input_gradient and layer.replayable and "backward" not in vars(layer):
                layer.parameter_gradients(d)
                continue
            dxs: Any = layer.backward(d)
            for source, dx in zip(sources, dxs if layer.many_inputs else (dxs,), strict=True):
                known = dvalues[source]
                if known is not None:  # where the graph branches, gradients add up
                    total = layer.empty(f"sum_{source}", dx.shape)
                    layer.call(kernels.merge.add, known, dx, total)
                    dx = total
                dvalues[source] = dx
        return dvalues[0]

    def input_array(self, rows: int) -> Array:
        """Return an array for a batch of so many rows: `forward` in training copies any other into it first."""
        return self._passes.batch(rows)

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

        Raises
        ------
        InputError, ShapeError, DataError
            If the method, the batch size or x cannot be used; x needs two examples.
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
        """Write architecture, parameters and state to a safetensors file, whole or not at all.

        Raises
        ------
        InputError
            If a layer is not tinynet's own: a file could not name it. If a running mean is not finite, or a running
            variance not finite or below 0: `load` would refuse it, and `calibrate` mends it.
        """
        network_file.save(path, self.nodes, {**self.params, **self.state}, self.dtype)

    @classmethod
    def load(cls, path: str | Path) -> Network:
        """Return the network that `save` wrote.

        Raises
        ------
        FileFormatError
            If the file is not one that `save` writes; it names the file and the reason.
        InputError
            If there is no such file.
        """
        inputs, outputs, dtype, arrays = network_file.read(path)
        try:
            net = Network(inputs, outputs, dtype=dtype)
        except (ValueError, MemoryError) as error:  # InputError is a ValueError, NumPy's for impossible sizes too
            raise FileFormatError(f"{path}: its architecture cannot be built ({error})") from None
        network_file.fill(path, {**net.params, **net.state}, arrays)
        return net

    def to_torch_state(self, path: str | Path | None = None) -> dict[str, Array]:
        """Return copies of the arrays under PyTorch's names and in its layout; see `tinynet.io.pytorch`.

        Parameters
        ----------
        path : path, optional
            A safetensors file to write them to: in PyTorch
            ``model.load_state_dict(safetensors.torch.load_file(path))``. `tinynet.torch_sequential` gives the model.

        Raises
        ------
        InputError
            If the network is not a chain of layers that PyTorch has.
        """
        return pytorch.to_torch_state(self, path)

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
        return text.network(self.describe(), str(self.dtype))

    def summary(self) -> None:
        """Print a table of the layers: what each reads, its outputs, its parameters."""
        print(self)

    def _repr_html_(self) -> str:
        from tinynet.plots import notebook

        return notebook.network_html(type(self).__name__, self.describe(), str(self.dtype))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the layer graph with matplotlib and return the axes."""
        from tinynet import plots

        return plots.draw_graph(self.describe(), ax=ax)


class Sequential(Network):
    """A chain of layers: the simplest graph.

    Parameters
    ----------
    layers : iterable of Layer
        In the order in which they run; they may also be given one by one.
    inputs : int
        Number of features of the data.
    seed, dtype
        As for `Network`, and so are attributes and errors.
    """

    def __init__(
        self, layers: Iterable[Layer] | Layer, *more: Layer, inputs: int, seed: Seed = 0, dtype: DType = "float32"
    ) -> None:
        first = node = Input(inputs)
        for layer in [*(layers if isinstance(layers, Iterable) else (layers,)), *more]:
            if not isinstance(layer, Layer):
                hint = f"; give {layer.__name__}(...)" if isinstance(layer, type) else ""
                raise InputError(f"Sequential: {layer!r} is not a layer{hint}")
            node = layer(node)
        super().__init__(first, node, seed=seed, dtype=dtype)
