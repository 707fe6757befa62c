"""tinynet's network and the plain one side by side: what is drawn, and when they agree."""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

import tinynet as tn
from tests.differential.model import Descent, Model, Place
from tests.differential.own_layers import FACTORS, SCALED, SUBCLASSES, Moving, MovingLeakyReLU
from tests.test_properties import draw_graph, unsettled
from tinynet.layers import LAYERS
from tinynet.machinery import recording

WIDTH = 4  # of input and output: an output is an input too, and so are some of the network's own arrays
BOUNDS = {"float64": 1e-9, "float32": 2e-4}
NEAR_A_KINK = 1e-4
SECONDS = 120  # that a program may take: kernels may have to be compiled, and the machine be busy
LARGEST = 1e4
FOLDER = next((folder for folder in (Path("/dev/shm"),) if folder.is_dir()), None)
NO_NUMBERS = [math.nan, "0.5", "x"]
SETTINGS: dict[str, dict[str, tuple[list[Any], list[Any]]]] = {  # values that are taken, and that are refused
    "BatchNorm": {
        "eps": ([0.01, 0.5, 1, 0.125], [-1, -0.1, math.inf, *NO_NUMBERS]),
        "decay": ([0, 0.25, 0.5], [1, 1.5, -0.1, *NO_NUMBERS]),
    },
    "LayerNorm": {"eps": ([0.01, 0.5, 1, 0.125], [-1, -0.1, math.inf, *NO_NUMBERS])},
    "LeakyReLU": {"slope": ([0, 0.25, 0.5, 1], [math.inf, *NO_NUMBERS])},
    "ELU": {"alpha": ([1, 0.5, 2], [-math.inf, *NO_NUMBERS])},
    "Dropout": {"rate": ([0, 0.25, 0.5], [1, 1.5, -0.5, *NO_NUMBERS])},
}
OPTIMIZER_SETTINGS: dict[str, tuple[list[Any], list[Any]]] = {
    "momentum": ([0, 0.5, 0.75], [1, -0.5, 1.5, *NO_NUMBERS]),
    "nesterov": ([True, False], []),
    "weight_decay": ([0, 0.125, 0.25], [-1, *NO_NUMBERS]),
    "decoupled": ([True, False], []),
    "clip_norm": ([None, 1, 0.5], [0, -1, *NO_NUMBERS]),
    "lr": ([], [0, -1, *NO_NUMBERS]),  # what is taken is in RATES
}

RATES: list[tuple[Any, Any]] = [
    (0.1, 0.1),
    (0.02, 0.02),
    (tn.StepDecay(0.1, every=2, factor=0.5), lambda step: 0.1 * 0.5 ** (step // 2)),
    (tn.Cosine(0.1, steps=9, final=0.01), lambda t: 0.01 + 0.09 * (1 + math.cos(math.pi * min(t, 9) / 9)) / 2),
    (tn.Warmup(0.1, steps=4), lambda step: min(0.1, 0.1 * (step + 1) / 4)),
]
Table = dict[str, tuple[Callable[..., Any], float]]  # what may be done, and how often


class WrongError(AssertionError):
    """What tinynet gives is not what the plain network gives."""


class GrownError(Exception):
    """The numbers have grown so large that the rest of the program would compare nothing."""


def place_of(layer: tn.Layer, reads: tuple[int, ...]) -> Place:
    """Describe a layer as it was drawn."""
    kind = next(base.__name__ for base in type(layer).__mro__ if LAYERS.get(base.__name__) is base)
    settings = {name: getattr(layer, name) for name in SETTINGS.get(kind, {})}
    place = Place(kind, reads, settings)
    if isinstance(layer, tuple(SCALED.values())):
        place.subclass = True
    return place


class World:
    """tinynet's network and optimizer, the plain ones, and what was handed out so far."""

    def __init__(self, seed: int, operations: Table, between: Table, between_steps: Table) -> None:
        self.operations, self.between, self.between_steps = operations, between, between_steps
        random = Random(seed)
        FACTORS.update(subclass=1.0, instance=1.0, property=0.5)
        self.dtype = random.choice(["float32", "float64"])
        self.bound = BOUNDS[self.dtype]
        kinds = dict(random.sample(sorted(SUBCLASSES.items(), key=str), k=2)) if random.random() < 0.25 else {}
        eps = (1e-2, 0.1) if self.dtype == "float32" else (1e-3, 0.1)
        rate = random.choice([0.0, 0.0, 0.3])
        graph = draw_graph(random, dropout=rate, eps=eps, dtype=self.dtype, outputs=WIDTH, kinds=kinds)
        self.net: tn.Network = unsettled(graph, random.randint(0, 999)).net
        self.own_kinds = any(type(layer) not in LAYERS.values() for layer in self.net.layers.values())
        self.places = [place_of(layer, reads) for layer, reads in self._in_order(graph.places)]
        self.sizes = [*random.sample([2, 3, 5, 8], k=2), 1]
        self.memory = random.choice([recording.MEMORY, recording.MEMORY, 4 * recording.EACH])  # of what is recorded
        self.log = [f"{self.dtype} network, {self.memory} bytes for what is recorded:\n{self.net}"]
        self.model = self._model(self.places)
        for (name, layer), place in zip(self.net.layers.items(), self.places, strict=True):
            assert name == place.name
            if isinstance(layer, MovingLeakyReLU):
                place.settings = Moving(place.settings)
        self.replaced: str | None = None  # the layer whose forward is the instance's own
        self.optimizer, self.descent = draw_optimizer(random)
        self.log.append(f"lr {self.optimizer.schedule} with {self.descent.settings}")
        self.held: list[tuple[Any, Any, str]] = []  # arrays that were handed out or in, and copies of then
        self.last_output: Any = None
        self.compared = self.not_compared = 0
        self.grown = False
        self.largest = 0.0  # difference, of what the bound allows
        self.folder: tempfile.TemporaryDirectory[str] | None = None

    def _in_order(self, places: list[Any]) -> list[Any]:
        """Return the drawn layers, with the places they read, in the order in which the network runs them."""
        order = {layer: k for k, layer in enumerate(self.net.layers.values(), 1)}
        position = {0: 0} | {k: order[layer] for k, (layer, _) in enumerate(places, 1)}
        found = sorted(((order[layer], layer, reads) for layer, reads in places), key=lambda each: each[0])
        return [(layer, tuple(position[k] for k in reads)) for _, layer, reads in found]

    def _model(self, places: list[Place]) -> Model:
        rngs = {name: copy.deepcopy(layer.rng) for name, layer in self.net.layers.items() if layer.rng is not None}
        return Model(places, self.net.params, self.net.state, rngs, self.dtype)

    def close(self) -> None:
        if self.folder is not None:
            self.folder.cleanup()

    def path(self, name: str) -> Path:
        if self.folder is None:
            self.folder = tempfile.TemporaryDirectory(dir=FOLDER)
        return Path(self.folder.name) / name

    # -- operations and comparisons -----------------------------------------------------------------------

    def do(self, name: str, seed: int) -> None:
        """Do an operation and compare."""
        self.log.append(name)
        self.operations[name][0](self, Random(seed))
        self.check()

    def say(self, text: str) -> None:
        self.log[-1] += f"; {text}"

    def close_to(self, what: str, found: Any, expected: Any, size: float | None = None, times: float = 1.0) -> None:
        """Raise `WrongError` unless the largest difference is within the bound, in proportion to ``size``."""
        found, expected = np.asarray(found), np.asarray(expected)
        if found.shape != expected.shape:
            raise WrongError(f"{what}: shape {found.shape}, not {expected.shape}")
        size = np.abs(expected).max() if size is None else size
        if not math.isfinite(size) or size > LARGEST:
            raise GrownError
        difference = np.abs(found - expected).max()
        self.compared += 1
        if size:
            self.largest = max(self.largest, float(difference) / (times * self.bound * size))
        if not difference <= times * self.bound * size:
            raise WrongError(f"{what}: differs by {difference:.3g} where numbers are up to {size:.3g}")

    def hold(self, array: Any, what: str) -> None:
        """Remember an array that nobody may change."""
        self.held = [*self.held[-9:], (array, array.tobytes(), what)]

    def check(self, times: float = 1.0) -> None:
        """Compare all that the network and the optimizer hold, then let the plain ones go on from there."""
        for array, then, what in self.held:
            if array.tobytes() != then:
                raise WrongError(f"{what} was changed")
        net, model = self.net, self.model
        for role in ("params", "state"):
            expected = getattr(model, role)
            live = getattr(net, role)
            if list(live) != list(expected):
                raise WrongError(f"{role} are {list(live)}, not {list(expected)}")
            size = max((np.abs(a).max() for a in expected.values()), default=0.0)
            for name, array in live.items():
                if (
                    array.dtype != self.dtype
                    or getattr(net.layers[name.split(".")[0]], role)[name.split(".")[1]] is not array
                ):
                    raise WrongError(f"{role} {name} is not the layer's array")
                self.close_to(f"{role} {name}", array, expected[name], size, times)
        size = max((np.abs(a).max() for a in self.descent.velocity.values()), default=0.0)
        for name, velocity in self.descent.velocity.items():
            if name in self.optimizer.velocity:
                self.close_to(f"velocity {name}", self.optimizer.velocity[name], velocity, size, times)
            elif velocity.any():
                raise WrongError(f"there is no velocity of {name}")
        self.check_settings()
        self.take_over()

    def check_reprs(self) -> None:
        for place in self.places:
            said = repr(self.net.layers[place.name])
            for name in SETTINGS.get(place.kind, {}):
                if f"{name}={place.settings[name]!r}" not in said:
                    raise WrongError(f"{place.name}: {name} is {place.settings[name]!r}, repr says {said}")

    def check_settings(self) -> None:
        for place in self.places:
            layer = self.net.layers[place.name]
            for name in SETTINGS.get(place.kind, {}):
                _same_setting(f"{place.name}.{name}", getattr(layer, name), place.settings[name])
        for name in OPTIMIZER_SETTINGS.keys() - {"lr"}:
            _same_setting(f"optimizer.{name}", getattr(self.optimizer, name), self.descent.settings[name])
        if self.optimizer.steps != self.descent.steps:
            raise WrongError(f"optimizer.steps is {self.optimizer.steps}, not {self.descent.steps}")
        if not math.isclose(self.optimizer.lr, self.descent.lr, rel_tol=1e-12):
            raise WrongError(f"optimizer.lr is {self.optimizer.lr}, not {self.descent.lr}")

    def take_over(self, *, all_of_it: bool = False) -> None:
        """Let the plain network go on from tinynet's numbers; ``all_of_it`` after an interruption."""
        for name, array in self.net.params.items():
            self.model.params[name] = array.astype(float)
        for name, array in self.net.state.items():
            self.model.state[name] = array.astype(float)
        if all_of_it:
            momentum = self.descent.settings["momentum"] > 0
            found = self.optimizer.velocity if momentum else {}
            self.descent.steps = self.optimizer.steps
            self.model.pending = None
            self.take_streams()
        else:
            found = {name: v for name, v in self.optimizer.velocity.items() if name in self.descent.velocity}
        self.descent.velocity = {name: v.astype(float) for name, v in found.items()}

    def see_own_forwards(self) -> None:
        """Note which layer has a forward that was assigned to it."""
        self.replaced = None
        for place in self.places:
            place.own_forward = "forward" in vars(self.net.layers[place.name])
            if place.own_forward:
                self.replaced = place.name

    def take_streams(self) -> None:
        self.model.rngs = {name: copy.deepcopy(self.net.layers[name].rng) for name in self.model.rngs}

    def random_numbers(self, random: Random, *shape: int, spread: float = 1.0) -> Any:
        return np.random.default_rng(random.randrange(2**32)).normal(0, spread, shape)

    def rows(self, random: Random, *, training: bool) -> int:
        """Return a batch size: mostly one of the program's own, so that its passes are replayed."""
        if random.random() < 0.1:
            return random.randint(2, 12)
        return random.choice([n for n in self.sizes if not training or n > 1 or not self.model.has_batch_norm])

    def input(self, random: Random, rows: int) -> Any:
        """Return a batch in one of the forms in which users have them."""
        x = self.random_numbers(random, rows, WIDTH).astype(self.dtype)
        match random.randrange(12):
            case 0:
                x = np.asfortranarray(x)
            case 1:
                x = np.repeat(x, 2, axis=0)[::2]
            case 2 if self.dtype == "float64":
                x = x.astype("float32")
            case 3:
                x.flags.writeable = False
            case 4 if self.dtype == "float32":
                x = x.astype("float64")
        return x

    def own_arrays(self, random: Random, *, batch: bool) -> tuple[str, Any] | None:
        """Return one of the network's own arrays that is of a batch's shape, or a view of one."""
        found: list[tuple[str, Any]] = []
        net = self.net
        for role in ("params", "state", "grads"):
            for name, array in getattr(net, role).items():
                if array.shape == (WIDTH,):
                    found.append((f"net.{role}[{name!r}][None]", array[None]))
                elif array.ndim == 2 and array.shape[1] == WIDTH:
                    found.append((f"net.{role}[{name!r}]", array))
                elif array.ndim == 2 and array.shape[0] == WIDTH:
                    found.append((f"net.{role}[{name!r}].T", array.T))
        if self.last_output is not None:
            found.append(("the last output", self.last_output))
        found = [(name, a) for name, a in found if not batch or len(a) > 1 or not self.model.has_batch_norm]
        return random.choice(found) if found else None


def _same_setting(what: str, found: Any, expected: Any) -> None:
    if type(found) is not type(expected) or found != expected:
        raise WrongError(f"{what} is {found!r}, not {expected!r}")


def draw_optimizer(random: Random) -> tuple[tn.SGD, Descent]:
    """Return an optimizer and the plain one."""
    momentum = random.choice([0.0, 0.5, 0.9])
    settings = {
        "momentum": momentum,
        "nesterov": momentum > 0 and random.random() < 0.5,
        "weight_decay": random.choice([0.0, 0.01]),
        "decoupled": random.random() < 0.3,
        "clip_norm": random.choice([None, None, 0.5]),
    }
    lr, plain = random.choice(RATES)
    return tn.SGD(lr, **settings), Descent(lr=plain, **settings)


def refused(world: World, what: str, call: Callable[[], Any], error: type[Exception] = tn.InputError) -> None:
    """Raise `WrongError` unless the call is refused in one sentence."""
    try:
        call()
    except error as found:
        if "\n" in str(found) or not str(found):
            raise WrongError(f"{what}: refused with {found!s:r}") from None
        return
    raise WrongError(f"{what}: not refused")


def bits(net: tn.Network) -> bytes:
    return b"".join(a.tobytes() for a in (*net.params.values(), *net.state.values()))
