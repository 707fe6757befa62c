"""Batch normalization after training: `calibrate` measures its statistics, `fold` makes it part of other layers.

Both take a graph's nodes in forward order; `Network.calibrate` and `Network.fold` call them.
"""

from collections.abc import Sequence

import numpy as np

from tinynet.errors import DataError, InputError
from tinynet.layers import BatchNorm, Dense, Input, Layer, Node
from tinynet.settings import count
from tinynet.typing import Array

CHUNK = 1000  # rows converted to double at a time


def calibrate(nodes: Sequence[Node], x: Array, method: str, batch_size: int) -> None:
    """Set every `BatchNorm`'s running statistics from ``x``; see `Network.calibrate`."""
    if not isinstance(method, str) or method not in ("population", "minibatch"):
        raise InputError(f"calibrate: method must be 'population' or 'minibatch', not {method!r}")
    if len(x) < 2:
        raise DataError(f"calibrate: needs at least 2 examples, got {len(x)}")
    if method == "population":
        _calibrate_population(nodes, x)
    else:
        _calibrate_minibatch(nodes, x, batch_size)


def _calibrate_population(nodes: Sequence[Node], x: Array) -> None:
    """Send all of x through the layers in order; set each `BatchNorm` before its output is computed."""
    readers_left = {node: sum(node in other.parents for other in nodes) for node in nodes}
    values: dict[Node, Array] = {}
    for node in nodes:
        if node.layer is None:
            values[node] = x
            continue
        inputs = [values[parent] for parent in node.parents]
        if isinstance(node.layer, BatchNorm):
            mean, var = _mean_and_var(inputs[0])
            node.layer.state["running_mean"][:] = mean
            node.layer.state["running_var"][:] = var
        values[node] = node.layer.forward(*inputs, training=False)
        for parent in set(node.parents):
            readers_left[parent] -= 1
            if readers_left[parent] == 0:
                del values[parent]  # a wide layer's outputs for a whole data set are large


def _mean_and_var(x: Array) -> tuple[Array, Array]:
    """Return mean and variance (1/n) of each column, in two passes and float64."""
    chunks = [x[start : start + CHUNK] for start in range(0, len(x), CHUNK)]
    mean = sum(np.sum(chunk, axis=0, dtype=np.float64) for chunk in chunks) / len(x)
    var = sum(np.sum(np.square(chunk - mean), axis=0) for chunk in chunks) / len(x)
    return np.asarray(mean), np.asarray(var)


def _calibrate_minibatch(nodes: Sequence[Node], x: Array, batch_size: int) -> None:
    """Average mu and m/(m - 1) var over mini-batches that are normalized by themselves (2015 paper, Algorithm 2)."""
    m = min(count("calibrate: batch_size", batch_size, 2), len(x))
    # A copy with decay 0 holds the mean and unbiased variance of the last batch alone.
    batch_norms: dict[Node, BatchNorm] = {}
    for node in nodes:
        if isinstance(node.layer, BatchNorm):
            batch_norms[node] = node.layer.copy()
            batch_norms[node].decay = 0.0
    statistics = {
        node: {k: np.zeros(v.shape, np.float64) for k, v in layer.state.items()} for node, layer in batch_norms.items()
    }
    batches = len(x) // m  # all of one size, as in the paper; a short last batch is left out
    for start in range(0, batches * m, m):
        values: dict[Node, Array] = {nodes[0]: x[start : start + m]}
        for node in nodes[1:]:
            layer: Layer | None = batch_norms.get(node, node.layer)
            assert layer is not None
            inputs = [values[parent] for parent in node.parents]
            values[node] = layer.forward(*inputs, training=node in batch_norms)
            for name, total in statistics.get(node, {}).items():
                total += layer.state[name] / batches
    for node, averages in statistics.items():
        assert node.layer is not None
        for name, average in averages.items():
            node.layer.state[name][:] = average


def fold(nodes: Sequence[Node]) -> tuple[Node, Node]:
    """Return input and output node of the same function with `BatchNorm` folded into `Dense`; see `Network.fold`.

    At test time a `BatchNorm` is affine: with s = gamma / sqrt(running_var + eps),
    ``s (x W + b - running_mean) + beta = x (W s) + (s (b - running_mean) + beta)``.
    """
    readers = {node: sum(node in other.parents for other in nodes) for node in nodes}
    new: dict[Node, Node] = {}
    for node in nodes:
        if node.layer is None:
            new[node] = Input(node.input_features)
            continue
        parent = node.parents[0]
        if type(node.layer) is BatchNorm and type(parent.layer) is Dense and readers[parent] == 1:
            new[node] = _folded(parent.layer, node.layer.copy())(*(new[p] for p in parent.parents))
        else:
            new[node] = node.layer.copy()(*(new[p] for p in node.parents))
    return new[nodes[0]], new[nodes[-1]]


def _folded(dense: Dense, norm: BatchNorm) -> Dense:
    """Return a `Dense` that computes ``norm(dense(x))`` at test time; its weights are computed in float64."""
    weight, gamma, beta = (
        a.astype(np.float64) for a in (dense.params["weight"], norm.params["gamma"], norm.params["beta"])
    )
    mean, var = (norm.state[name].astype(np.float64) for name in ("running_mean", "running_var"))
    bias = dense.params["bias"].astype(np.float64) if dense.bias else np.zeros_like(mean)
    scale = gamma / np.sqrt(var + norm.eps)
    assert dense.dtype is not None
    folded = Dense(dense.units, init="constant(0)").build(*dense.features, dtype=dense.dtype)  # replaced below
    folded.params["weight"][...] = weight * scale
    folded.params["bias"][...] = scale * (bias - mean) + beta
    vars(folded)["init"] = dense.init
    return folded
