"""Calls that are refused, interrupted, or made from a signal's handler or from another thread."""

from __future__ import annotations

import contextlib
import copy
import dis
import functools
import itertools
import math
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from types import CodeType
from typing import Any

import numpy as np

import tinynet as tn
from tests.differential.model import Descent
from tests.differential.own_layers import Moving
from tests.differential.training import predict, step
from tests.differential.world import OPTIMIZER_SETTINGS, SECONDS, SETTINGS, WIDTH, World, WrongError, refused

PACKAGE = str(Path(tn.__file__).parent)
INTERRUPTED = ["step", "step", "fit", "predict", "freeze", "assign_to_layer", "assign_to_optimizer"]
INTERRUPTED += ["change_arrays", "calibrate", "fold", "save", "layer_alone"]
HANDLED = ["step", "fit", "predict", "freeze", "calibrate"]


def predict_in_threads(world: World, random: Random) -> None:
    """Two threads ask at once, mostly for batches of one size, while the weights stay."""
    usual = world.rows(random, training=False)
    xs = [world.input(random, random.choice([usual, usual, world.rows(random, training=False)])) for _ in range(8)]
    xs *= 4
    found: list[Any] = [None] * len(xs)

    def ask(start: int) -> None:
        for k in range(start, len(xs), 2):
            found[k] = world.net.forward(xs[k])

    with others(lambda: ask(0)):
        ask(1)
    for x, y in zip(xs, found, strict=True):
        expected = world.model.forward(x)
        world.close_to("a prediction in a thread", y, expected, world.model.size)


@contextlib.contextmanager
def others(work: Callable[[], None]) -> Iterator[None]:
    """Do this work in a thread meanwhile; raise what went wrong there."""
    wrong: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            wrong.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join(SECONDS)
        sys.setswitchinterval(interval)
    if wrong:
        raise WrongError(f"in another thread: {wrong[0]!r}") from wrong[0]


def refuse(world: World, random: Random) -> None:
    """Ask for what is refused; nothing changes."""
    net = world.net
    wrong = world.random_numbers(random, 3, WIDTH + 1).astype(world.dtype)
    match random.randrange(5):
        case 0:
            refused(world, "an input of another width", lambda: net.forward(wrong), tn.ShapeError)
        case 1:
            whole = np.ones((2, WIDTH), int)
            refused(world, "whole numbers", lambda: net.forward(whole))
        case 2:
            refused(world, "one row", lambda: net.forward(wrong[0, :WIDTH]), tn.ShapeError)
        case 3:
            refused(world, "an array alone", lambda: tn.fit(net, wrong, steps=1))
        case 4:
            refused(world, "no method", lambda: net.calibrate(wrong[:, :WIDTH], method="mean"))


def refuse_training(world: World, random: Random) -> bool | None:
    """A training forward that is refused; return False if backward has to be refused afterwards."""
    net = world.net
    if world.model.has_batch_norm and random.random() < 0.7:
        x = world.random_numbers(random, 1, WIDTH).astype(world.dtype)
        refused(world, "one example", lambda: net.forward(x, training=True))
        world.take_streams()  # a mask may have been drawn
        world.model.pending = None
        return False
    rows = 99  # no batch has so many
    error = tn.InputError if world.model.pending is None else tn.ShapeError
    refused(world, "dy of another shape", lambda: net.backward(np.zeros((rows, WIDTH), world.dtype)), error)
    return None


def refuse_backward(world: World, random: Random) -> None:
    """Backward without a forward."""
    if refuse_training(world, random) is False:
        dy = np.zeros((1, WIDTH), world.dtype)
        refused(world, "backward after a refused forward", lambda: world.net.backward(dy))


class At:
    """Do something at the k-th place inside tinynet where Python looks for signals, as Ctrl-C or a handler does it."""

    def __init__(self, k: int, act: Callable[[], None]) -> None:
        self.k, self.act, self.count, self.where = k, act, 0, ""

    def __enter__(self) -> At:
        self.before = sys.gettrace()
        sys.settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self.before)

    def _call(self, frame: Any, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = True
        return self._local

    def _local(self, frame: Any, event: str, _: Any) -> Any:
        if event == "opcode" and frame.f_lasti in _places(frame.f_code):
            self.count += 1
            if self.count == self.k:
                self.where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
                self.act()
        return self._local


@functools.cache
def _places(code: CodeType) -> frozenset[int]:
    """Return the instructions before which Python looks for signals: after a call, at a function's start, in loops.

    An exception there is handled by what encloses the call. Where the instruction that follows is enclosed by
    something else, `At` could not raise one as a signal does, and passes on.
    """
    instructions = list(dis.get_instructions(code))
    handlers = {
        each.offset: next((e.target for e in dis._parse_exception_table(code) if e.start <= each.offset < e.end), None)
        for each in instructions
    }
    pairs = [
        (one.offset, other.offset)
        for one, other in itertools.pairwise(instructions)
        if one.opname == "RESUME" or (one.opname.startswith("CALL") and one.opname != "CALL_INTRINSIC_1")
    ]
    pairs += [(each.offset, each.argval) for each in instructions if each.opname.startswith("JUMP_BACKWARD")]
    return frozenset(other for one, other in pairs if handlers[one] == handlers[other])


def _when(random: Random) -> int:
    return int(math.exp(random.uniform(0, math.log(1500))))


def _interrupt() -> None:
    raise KeyboardInterrupt


def interrupt(world: World, random: Random) -> None:
    """Interrupt another operation anywhere; then put back what was before, or go on from where it is."""
    name = random.choice(INTERRUPTED)
    k, restore = _when(random), random.random() < 0.5
    world.say(f"interrupt {name} at place {k}, then {'put back' if restore else 'go on from'} what was")
    before = copy.deepcopy(
        (world.model.params, world.model.state, {n: world.net.layers[n].rng for n in world.model.rngs})
    )
    at = At(k, _interrupt)
    try:
        with at:
            world.operations[name][0](world, random)
        return
    except KeyboardInterrupt:
        world.say(f"interrupted in {at.where}")
    for place in world.places:  # a setting is the one of before, or the new one
        for key in () if isinstance(place.settings, Moving) else SETTINGS.get(place.kind, ()):
            place.settings[key] = getattr(world.net.layers[place.name], key)
            if type(place.settings[key]) is not float:
                raise WrongError(f"{place.name}.{key} is {place.settings[key]!r}")
    world.see_own_forwards()
    for key in OPTIMIZER_SETTINGS.keys() - {"lr"}:
        world.descent.settings[key] = getattr(world.optimizer, key)
    world.optimizer.lr = world.descent.settings["lr"] = 0.1
    if restore:
        params, state, rngs = before
        world.net.params.update(params)
        world.net.state.update(state)
        for layer_name, rng in rngs.items():
            world.net.layers[layer_name].rng = rng
        world.optimizer, world.descent = tn.SGD(0.1), Descent()
    world.held = []
    world.take_over(all_of_it=True)
    if random.random() < 0.5:
        with contextlib.suppress(tn.InputError, tn.ShapeError):  # refused, or of a forward that came to its end
            world.net.backward(np.zeros((3, WIDTH), world.dtype))
    step(world, random)
    predict(world, random)


def handle(world: World, random: Random) -> None:
    """A signal's handler predicts in the middle of another operation."""
    name = random.choice(HANDLED)
    k, x = _when(random), world.input(random, world.rows(random, training=False))
    world.say(f"at place {k} of {name} a handler predicts {len(x)} rows")
    found: list[tuple[Any, Any, float]] = []

    def predict_now() -> None:
        net, model = world.net, world.model
        arrays = {role: {n: a.astype(float) for n, a in getattr(net, role).items()} for role in ("params", "state")}
        y, before = net.forward(x), model.size
        settings = [place.settings for place in world.places]
        for place in world.places:  # which the other operation may be about to change
            place.settings = {key: getattr(net.layers[place.name], key) for key in place.settings}
        expected = model.forward(x, **arrays)
        for place, own in zip(world.places, settings, strict=True):
            place.settings = own
        found.append((y, expected, model.size))
        model.size = before

    at = At(k, predict_now)
    with at:
        world.operations[name][0](world, random)
    for y, expected, size in found:
        world.say(f"handled in {at.where}")
        world.close_to("a prediction by a handler", y, expected, size)


def predict_within(world: World, random: Random) -> None:
    """In the middle of a prediction another of its size is made, in another thread or by a signal's handler."""
    rows, k, times = world.rows(random, training=False), random.randint(1, 40), random.randint(1, 3)
    outer, inner = world.input(random, rows), world.input(random, rows)
    found: list[Any] = []
    thread = random.random() < 0.5
    world.say(
        f"predict {rows} rows {times} times, and as many {'in a thread' if thread else 'by a handler'} at place {k}"
    )

    def predict_inner() -> None:
        found.append(world.net.forward(inner))

    def in_thread() -> None:
        with others(predict_inner):
            pass

    for _ in range(times):
        with At(k, in_thread if thread else predict_inner):
            y = world.net.forward(outer)
        expected = world.model.forward(outer)
        world.close_to("a prediction around another", y, expected, world.model.size)
    for y in found:
        expected = world.model.forward(inner)
        world.close_to("a prediction within another", y, expected, world.model.size)


def meanwhile(world: World, random: Random) -> None:
    """Another thread predicts while this one trains; the training does not notice."""
    name = random.choice(["step", "fit", "freeze"])
    xs = [world.input(random, world.rows(random, training=False)) for _ in range(3)]
    world.say(f"a thread predicts during {name}")
    done = threading.Event()

    def ask() -> None:
        for k in range(100):
            y = world.net.forward(xs[k % 3])
            if y.shape != (len(xs[k % 3]), WIDTH):
                raise WrongError(f"a prediction of shape {y.shape}")
            if done.is_set():
                return

    with others(ask):
        try:
            world.operations[name][0](world, random)
        finally:
            done.set()
