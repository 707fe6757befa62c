"""What is changed between two calls: settings, arrays, the network itself."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

import tinynet as tn
from tests.differential.own_layers import FACTORS, Moving
from tests.differential.training import predict, step
from tests.differential.world import OPTIMIZER_SETTINGS, RATES, SETTINGS, WIDTH, World, WrongError, bits, refused

NUMBERS: list[Callable[[Any], Any]] = [float, np.float32, np.float64, lambda v: int(v) if v == int(v) else v]


def as_number(random: Random, value: Any) -> Any:
    """Return the value as Python or NumPy have it."""
    if isinstance(value, bool):
        return random.choice([value, np.bool_(value)])
    if value is None or isinstance(value, str) or not math.isfinite(value):
        return value
    kind = random.choice([*NUMBERS, lambda v: np.int64(v) if v == int(v) else v])
    return kind(value)


def assign_to_layer(world: World, random: Random) -> None:
    """Assign a setting of a layer, or one that is refused."""
    places = [p for p in world.places if p.kind in SETTINGS and not isinstance(p.settings, Moving)]
    if not places:
        return
    place = random.choice(places)
    layer = world.net.layers[place.name]
    name = random.choice(list(SETTINGS[place.kind]))
    good, bad = SETTINGS[place.kind][name]
    if bad and random.random() < 0.2:
        value = as_number(random, random.choice(bad))
        world.say(f"{place.name}.{name} = {value!r}, refused")
        refused(world, f"{place.name}.{name} = {value!r}", lambda: setattr(layer, name, value))
        return
    value = as_number(random, random.choice(good))
    world.say(f"{place.name}.{name} = {value!r}")
    setattr(layer, name, value)
    place.settings[name] = float(value)


def assign_fixed(world: World, random: Random) -> None:
    """Assign what cannot change once the arrays are made."""
    dense = random.choice([p for p in world.places if p.kind == "Dense"])
    layer = world.net.layers[dense.name]
    name, value = random.choice([("units", layer.units + 1), ("bias", not layer.bias)])
    world.say(f"{dense.name}.{name} = {value!r}, refused")
    refused(world, f"{dense.name}.{name} = {value!r}", lambda: setattr(layer, name, value))


def assign_to_optimizer(world: World, random: Random) -> None:
    """Assign a setting of the optimizer, or one that is refused."""
    optimizer, descent = world.optimizer, world.descent
    if random.random() < 0.2:
        lr, plain = random.choice(RATES)
        if not callable(lr):
            lr = as_number(random, 0.125)
            plain = 0.125
        world.say(f"optimizer.lr = {lr!r}")
        optimizer.lr = lr
        descent.assign("lr", plain)
        return
    name = random.choice(list(OPTIMIZER_SETTINGS))
    good, bad = OPTIMIZER_SETTINGS[name]
    value = as_number(random, random.choice(bad if bad and (not good or random.random() < 0.25) else good))
    settings = descent.settings | {name: value}
    wrong = value in bad or value is math.nan or (settings["nesterov"] and not settings["momentum"] > 0)
    if wrong:
        world.say(f"optimizer.{name} = {value!r}, refused")
        refused(world, f"optimizer.{name} = {value!r}", lambda: setattr(optimizer, name, value))
        return
    world.say(f"optimizer.{name} = {value!r}")
    setattr(optimizer, name, value)
    boolean = name in ("nesterov", "decoupled")
    descent.assign(name, None if value is None else bool(value) if boolean else float(value))


def new_values(world: World, random: Random, name: str, shape: tuple[int, ...]) -> Any:
    """Return values for an array, of any dtype."""
    values = world.random_numbers(random, *shape, spread=0.5)
    if name.endswith(("running_var", "gamma")):
        values = 0.5 + np.abs(values)
    return values.astype(random.choice([world.dtype, "float32", "float64"]))


def change_arrays(world: World, random: Random) -> None:
    """Put other values into parameters or state, by one of the ways there are."""
    net, model = world.net, world.model
    role = random.choice(["params", "params", "state"]) if net.state else "params"
    live, plain = getattr(net, role), getattr(model, role)
    names = random.sample(list(live), k=random.randint(1, len(live)))
    new = {name: new_values(world, random, name, live[name].shape) for name in names}
    way = random.choice(
        ["update", "swap", "|=", "item", "in place", "*=", "all", "layer", "missing", "shape", "name", "del"]
    )
    world.say(f"{role}: {way} of {names}")
    layer_name = names[0].split(".")[0]
    layer = net.layers[layer_name]
    first = new[names[0]]
    match way:
        case "update":
            live.update(new)
        case "swap":  # each gets another's values, if there is one of its shape
            shapes: dict[tuple[int, ...], list[str]] = {}
            for name, array in live.items():
                shapes.setdefault(array.shape, []).append(name)
            turned = [(each, each[1:] + each[:1]) for each in shapes.values()]
            pairs = [pair for one, other in turned for pair in zip(one, other, strict=True)]
            pairs = [pair for pair in pairs if "running_var" not in pair[0] + pair[1] or pair[0] == pair[1]]
            new = {name: plain[other] for name, other in pairs}
            live.update({name: live[other] for name, other in pairs})
        case "|=":
            live |= new
        case "item":
            live[names[0]] = first
            new = {names[0]: first}
        case "in place":
            live[names[0]][...] = first
            new = {names[0]: first}
        case "*=":
            live[names[0]] *= 0.5
            new = {names[0]: 0.5 * plain[names[0]]}
        case "all":
            new = {name: new_values(world, random, name, a.shape) for name, a in live.items()}
            setattr(net, role, new)
        case "layer":
            own = getattr(layer, role)
            values = {k: new_values(world, random, k, a.shape) for k, a in own.items()}
            setattr(layer, role, values)
            new = {f"{layer_name}.{k}": value for k, value in values.items()}
        case "missing":
            if len(names) < len(live):
                refused(world, f"net.{role} = some", lambda: setattr(net, role, new))
            refused(world, f"net.{role} = none", lambda: setattr(net, role, {}))
            return
        case "shape":
            wrong = np.zeros((*live[names[0]].shape, 2))
            refused(world, f"{names[0]} of another shape", lambda: live.update({names[0]: wrong}), tn.ShapeError)
            return
        case "name":
            refused(world, "an array that there is not", lambda: live.update({"dense_99.weight": first}))
            return
        case "del":
            refused(world, f"taking {names[0]} out", lambda: live.pop(names[0]))
            return
    for name, values in new.items():
        plain[name] = values.astype(world.dtype).astype(float)


def calibrate(world: World, random: Random) -> None:
    """Set the statistics from data."""
    method, size = random.choice(["population", "minibatch"]), random.choice([4, 5, 60])
    x = world.random_numbers(random, 13, WIDTH).astype(world.dtype)
    world.say(method)
    world.hold(x, "the data to calibrate with")
    try:
        world.net.calibrate(x, method=method, batch_size=size)
    except tn.InputError:
        if world.replaced is None:
            raise
        world.say("refused, since a layer has a forward of its own")
        return
    world.model.calibrate(x, method, size)
    spread = world.model.size**2
    for name, expected in world.model.state.items():
        world.close_to(f"calibrated {name}", world.net.state[name], expected, spread)
        world.model.state[name] = world.net.state[name].astype(float)


def fold(world: World, random: Random) -> None:
    """Fold, and go on with what comes out or with what was there."""
    net, model = world.net, world.model
    before = bits(net)
    try:
        small = net.fold()
    except tn.InputError:
        if world.replaced is None:
            raise
        world.say("refused, since a layer has a forward of its own")
        return
    x = world.input(random, world.rows(random, training=False))
    expected = model.forward(x)
    for _ in range(2):
        world.close_to("a folded network's prediction", small.forward(x), expected, max(1.0, model.size), 10)
    if bits(net) != before:
        raise WrongError("fold changed the network")
    if random.random() < 0.2 and not world.own_kinds and world.replaced is None:
        places, names = model.folded()
        if list(names) != list(small.layers):
            raise WrongError(f"folded: layers are {list(small.layers)}, not {list(names)}")
        world.say("go on with the folded one")
        world.net, world.places = small, places
        world.model = world._model(places)
        world.descent.start_anew()
        world.optimizer = copy.copy(world.optimizer)
        world.optimizer.attach(small.params)


def duplicate(world: World, random: Random) -> None:
    """Go on with a copy: by copy.deepcopy or pickle, with its optimizer or without."""
    if world.replaced is not None:
        return
    how = random.choice(["copy.deepcopy", "pickle"])
    together = random.random() < 0.7
    world.say(f"{how}{' with the optimizer' * together}")
    pair = (world.net, world.optimizer) if together else world.net
    made: Any = copy.deepcopy(pair) if how == "copy.deepcopy" else pickle.loads(pickle.dumps(pair))
    old, before = world.net, bits(world.net)
    world.net, world.optimizer = made if together else (made, world.optimizer)
    world.model.pending = None
    if not together:
        world.descent.start_anew()
        world.optimizer.attach(world.net.params)
    step(world, random)
    if bits(old) != before:
        raise WrongError("a step of the copy moved the original")
    predict(world, random)


def save(world: World, random: Random) -> None:
    """Save, load, compare, and go on with either."""
    path = world.path("net.safetensors")
    if world.own_kinds:
        refused(world, "saving a layer of the user's own", lambda: world.net.save(path))
        return
    if world.replaced is not None:
        return
    world.net.save(path)
    back = tn.load(path)
    if bits(back) != bits(world.net) or str(back) != str(world.net):
        raise WrongError("what is loaded is not what was saved")
    x = world.input(random, world.rows(random, training=False))
    for _ in range(2):
        expected = world.model.forward(x)
        world.close_to("a loaded network's prediction", back.forward(x), expected, world.model.size)
    if random.random() < 0.5:
        world.say("go on with the loaded one")
        world.net = back
        world.model.pending = None
        world.take_streams()
        world.descent.start_anew()
        world.optimizer.attach(back.params)


def own_python(world: World, random: Random) -> None:
    """Change what only Python of the user's own knows: its numbers count from the next call on."""
    which = random.choice(["subclass", "property", "instance", "instance", "back"])
    if which == "instance" and world.replaced is None:
        place = random.choice(world.places)
        layer = world.net.layers[place.name]
        original = layer.forward
        world.say(f"{place.name}.forward = its own, times a number")
        layer.forward = lambda *xs, training=False: FACTORS["instance"] * original(*xs, training=training)
        world.see_own_forwards()
    elif which == "back" and world.replaced is not None:
        world.say(f"del {world.replaced}.forward")
        del world.net.layers[world.replaced].forward
        world.see_own_forwards()
    elif which != "back":
        FACTORS[which] = random.choice([0.5, 0.75, 1.25])
        world.say(f"its number for a {which} is {FACTORS[which]}")


def layer_alone(world: World, random: Random, *, training: bool | None = None) -> None:
    """Call one of the network's layers on an array of the user's own."""
    place = random.choice([p for p in world.places if p.kind not in ("Add", "Concat")])
    layer = world.net.layers[place.name]
    training = random.random() < 0.5 if training is None else training
    rows = world.rows(random, training=True)
    world.say(f"{place.name}.forward on {rows} rows alone{', training' * training}")
    x = world.random_numbers(random, rows, layer.features[0]).astype(world.dtype)
    expected = world.model.alone(place, [x.astype(float)], training=training)
    y = layer.forward(x, training=training)
    world.close_to(f"{place.name} alone", y, expected, world.model.size)
    if training:
        world.model.pending = None
