"""Predictions, and training steps by hand."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

import tinynet as tn
from tests import reference
from tests.differential.world import NEAR_A_KINK, WIDTH, World, WrongError, draw_optimizer, refused


def predict(world: World, random: Random) -> None:
    """Predict some rows, some thousand rows, or the network's own arrays."""
    net, model = world.net, world.model
    own = world.own_arrays(random, batch=False) if random.random() < 0.4 else None
    if own:
        what, x = own
    else:
        rows = 1100 if random.random() < 0.01 else world.rows(random, training=False)
        what, x = f"{rows} rows", world.input(random, rows)
        world.hold(x, "an input")
    world.say(f"predict {what}")
    expected = model.forward(x)
    y = net.forward(x)
    world.close_to("a prediction", y, expected, model.size)
    world.hold(y, "a prediction that was handed out")
    world.last_output = y


def evaluate(world: World, random: Random) -> None:
    """Ask for loss and accuracy of a set."""
    x, labels = world.random_numbers(random, 9, WIDTH).astype(world.dtype), np.arange(9) % WIDTH
    y = world.model.forward(x)
    loss, accuracy = tn.evaluate(world.net, tn.Dataset(x, labels))
    world.close_to("the loss of a set", loss, reference.cross_entropy(y, labels), max(1, world.model.size))
    top = np.sort(y, axis=1)
    if (top[:, -1] - top[:, -2]).min() > 1e-3 * world.model.size:
        world.close_to("the accuracy of a set", accuracy, np.mean(y.argmax(axis=1) == labels))


def loss_of(world: World, random: Random, y: Any, expected: Any) -> Any:
    """Return d loss / dy from a loss, compared, or any numbers at all."""
    kind = random.choice(["cross-entropy", "squares", "any"])
    if kind == "any":
        return world.random_numbers(random, *y.shape, spread=0.3).astype(world.dtype)
    if kind == "squares":
        targets = world.random_numbers(random, *y.shape).astype(world.dtype)
        loss, dy = tn.MeanSquaredError()(y, targets)
        right, gradient = np.mean((expected - targets) ** 2), 2 * (expected - targets) / expected.size
    else:
        labels = np.array([random.randrange(WIDTH) for _ in y])
        loss, dy = tn.SoftmaxCrossEntropy()(y, labels)
        right, gradient = reference.cross_entropy(expected, labels), reference.cross_entropy_backward(expected, labels)
    size = max(1.0, world.model.size)
    world.close_to("a loss", loss, right, size**2)
    world.close_to("a loss's gradient", dy, gradient, size)
    return dy


def training_forward(world: World, random: Random) -> tuple[Any, Any]:
    """Return tinynet's output of a batch and the plain one."""
    own = world.own_arrays(random, batch=True) if random.random() < 0.1 else None
    what, x = own or ("", None)
    if x is None:
        x = world.input(random, world.rows(random, training=True))
        what = f"{len(x)} rows"
        world.hold(x, "a training input")
    if not own and random.random() < 0.1:
        written = world.net.input_array(len(x))
        written[...] = x
        what, x, own = f"{what} written where the network reads them", written, ("the network's", written)
    world.say(f"train on {what}")
    expected = world.model.forward(x, training=True)
    y = world.net.forward(x, training=True)
    world.close_to("a training output", y, expected, world.model.size)
    world.hold(y, "a training output that was handed out")
    if random.random() < 0.1:
        inside = world.model.pending.values[1:] if world.model.pending else []
        for (name, value), right in zip(world.net.values.items(), inside, strict=True):
            world.close_to(f"net.values[{name!r}]", value, right, world.model.size)
    if random.random() < 0.1 and x.flags.writeable and not own:
        world.held = [each for each in world.held if each[0] is not x]
        x[...] = 0.0  # the caller's again
    return y, expected


def forward_and_backward(world: World, random: Random) -> None:
    """Compare a batch's output and gradients."""
    net, model = world.net, world.model
    y, expected = training_forward(world, random)
    if random.random() < 0.4:
        name = random.choices(list(world.between), [weight for _, weight in world.between.values()])[0]
        world.say(f"between forward and backward: {name}")
        if world.between[name][0](world, random) is False:  # backward has to be refused now
            refused(world, "backward after a forward that was refused", lambda: net.backward(np.zeros_like(y)))
            y, expected = training_forward(world, random)
    if model.pending is not None and y.shape[0] != model.pending.rows:  # another forward came between
        expected, y = model.pending.values[-1], model.pending.values[-1].astype(world.dtype)
    if model.pending is not None:  # not the size of what came between
        model.size = max(np.abs(value).max() for value in model.pending.values)
    dy = loss_of(world, random, y, expected)
    if random.random() < 0.1:
        dy = np.asfortranarray(dy)
    own = [a for a in (*net.params.values(), *net.grads.values()) if a.shape == dy.shape]
    if own and random.random() < 0.3:
        dy = random.choice(own)
        world.say("dy is one of the network's own arrays")
    else:
        world.hold(dy, "a gradient that was handed in")
    for again in range(2 if random.random() < 0.1 else 1):
        dx_expected = model.backward(dy)
        if random.random() < 0.3:
            dx = net.backward(dy, input_gradient=False)
            if dx is not None:
                raise WrongError("backward without the input's gradient returns something")
        else:
            dx = net.backward(dy)
            world.hold(dx, "a gradient that was handed out")
        if world.dtype == "float32" and model.nearest_kink < NEAR_A_KINK:
            world.not_compared += 1
            model.grads = {name: g.astype(float) for name, g in net.grads.items()}
            return
        if dx is not None:
            world.close_to("d loss / dx", dx, dx_expected, model.size)
        compare_gradients(world, f"in backward {again + 1}")


def compare_gradients(world: World, when: str) -> None:
    for name, g in world.net.grads.items():
        world.close_to(f"gradient of {name} {when}", g, world.model.grads[name], world.model.size)
        world.model.grads[name] = g.astype(float)


def step(world: World, random: Random) -> None:
    """Forward, loss, backward, update, by hand; now and then with gradients of the user's own making."""
    net = world.net
    for _ in range(random.choice([1, 1, 2, 3])):
        forward_and_backward(world, random)
        if random.random() < 0.1:
            name = random.choice(list(net.grads))
            world.say(f"net.grads[{name!r}] += 0.1 * its weight")
            net.grads[name] += (0.1 * net.params[name]).astype(world.dtype)
            world.model.grads[name] = net.grads[name].astype(float)
        world.optimizer.step(net.params, net.grads)
        world.descent.step(world.model, net.params)
        compare_gradients(world, "after the update")
        world.check()


def freeze(world: World, random: Random) -> None:
    """Move only some of the parameters, in a new dict at every step."""
    net = world.net
    names = random.sample(list(net.params), k=random.randint(1, len(net.params)))
    world.say(f"move only {names}")
    whole = random.random() < 0.5
    for _ in range(random.randint(1, 3)):
        forward_and_backward(world, random)
        params = {name: net.params[name] for name in names}
        grads = net.grads if whole else {name: net.grads[name] for name in names}
        world.optimizer.step(params, grads)
        world.descent.step(world.model, names)
        compare_gradients(world, "after the update")
        world.check()


def new_optimizer(world: World, random: Random) -> None:
    """Take another optimizer, which starts anew."""
    world.optimizer, world.descent = draw_optimizer(random)
    world.say(f"lr {world.optimizer.schedule} with {world.descent.settings}")


def forward_again(world: World, random: Random) -> None:
    """Another training forward, of which backward goes."""
    training_forward(world, random)


def many_sizes(world: World, random: Random) -> None:
    """Predictions of many sizes, more than are kept."""
    for rows in range(1, 30):
        x = world.random_numbers(random, rows, WIDTH).astype(world.dtype)
        expected = world.model.forward(x)
        world.close_to("a prediction", world.net.forward(x), expected, world.model.size)


def at_the_end(world: World, random: Random) -> None:
    """Each batch size of the program once more, and what the layers say of themselves."""
    world.check_reprs()
    for rows in world.sizes:
        x = world.random_numbers(random, rows, WIDTH).astype(world.dtype)
        expected = world.model.forward(x)
        world.close_to("a prediction at the end", world.net.forward(x), expected, world.model.size)
        if rows > 1:
            step(world, random)
