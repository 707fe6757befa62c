"""tinynet, as a user calls it: the only file here that says how."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import replace
from unittest import mock

import numpy as np

import tinynet as tn
from benchmarks import peers
from benchmarks.measure import ALL, ONE, PRODUCTS, Run, repeated
from benchmarks.spec import DECAY, EPS, LEARNING_RATE, MOMENTUM, Array, Spec, draw_batches, is_statistic
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


class Peer(peers.Peer):
    """The step that `tinynet.fit` makes."""

    packages = ("tinynet-lab", "numpy", "numba")
    pipelines = ("fit", "fit, probe and bar", "steps alone")

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
    return PRODUCTS if kernel is blas.matmul else f"{kernel.__module__.rpartition('.')[2]}.{kernel.__name__}"


def products(spec: Spec, training: bool = True) -> list[Product]:
    """Return the matrix products of one training step, or of one prediction.

    Forward x W, and backward x^T dy and, but for the first layer, dy W^T; the same shapes and dtype. Each layer has
    arrays of its own, as in training, so that nothing is in the cache that would not be there.
    """
    rng = np.random.default_rng(0)
    forward: list[Product] = []
    backward: list[Product] = []
    x = rng.random((spec.batch, spec.inputs), "float32")
    for k, (inputs, units) in enumerate(zip(spec.units[:-1], spec.units[1:], strict=True)):
        weight = rng.normal(0, 1 / np.sqrt(inputs), (inputs, units)).astype("float32")
        y, dy = (rng.random((spec.batch, units), "float32") for _ in range(2))
        forward.append((x, weight, y))
        backward.append((x.T, dy, np.empty_like(weight)))
        if k > 0:
            backward.append((dy, weight.T, np.empty_like(x)))
        x = y
    return [*forward, *reversed(backward)] if training else forward


def on_threads(products: Sequence[Product]) -> dict[str, Run]:
    """Return a run of products on one thread, and one on all; if their number is not to be chosen, one as it is.

    Compiled code makes the calls one after the other, as in a step of tinynet; none is cut into parts.
    """
    replayer, library = Replayer([(blas.multiply, (*product, 0.0)) for product in products]), blas.library()
    if library is None or library.threads == 1:
        return {"threads as they are": repeated(replayer.replay)}
    # prepared as if somebody had chosen the number of threads, a replay leaves it as it is
    with mock.patch.object(blas, "library", return_value=replace(library, threads=1)):
        replayer.replay()

    def on(threads: int) -> Run:
        def run(repetitions: int) -> None:
            library.set_threads(threads)
            repeated(replayer.replay)(repetitions)
            library.set_threads(library.threads)

        return run

    return {ONE: on(1), ALL: on(library.threads)}


def limit(spec: Spec, training: bool = True, times: int = 1) -> dict[str, Run]:
    """Return runs of so many times a network's matrix products: no implementation can be faster than the fastest."""

    def many(run: Run) -> Run:
        return lambda repetitions: run(times * repetitions)

    runs = on_threads(products(spec, training))
    return {f"{PRODUCTS}, {threads}": many(run) for threads, run in runs.items()}
