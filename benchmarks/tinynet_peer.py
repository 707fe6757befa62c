"""tinynet, as a user calls it: the only file here that says how."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr

import numpy as np

import benchmarks.peer
import tinynet as tn
from benchmarks.measure import Run, repeated
from benchmarks.spec import DECAY, EPS, FLOOR, LEARNING_RATE, MOMENTUM, Array, Spec, draw_batches, is_statistic
from tinynet.layers import make_activation
from tinynet.machinery import blas
from tinynet.machinery.replay import Replayer
from tinynet.typing import Call

Product = tuple[Array, Array, Array]
"""a, b and where a b goes."""


class Terminal(io.StringIO):
    """A terminal to draw the progress bar on, since nothing is drawn where no one would see it."""

    def isatty(self) -> bool:
        return True


class Peer(benchmarks.peer.Peer):
    """The step that `tinynet.fit` makes."""

    packages = ("tinynet-lab", "numpy", "numba")
    pipelines = ("fit", "fit, probe and bar", "steps alone")
    how = "`tinynet.mlp`, `SoftmaxCrossEntropy`, `SGD`; the whole epoch is `tinynet.fit`"

    def __init__(self, spec: Spec, weights: Mapping[str, Array]) -> None:
        self.spec = spec
        self.net = tn.mlp(
            spec.inputs, spec.hidden, spec.outputs, activation=spec.activation,
            norm="batch" if spec.batch_norm else None, dtype=weights["dense_1.weight"].dtype,
        )  # fmt: skip
        for name, value in weights.items():
            (self.net.state if is_statistic(name) else self.net.params)[name] = value
        self.gradient = np.empty((spec.batch, spec.outputs), self.net.dtype)
        self.loss, self.optimizer = tn.SoftmaxCrossEntropy(), tn.SGD(LEARNING_RATE, momentum=MOMENTUM)

    def step(self, x: Array, y: Array) -> float:
        loss = self.loss.write(self.net.forward(x, training=True), y, self.gradient)
        self.net.backward(self.gradient, input_gradient=False)
        self.optimizer.step(self.net.params, self.net.grads)
        return loss

    def checked_step(self, x: Array, y: Array) -> tuple[float, dict[str, Array]]:
        loss = self.step(x, y)
        return loss, {name: value.copy() for name, value in self.net.grads.items()}

    def arrays(self) -> dict[str, Array]:
        return {**self.net.params, **self.net.state}

    def predict(self, x: Array) -> Array:
        return self.net.forward(x)

    def folded(self) -> dict[str, Array]:
        """Return the weights of the plain network that computes the same predictions."""
        return dict(self.net.fold().params)

    def epoch(self, x: Array, y: Array, pipeline: str) -> None:
        batch = self.spec.batch
        if pipeline == "steps alone":  # as many, on one batch: what fit cannot be faster than
            for _ in range(0, len(x), batch):
                self.step(x[:batch], y[:batch])
            return
        watched = pipeline == "fit, probe and bar"
        with redirect_stderr(Terminal()):
            tn.fit(
                self.net, self.data(x, y), loss=self.loss, optimizer=self.optimizer, epochs=1, batch_size=batch,
                callbacks=[tn.Probe()] if watched else [], progress=watched,
            )  # fmt: skip

    def data(self, x: Array, y: Array) -> tn.Dataset:
        """Return the data set, made and checked once for all epochs, as a user does."""
        if not hasattr(self, "_data"):
            self._data = tn.Dataset(x, y)
        return self._data


def normalized(x: Array, dy: Array, activation: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return batch norm with an activation over ``x``: forward in training, and forward with backward."""
    layers = [tn.BatchNorm(decay=DECAY, eps=EPS), make_activation(activation)]
    net = tn.Sequential(layers, inputs=x.shape[1], dtype=x.dtype)
    own = net.input_array(len(x))  # where `fit` puts its batches
    own[...] = x

    def forward() -> object:
        return net.forward(own, training=True)

    def both() -> object:
        net.forward(own, training=True)
        return net.backward(dy)

    return forward, both


def kernels_of_a_step(spec: Spec, weights: Mapping[str, Array]) -> dict[str, tuple[Run, int]]:
    """Return, for each kernel of a training step, a run of all its calls in the step, and how many they are."""
    peer, (x, y) = Peer(spec, weights), draw_batches(spec, 1)[0]
    peer.step(x, y)
    ((forward,),) = peer.net._passes.recorder.recordings.training.values()
    (backward,) = forward.backward[False]
    calls = [*forward.calls, *backward.calls, *peer.optimizer._updates.recording.calls]
    peer.optimizer.rates[0] = 0.0  # or the weights run away, and sigmoids give denormal numbers, which are slow
    by_kernel: dict[Callable[..., None], list[Call]] = {}
    for call in calls:
        by_kernel.setdefault(call[0], []).append(call)
    found = {name_of(kernel): (repeated(Replayer(some).replay), len(some)) for kernel, some in by_kernel.items()}
    outputs = peer.net.forward(x, training=True)  # the loss gives a number, so Python calls it
    found["loss"] = repeated(lambda: peer.loss.write(outputs, y, peer.gradient)), 1
    return found


def name_of(kernel: Callable[..., None]) -> str:
    """Return a kernel's name as a reader of the package knows it."""
    return FLOOR if kernel is blas.matmul else f"{kernel.__module__.rpartition('.')[2]}.{kernel.__name__}"


def products(spec: Spec, dtype: str = "float32") -> Callable[[], None]:
    """Return the matrix products of one training step and nothing else: the floor under any implementation.

    Forward x W, and backward x^T dy and, but for the first layer, dy W^T; the same BLAS, shapes and dtype. Each layer
    has arrays of its own, as in training, so that nothing is in the cache that would not be there.
    """
    rng = np.random.default_rng(0)
    calls: list[Product] = []
    backward: list[Product] = []
    x = rng.random((spec.batch, spec.inputs)).astype(dtype)
    for k, (inputs, units) in enumerate(zip(spec.units[:-1], spec.units[1:], strict=True)):
        weight = rng.normal(0, 1 / np.sqrt(inputs), (inputs, units)).astype(dtype)
        y, dy = rng.random((spec.batch, units)).astype(dtype), rng.random((spec.batch, units)).astype(dtype)
        calls.append((x, weight, y))
        backward.append((x.T, dy, np.empty_like(weight)))
        if k > 0:
            backward.append((dy, weight.T, np.empty_like(x)))
        x = y
    return replayed([*calls, *reversed(backward)]).replay


def layer_products(batch: int, inputs: int, units: int) -> tuple[Run, Run] | None:
    """Return a dense layer's three products on one thread and on all; None if BLAS cannot be told."""
    library = blas.library()
    if library is None or library.threads == 1:
        return None
    rng = np.random.default_rng(0)
    x, weight, y = (rng.random(shape, "float32") for shape in ((batch, inputs), (inputs, units), (batch, units)))
    products = [(x, weight, y), (x.T, y.copy(), np.empty_like(weight)), (y.copy(), weight.T, np.empty_like(x))]

    calls = [blas.gemm_arguments(*product) for product in products]

    def on(threads: int) -> Run:
        def run(repetitions: int) -> None:
            library.set_threads(threads)
            for _ in range(repetitions):
                for arguments in calls:
                    library.gemm["float32"](*arguments)
            library.set_threads(library.threads)
            assert products  # whose arrays the arguments point to

        return run

    return on(1), on(library.threads)


def replayed(products: Sequence[Product]) -> Replayer:
    """Return the products as tinynet makes them: called one after the other in compiled code."""
    return Replayer([(blas.matmul, product) for product in products])
