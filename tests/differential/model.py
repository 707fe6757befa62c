"""A network in plain NumPy, in float64: what tinynet's is held to.

Nothing of tinynet is imported. Forward and backward walk the graph with the formulas of `tests.reference`; there is no
recording, no buffer, no compiled code, and every setting is read when it is used.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests import reference
from tests.reference import Array

KINDS = {  # a layer's class, and the first part of its name in a network
    "Dense": "dense",
    "BatchNorm": "batch_norm",
    "LayerNorm": "layer_norm",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "ReLU": "relu",
    "LeakyReLU": "leaky_relu",
    "ELU": "elu",
    "SELU": "selu",
    "GELU": "gelu",
    "Softmax": "softmax",
    "Dropout": "dropout",
    "Add": "add",
    "Concat": "concat",
}
SELU = 1.6732632423543772, 1.0507009873554805

FACTORS = {"subclass": 1.0, "instance": 1.0, "property": 1.0}  # what Python of the user's own reads at every step


@dataclass
class Place:
    """One layer of the graph, and the places that it reads; 0 is the input."""

    kind: str
    reads: tuple[int, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    subclass: bool = False  # of a user's own, which multiplies y, and dy
    own_forward: bool = False  # assigned to the layer, which multiplies y

    def forward_factor(self) -> float:
        return (FACTORS["subclass"] if self.subclass else 1.0) * (FACTORS["instance"] if self.own_forward else 1.0)

    def backward_factor(self) -> float:
        return FACTORS["subclass"] if self.subclass else 1.0


@dataclass
class Forward:
    """What a training forward leaves for backward."""

    values: list[Array]
    kept: list[dict[str, Any]]
    rows: int


class Model:
    """The network.

    Parameters
    ----------
    places : list of Place
        In the order in which they run; their names are set here.
    arrays : dict of str to ndarray
        Parameters and state by name.
    rngs : dict of str to Generator
        Of the dropout layers, by name.
    dtype : str
        Of the network that is held to this one: masks are drawn in it.
    """

    def __init__(
        self, places: list[Place], params: dict[str, Array], state: dict[str, Array], rngs: dict[str, Any], dtype: str
    ) -> None:
        count = Counter[str]()
        for place in places:
            count[place.kind] += 1
            place.name = f"{KINDS[place.kind]}_{count[place.kind]}"
        self.places, self.dtype, self.rngs = places, dtype, rngs
        self.params = {name: np.array(a, float) for name, a in params.items()}
        self.state = {name: np.array(a, float) for name, a in state.items()}
        self.grads: dict[str, Array] = {}
        self.pending: Forward | None = None
        self.size = 0.0  # the largest number of the last pass: rounding is in proportion to it
        self.nearest_kink = (
            math.inf
        )  # of the last training forward, in proportion to its largest number, as rounding is

    @property
    def has_batch_norm(self) -> bool:
        return any(place.kind == "BatchNorm" for place in self.places)

    # -- forward ------------------------------------------------------------------------------------------

    def forward(self, x: Array, *, training: bool = False, params: Any = None, state: Any = None) -> Array:
        """Return the output; other arrays than the model's own may be given."""
        params, state = self.params if params is None else params, self.state if state is None else state
        values, kept = [np.array(x, float)], []
        for place in self.places:
            inputs = [values[k] for k in place.reads]
            y, needed = self._one(place, inputs, params, state, training)
            values.append(place.forward_factor() * y)
            kept.append(needed)
        self.size = max(np.abs(value).max() for value in values)
        if training:
            self.pending = Forward(values, kept, len(x))
            nearest = min((needed["kink"] for needed in kept if "kink" in needed), default=math.inf)
            self.nearest_kink = nearest / self.size if self.size else 0.0
        return values[-1]

    def alone(self, place: Place, inputs: list[Array], *, training: bool) -> Array:
        """Return one layer's output; in training its statistics and its stream move on."""
        y, _ = self._one(place, inputs, self.params, self.state, training)
        self.size = max(np.abs(value).max() for value in (*inputs, y))
        return place.forward_factor() * y

    def _one(
        self, place: Place, inputs: list[Array], params: Any, state: Any, training: bool
    ) -> tuple[Array, dict[str, Any]]:
        x, name, settings = inputs[0], place.name, place.settings
        match place.kind:
            case "Dense":
                y = x @ params[f"{name}.weight"]
                return y + params[f"{name}.bias"] if f"{name}.bias" in params else y, {}
            case "BatchNorm":
                gamma, beta = params[f"{name}.gamma"], params[f"{name}.beta"]
                mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
                eps = settings["eps"]
                if not training:
                    return reference.batch_norm_inference(x, gamma, beta, mean, var, eps), {}
                y, _, mu, batch_var, _ = reference.batch_norm_forward(x, gamma, beta, eps)
                state[f"{name}.running_mean"], state[f"{name}.running_var"] = reference.batch_norm_update_running(
                    mu, batch_var, len(x), settings["decay"], mean, var
                )
                return y, {"eps": eps}
            case "LayerNorm":
                eps = settings["eps"]
                return reference.layer_norm_forward(x, params[f"{name}.gamma"], params[f"{name}.beta"], eps)[0], {
                    "eps": eps
                }
            case "Dropout":
                if not training:
                    return x.copy(), {}
                as_drawn = np.dtype(self.dtype).type
                drawn = self.rngs[name].random(x.shape, dtype=self.dtype)
                mask = (drawn >= as_drawn(settings["rate"])) / (1 - settings["rate"])
                return x * mask, {"mask": mask}
            case "Add":
                return sum(inputs[1:], inputs[0]), {}
            case "Concat":
                return np.concatenate(inputs, axis=1), {}
            case "Softmax":
                return reference.softmax_forward(x), {}
        y = self._activation(place, x)
        if place.kind not in ("ReLU", "LeakyReLU", "ELU", "SELU"):
            return y, {}
        return y, {"y": y, "kink": np.abs(x).min()}

    def _activation(self, place: Place, x: Array) -> Array:
        match place.kind:
            case "LeakyReLU":
                return reference.leaky_relu_forward(x, place.settings["slope"])
            case "ELU":
                return reference.elu_forward(x, place.settings["alpha"], 1.0)
            case "SELU":
                return reference.elu_forward(x, *SELU)
        simple: dict[str, Callable[[Array], Array]] = {
            "Sigmoid": reference.sigmoid_forward,
            "Tanh": reference.tanh_forward,
            "ReLU": reference.relu_forward,
            "GELU": reference.gelu_forward,
        }
        return simple[place.kind](x)

    # -- backward -----------------------------------------------------------------------------------------

    def backward(self, dy: Array) -> Array:
        """Return d loss / dx of the last training forward and write ``grads``."""
        assert self.pending is not None
        values, kept = self.pending.values, self.pending.kept
        dvalues: list[Array | None] = [None] * len(values)
        dvalues[-1] = np.array(dy, float)
        self.size = 0.0
        for k in range(len(self.places), 0, -1):
            place, d = self.places[k - 1], dvalues[k]
            assert d is not None
            dxs = self._one_back(place, place.backward_factor() * d, [values[j] for j in place.reads], kept[k - 1])
            for source, dx in zip(place.reads, dxs, strict=True):
                self.size = max(self.size, np.abs(dx).max())
                known = dvalues[source]
                dvalues[source] = dx if known is None else known + dx
        self.size = max(self.size, np.abs(dy).max(), *(np.abs(g).max() for g in self.grads.values()))
        assert dvalues[0] is not None
        return dvalues[0]

    def _one_back(self, place: Place, dy: Array, inputs: list[Array], kept: dict[str, Any]) -> list[Array]:
        x, name, grads = inputs[0], place.name, self.grads
        match place.kind:
            case "Dense":
                weight = self.params[f"{name}.weight"]
                grads[f"{name}.weight"] = x.T @ dy
                if f"{name}.bias" in self.params:
                    grads[f"{name}.bias"] = reference.dense_bias_gradient(dy)
                return [dy @ weight.T]
            case "BatchNorm":
                gamma = self.params[f"{name}.gamma"]
                dx, grads[f"{name}.gamma"], grads[f"{name}.beta"] = reference.batch_norm_backward(
                    dy, x, gamma, kept["eps"]
                )
                return [dx]
            case "LayerNorm":
                gamma = self.params[f"{name}.gamma"]
                dx, grads[f"{name}.gamma"], grads[f"{name}.beta"] = reference.layer_norm_backward(
                    dy, x, gamma, kept["eps"]
                )
                return [dx]
            case "Dropout":
                return [dy * kept["mask"]]
            case "Add":
                return [dy] * len(inputs)
            case "Concat":
                ends = np.cumsum([0, *(each.shape[1] for each in inputs)])
                return [dy[:, ends[k] : ends[k + 1]] for k in range(len(inputs))]
            case "Softmax":
                return [reference.softmax_backward(dy, x)]
            case "Sigmoid":
                return [reference.sigmoid_backward(dy, x)]
            case "Tanh":
                return [reference.tanh_backward(dy, x)]
            case "ReLU":
                return [reference.relu_backward(dy, x)]
            case "LeakyReLU":
                return [reference.leaky_relu_backward(dy, x, place.settings["slope"])]
            case "ELU":  # by its own output, so that an alpha of after the forward is added to what that one gave
                return [dy * np.where(x > 0, 1.0, kept["y"] + place.settings["alpha"])]
            case "SELU":
                return [reference.elu_backward(dy, x, *SELU)]
            case "GELU":
                return [reference.gelu_backward(dy, x)]
        raise AssertionError(place.kind)

    # -- what is done to a trained network ----------------------------------------------------------------

    def calibrate(self, x: Array, method: str, batch_size: int) -> None:
        """Set the statistics of every batch normalization from ``x``, in the order of the graph."""
        if method == "population":
            values = [np.array(x, float)]
            for place in self.places:
                inputs = [values[k] for k in place.reads]
                if place.kind == "BatchNorm":
                    self.state[f"{place.name}.running_mean"] = inputs[0].mean(0)
                    self.state[f"{place.name}.running_var"] = ((inputs[0] - inputs[0].mean(0)) ** 2).mean(0)
                values.append(self.alone(place, inputs, training=False))
        else:
            m = min(batch_size, len(x))
            found: dict[str, list[Array]] = {}
            for start in range(0, len(x) - m + 1, m):
                values = [np.array(x[start : start + m], float)]
                for place in self.places:
                    inputs = [values[k] for k in place.reads]
                    if place.kind != "BatchNorm":
                        values.append(self.alone(place, inputs, training=False))
                        continue
                    gamma, beta = self.params[f"{place.name}.gamma"], self.params[f"{place.name}.beta"]
                    y, _, mu, var, _ = reference.batch_norm_forward(inputs[0], gamma, beta, place.settings["eps"])
                    found.setdefault(f"{place.name}.running_mean", []).append(mu)
                    found.setdefault(f"{place.name}.running_var", []).append(var * m / (m - 1))
                    values.append(place.forward_factor() * y)
            self.state.update({name: np.mean(each, axis=0) for name, each in found.items()})
        self.size = max(np.abs(value).max() for value in values)

    def folded(self) -> tuple[list[Place], dict[str, str]]:
        """Return the places that remain where batch normalization after a dense layer goes into it.

        Also the names that the remaining layers had before. A layer with a forward of its own stays.
        """
        readers = Counter(k for place in self.places for k in place.reads)
        new: dict[int, int] = {0: 0}
        places: list[Place] = []
        before: list[str] = []
        for k, place in enumerate(self.places, 1):
            source = self.places[place.reads[0] - 1] if place.reads[0] else None
            if place.kind == "BatchNorm" and source and source.kind == "Dense" and readers[place.reads[0]] == 1:
                new[k] = new[place.reads[0]]
                continue
            places.append(Place(place.kind, tuple(new[j] for j in place.reads), dict(place.settings)))
            before.append(place.name)
            new[k] = len(places)
        Model(places, {}, {}, {}, self.dtype)  # which names them
        return places, {place.name: name for place, name in zip(places, before, strict=True)}


class Descent:
    """Stochastic gradient descent, with its settings by name; ``lr`` is a number or a function of the step."""

    def __init__(self, **settings: Any) -> None:
        usual: dict[str, Any] = {"lr": 0.1, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
        self.settings = {**usual, "decoupled": False, "clip_norm": None, **settings}
        self.velocity: dict[str, Array] = {}
        self.steps = 0

    @property
    def lr(self) -> float:
        lr = self.settings["lr"]
        return lr(self.steps) if callable(lr) else lr

    def start_anew(self) -> None:
        """As for another network's parameters."""
        self.velocity, self.steps = {}, 0

    def step(self, model: Model, names: Iterable[str]) -> None:
        """Move the parameters of these names, whose gradients are clipped together."""
        momentum, decay, clip = (self.settings[name] for name in ("momentum", "weight_decay", "clip_norm"))
        lr, decoupled, nesterov = self.lr, self.settings["decoupled"], self.settings["nesterov"]
        names = list(names)
        if clip is not None:
            norm = math.sqrt(sum(reference.sum_of_squares(model.grads[name]) for name in names))
            if norm > clip:
                model.grads.update({name: model.grads[name] * (clip / norm) for name in names})
        l2, shrink = (0.0, lr * decay) if decoupled else (decay, 0.0)
        for name in names:
            w, g = model.params[name], model.grads[name]
            if momentum:
                v = self.velocity.get(name, np.zeros_like(w))
                model.params[name], self.velocity[name] = reference.sgd_update_momentum(
                    w, g, v, lr, l2, shrink, momentum, nesterov
                )
            else:
                model.params[name] = reference.sgd_update(w, g, lr, l2, shrink)
        self.steps += 1

    def assign(self, name: str, value: Any) -> None:
        self.settings[name] = value
        if name == "momentum" and value == 0:
            self.velocity = {}
