"""Training by `tn.fit`, watched step by step or compared at its end, and resumed from a checkpoint."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import numpy as np

import tinynet as tn
from tests import reference
from tests.differential.model import Descent
from tests.differential.training import compare_gradients
from tests.differential.world import NEAR_A_KINK, WIDTH, World, WrongError, bits


class Watch(tn.Callback):
    """A callback that compares the plain network's step, or does something else to the network."""

    def __init__(self, world: World, follow: Callable[[], None], own: Callable[[str, int], None]) -> None:
        self.world, self.follow, self.own = world, follow, own

    def on_backward(self, run: Any) -> None:
        self.follow()
        self.own("on_backward", run.step)

    def on_step(self, run: Any) -> None:
        world = self.world
        world.descent.step(world.model, world.net.params)
        world.check()
        self.own("on_step", run.step)


def fit(world: World, random: Random) -> None:
    """Train by `tn.fit`, watched step by step or only at its end; with a loss, records, and things in between."""
    net, model = world.net, world.model
    size = random.choice([n for n in world.sizes if n > 1])
    examples = size * random.randint(1, 3)
    seed, steps = random.randrange(1000), random.randint(1, 4)
    x = world.random_numbers(random, examples, WIDTH).astype(random.choice(["float32", "float64"]))
    squares = random.random() < 0.3
    y = world.random_numbers(random, examples, WIDTH).astype(world.dtype) if squares else np.arange(examples) % WIDTH
    data = tn.Dataset(x, y)
    loss = tn.MeanSquaredError() if squares else tn.SoftmaxCrossEntropy()
    watched = random.random() < 0.6
    between = random.choice([None, *world.between_steps]) if watched else None
    when = random.choice(["on_backward", "on_step"])
    stop_at = random.randint(1, steps) if watched and random.random() < 0.1 else None
    world.say(f"fit {steps} steps of {size} of {examples} examples{', watched' * watched}, with {between} {when}")
    batches = _batches(examples, size, seed)
    losses: list[float] = []

    def follow() -> None:
        rows = next(batches)
        out = model.forward(x[rows], training=True)
        if squares:
            losses.append(float(np.mean((out - y[rows]) ** 2)))
            dy = 2 * (out - y[rows]) / out.size
            terms = 2 * max(np.abs(out).max(), np.abs(y[rows]).max()) / out.size
        else:
            losses.append(float(reference.cross_entropy(out, y[rows])))
            dy, terms = reference.cross_entropy_backward(out, y[rows]), 1 / size
        model.backward(dy)
        model.size *= max(1.0, terms / np.abs(dy).max())  # a difference is as exact as what it is taken of
        if world.dtype == "float32" and model.nearest_kink < NEAR_A_KINK:
            world.not_compared += 1
            model.grads = {name: g.astype(float) for name, g in net.grads.items()}
        elif watched:
            compare_gradients(world, "in fit")

    def own(place: str, step: int) -> None:
        if between is not None and place == when:
            world.between_steps[between][0](world, Random(seed + step))
        if place == "on_step" and step == stop_at:
            raise RuntimeError("out of the callback")

    callbacks = [Watch(world, follow, own)] if watched else []
    try:
        history = tn.fit(
            net, data, loss=loss, optimizer=world.optimizer, steps=steps, batch_size=size, seed=seed,
            callbacks=callbacks, validate_every=steps,
        )  # fmt: skip
    except RuntimeError as error:
        if str(error) != "out of the callback":
            raise
        return
    if not watched:
        nearest = math.inf
        for _ in range(steps):
            follow()
            nearest = min(nearest, model.nearest_kink)
            world.descent.step(model, net.params)
        if world.dtype == "float32" and nearest < 10 * NEAR_A_KINK:
            world.not_compared += 1
            world.take_over(all_of_it=True)
            return
        world.check(times=100)
    world.close_to("the training loss in the history", history.train_loss[-1], np.mean(losses), max(1, model.size**2))


def _batches(examples: int, size: int, seed: int) -> Iterator[Any]:
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(examples)
        for start in range(0, examples, size):
            yield order[start : start + size]


def resume(world: World, random: Random) -> None:
    """Stop a run in its middle and go on from its checkpoint; compare with a run that was never stopped."""
    if world.own_kinds or world.replaced is not None:
        return
    net, model, path = world.net, world.model, world.path("run.safetensors")
    size = random.choice([n for n in world.sizes if n > 1])
    examples, steps = 2 * size, random.randint(2, 4)
    stop, seed = random.randint(1, steps - 1), random.randrange(1000)
    x, y = world.random_numbers(random, examples, WIDTH).astype(world.dtype), np.arange(examples) % WIDTH
    data = tn.Dataset(x, y)
    world.say(f"stop a fit of {steps} steps of {size} after {stop} and resume it")

    class Stopping(tn.Callback):
        def on_step(self, run: Any) -> None:
            run.stop = run.step == stop

    never, its_optimizer = copy.deepcopy((net, world.optimizer))
    tn.fit(never, data, optimizer=its_optimizer, steps=steps, batch_size=size, seed=seed)
    tn.fit(
        net, data, optimizer=world.optimizer, steps=steps, batch_size=size, seed=seed, checkpoint=path,
        callbacks=[Stopping()],
    )  # fmt: skip
    world.net, history = tn.resume(path, data)
    if history.steps[-1] != steps:
        raise WrongError(f"the resumed run ended at step {history.steps[-1]} of {steps}")
    if bits(world.net) != bits(never):
        raise WrongError("the resumed run has other weights than the one that was never stopped")
    nearest = math.inf
    for _, rows in zip(range(steps), _batches(examples, size, seed), strict=False):
        out = model.forward(x[rows], training=True)
        model.backward(reference.cross_entropy_backward(out, y[rows]))
        nearest = min(nearest, model.nearest_kink)
        world.descent.step(model, model.params)
    if world.dtype == "float32" and nearest < 10 * NEAR_A_KINK:
        world.not_compared += 1
        for name, array in (*world.net.params.items(), *world.net.state.items()):
            (model.params if name in model.params else model.state)[name] = array.astype(float)
    world.optimizer = tn.SGD(0.05)
    world.descent = Descent(lr=0.05)
    world.take_streams()
    world.check(times=100)
