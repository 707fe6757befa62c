"""Measurements of a network while it trains: activations, gradients and updates, layer by layer."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tinynet import files
from tinynet.arguments import as_network
from tinynet.errors import unknown_name
from tinynet.layers import Activation, Dense
from tinynet.network import Network
from tinynet.settings import count
from tinynet.training import Callback, Run
from tinynet.typing import Array

WEIGHT_MEASURES = ("gradient_rms", "update_ratio")
ACTIVATION_MEASURES = (
    "mean", "std", "p15", "p50", "p85", "input_p15", "input_p50", "input_p85", "saturated", "dead",
)  # fmt: skip
SATURATED_SLOPE = 0.05


def rms(values: Array) -> float:
    """Return the root mean square, in float64: a size per weight, which does not grow with the layer's width."""
    return math.sqrt(np.mean(np.square(values, dtype=np.float64)))


def gradient_by_layer(net: Network) -> dict[str, float]:
    """Return the root mean square of the gradient of every Dense layer's weight, by layer name.

    Parameters
    ----------
    net : Network
        Its last `Network.backward` wrote the gradients; before the first they are zero.

    Returns
    -------
    dict of str to float
    """
    layers = as_network(net).layers
    return {name: rms(layer.grads["weight"]) for name, layer in layers.items() if isinstance(layer, Dense)}


def activation_by_layer(net: Network) -> dict[str, dict[str, float]]:
    """Describe every activation layer's output in the last training step, by layer name.

    Parameters
    ----------
    net : Network
        Its last forward with ``training=True`` is described; before the first nothing is returned.

    Returns
    -------
    dict of str to dict of str to float
        ``mean`` and ``std``; ``p15``, ``p50`` and ``p85``, percentiles over batch and units; ``input_p15``,
        ``input_p50`` and ``input_p85``, those of the activation's input; ``saturated``, the share of values at which
        the slope is below 5 % of the steepest; ``dead``, the share of units whose slope is zero on the whole batch.
    """
    outputs = as_network(net).values
    described = {}
    for name, layer in net.layers.items():
        if not isinstance(layer, Activation) or name not in outputs:
            continue
        y, x = outputs[name], net.layer_input(name)
        slope = np.abs(layer.backward(np.ones_like(y)))
        measured = [
            float(np.mean(y, dtype=np.float64)),
            float(np.std(y, dtype=np.float64)),
            *np.percentile(y, [15, 50, 85]).tolist(),
            *np.percentile(x, [15, 50, 85]).tolist(),
            float(np.mean(slope < SATURATED_SLOPE * layer.steepest)),
            float(np.mean((slope == 0).all(axis=0))),
        ]
        described[name] = dict(zip(ACTIVATION_MEASURES, measured, strict=True))
    return described


@dataclass
class Probe(Callback):
    """A callback that measures every Dense and activation layer every few steps: ``fit(callbacks=[probe])``.

    Parameters
    ----------
    every : int
        Steps between measurements. The first is at step 0: the initial weights on the first batch.

    Attributes
    ----------
    steps : list of int
        Updates made before each measurement.
    values : dict
        ``values[measure][layer]`` is a list with one number per measurement. Dense layers have the measures
        ``gradient_rms`` (root mean square per weight) and ``update_ratio`` (root mean square of the update over
        that of the weight); activation layers have those of `activation_by_layer`.

    Raises
    ------
    InputError
        If ``every`` is below 1.

    Examples
    --------
    >>> import tinynet as tn
    >>> net = tn.mlp(2, [8, 8], 3, activation="tanh", seed=0)
    >>> probe = tn.Probe(every=10)
    >>> history = tn.fit(net, tn.datasets.spirals(60), steps=30, callbacks=[probe])
    >>> layers, gradients = probe.table("gradient_rms")
    >>> layers, probe.steps, gradients.shape
    (['dense_1', 'dense_2', 'dense_3'], [0, 10, 20], (3, 3))
    """

    every: int = 100
    steps: list[int] = field(default_factory=list)
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    _before: dict[str, Array] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self.every = count("Probe: every", self.every)

    def on_backward(self, run: Run) -> None:
        """Measure gradients and activations; remember the weights."""
        if run.step % self.every:
            return
        self.steps.append(run.step)
        for layer, value in gradient_by_layer(run.net).items():
            self._add("gradient_rms", layer, value)
            self._before[layer] = run.net.params[f"{layer}.weight"].copy()
        for layer, measured in activation_by_layer(run.net).items():
            for measure, value in measured.items():
                self._add(measure, layer, value)

    def on_step(self, run: Run) -> None:
        """Measure how far the weights moved."""
        for layer, before in self._before.items():
            size = rms(before)
            moved = rms(run.net.params[f"{layer}.weight"] - before)
            self._add("update_ratio", layer, moved / size if size else math.inf)
        self._before.clear()

    def _add(self, measure: str, layer: str, value: float) -> None:
        self.values.setdefault(measure, {}).setdefault(layer, []).append(value)

    def table(self, measure: str) -> tuple[list[str], Array]:
        """Return the layers' names, in order, and one measure as an array (measurements, layers).

        Parameters
        ----------
        measure : str
            A name in ``values``.

        Raises
        ------
        InputError
            If nothing was measured under that name; the message suggests the nearest.
        """
        if not isinstance(measure, str) or measure not in self.values:
            raise unknown_name("measure", measure, [*WEIGHT_MEASURES, *ACTIVATION_MEASURES])
        layers = self.values[measure]
        return list(layers), np.array(list(layers.values())).T

    def to_csv(self, path: str | Path) -> None:
        """Write one row per measured number: step, layer, measure, value."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["step", "layer", "measure", "value"])
        for measure, layers in self.values.items():
            for layer, values in layers.items():
                writer.writerows([step, layer, measure, v] for step, v in zip(self.steps, values, strict=False))
        files.write_text(path, text.getvalue())
