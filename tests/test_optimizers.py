import math
import re

import numpy as np
import pytest

import tinynet as tn
from tinynet.arrays import LiveArrays

LR, MOMENTUM, DECAY = 0.3, 0.8, 0.1
STEPS = 6


def gradient_at(step):
    return np.random.default_rng(100 + step).normal(size=(3, 2))


def trajectory(optimizer, dtype="float64"):
    """Where the optimizer takes one weight in STEPS steps along given gradients."""
    params = {"w": np.random.default_rng(0).normal(size=(3, 2)).astype(dtype)}
    places = [params["w"].copy()]
    for step in range(STEPS):
        optimizer.step(params, {"w": gradient_at(step).astype(dtype)})
        places.append(params["w"].copy())
    return places


def by_hand(*, momentum=0.0, nesterov=False, l2=0.0, decoupled=0.0, lr=lambda step: LR):
    """The recursion of the docstring, written out."""
    w = np.random.default_rng(0).normal(size=(3, 2))
    v = np.zeros_like(w)
    places = [w]
    for step in range(STEPS):
        g = gradient_at(step) + l2 * w
        v = momentum * v + g
        direction = g + momentum * v if nesterov else v
        w = w - lr(step) * decoupled * w - lr(step) * direction
        places.append(w)
    return places


@pytest.mark.parametrize("decay", ["none", "l2", "decoupled"])
@pytest.mark.parametrize("kind", ["plain", "momentum", "nesterov"])
def test_sgd_follows_its_recursion(kind, decay):
    settings = {
        "momentum": 0.0 if kind == "plain" else MOMENTUM,
        "nesterov": kind == "nesterov",
    }
    optimizer = tn.SGD(LR, **settings, weight_decay=0.0 if decay == "none" else DECAY, decoupled=decay == "decoupled")
    expected = by_hand(
        **settings, l2=DECAY if decay == "l2" else 0.0, decoupled=DECAY if decay == "decoupled" else 0.0
    )
    np.testing.assert_allclose(trajectory(optimizer), expected, rtol=1e-13, atol=1e-14)


def test_l2_and_decoupled_decay_are_the_same_without_momentum_and_differ_with_it():
    def end(momentum, decoupled):
        return trajectory(tn.SGD(LR, momentum=momentum, weight_decay=DECAY, decoupled=decoupled))[-1]

    np.testing.assert_allclose(end(0.0, True), end(0.0, False), rtol=1e-13)
    assert np.abs(end(MOMENTUM, True) - end(MOMENTUM, False)).max() > 0.01


def test_float32_parameters_stay_float32_and_follow_too():
    places = trajectory(tn.SGD(LR, momentum=MOMENTUM), dtype="float32")
    assert places[-1].dtype == np.float32
    np.testing.assert_allclose(places, by_hand(momentum=MOMENTUM), rtol=1e-5, atol=1e-6)


def test_a_schedule_gives_each_steps_rate():
    optimizer = tn.SGD(tn.StepDecay(LR, every=2, factor=0.5))
    np.testing.assert_allclose(trajectory(optimizer), by_hand(lr=lambda step: LR * 0.5 ** (step // 2)), rtol=1e-13)
    assert optimizer.lr == LR * 0.5**3  # of the next step


@pytest.mark.parametrize("norm", [0.7, 5.0, 1e3])
def test_clipping_scales_all_gradients_together_to_the_global_norm(norm):
    grads = {"a": np.array([[3.0, 0.0]]), "b": np.array([4.0, 12.0])}  # global norm 13
    params = {"a": np.zeros((1, 2)), "b": np.zeros(2)}
    tn.SGD(1.0, clip_norm=norm).step(params, {name: g.copy() for name, g in grads.items()})
    scale = min(1.0, norm / 13)
    for name, g in grads.items():
        np.testing.assert_allclose(params[name], -scale * g, rtol=1e-14)
    moved = math.sqrt(sum(np.sum(w**2) for w in params.values()))
    assert moved == pytest.approx(min(13, norm), rel=1e-14)


def test_gradients_that_float32_cannot_square_are_clipped_all_the_same():
    params = {"w": np.zeros(2, "float32")}
    tn.SGD(1.0, clip_norm=1.0).step(params, {"w": np.array([3e30, 4e30], "float32")})
    np.testing.assert_allclose(params["w"], [-0.6, -0.8], rtol=1e-6)


def test_parameters_are_moved_in_place():
    w = np.ones((2, 2))
    tn.SGD(0.5).step({"w": w}, {"w": np.ones((2, 2))})
    np.testing.assert_array_equal(w, np.full((2, 2), 0.5))


def test_given_another_networks_parameters_it_starts_anew():
    optimizer = tn.SGD(tn.Cosine(LR, steps=10), momentum=MOMENTUM)
    np.testing.assert_array_equal(trajectory(optimizer), trajectory(optimizer))


def test_given_the_same_parameters_it_goes_on():
    params, grads = {"w": np.zeros(1)}, {"w": np.ones(1)}
    optimizer = tn.SGD(1.0, momentum=0.5)
    for expected in (-1.0, -2.5, -4.25):  # velocities 1, 1.5, 1.75
        optimizer.step(params, grads)
        assert params["w"][0] == expected
    assert optimizer.steps == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 0}, "lr must be a positive number, not 0"),
        ({"lr": -0.1}, "lr must be a positive number"),
        ({"lr": math.nan}, "lr must be a positive number"),
        ({"lr": "fast"}, "lr must be a number or a schedule, not 'fast'"),
        ({"momentum": 1.0}, "momentum must be at least 0 and below 1, not 1.0"),
        ({"momentum": -0.1}, "momentum must be at least 0"),
        ({"momentum": math.nan}, "momentum must be at least 0"),
        ({"nesterov": True}, "nesterov needs a momentum"),
        ({"weight_decay": -1}, "weight_decay must not be negative, not -1"),
        ({"weight_decay": math.nan}, "weight_decay must not be negative"),
        ({"clip_norm": 0}, "clip_norm must be above 0, not 0"),
        ({"clip_norm": math.nan}, "clip_norm must be above 0"),
    ],
)
def test_bad_settings_are_refused_by_name(settings, message):
    with pytest.raises(tn.InputError, match=message):
        tn.SGD(**settings)


# -- settings that change, parameters that are frozen ---------------------------------------------------------


def quadratic():
    """Parameters of a made-up network, and their gradients at step k."""
    params = {name: np.random.default_rng(k).normal(size=(3, 2)) for k, name in enumerate("abc")}
    return params, lambda k: {name: np.random.default_rng([k, ord(name)]).normal(size=(3, 2)) for name in "abc"}


class ByHand:
    """The recursion of the docstring for one parameter, whose settings are read at each step."""

    def __init__(self, w):
        self.w, self.v = w.copy(), np.zeros_like(w)

    def step(self, g, lr=LR, momentum=0.0, nesterov=False, l2=0.0, decoupled=0.0):
        g = g + l2 * self.w
        self.v = momentum * self.v + g if momentum else np.zeros_like(g)
        direction = g + momentum * self.v if nesterov else (self.v if momentum else g)
        self.w = self.w - lr * decoupled * self.w - lr * direction


CHANGES = [  # from then on
    {"momentum": 0.5},
    {"nesterov": True},
    {"lr": 0.05},
    {"nesterov": False, "momentum": np.float32(0.25)},
    {"momentum": 0},
    {"momentum": 0.75, "weight_decay": 1},
    {"decoupled": True, "weight_decay": np.float64(0.5)},
    {"lr": tn.Constant(0.01), "decoupled": np.bool_(False)},
]


@pytest.mark.parametrize("live", [True, False])
def test_an_assigned_setting_counts_from_the_next_step_on(live):
    arrays, gradients = quadratic()
    params = LiveArrays(arrays) if live else arrays
    grads = LiveArrays({name: g.copy() for name, g in gradients(0).items()})
    twins, optimizer = {name: ByHand(w) for name, w in params.items()}, tn.SGD(LR)
    now = {"lr": LR, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0, "decoupled": False}
    for k in range(3 * len(CHANGES)):
        if k % 3 == 1:
            for name, value in CHANGES[k // 3].items():
                setattr(optimizer, name, value)
                now[name] = value(0) if callable(value) else float(value)
        grads.update(gradients(k))
        optimizer.step(params, grads)
        decay = now["weight_decay"]
        for name, twin in twins.items():
            kinds = {"decoupled": decay} if now["decoupled"] else {"l2": decay}
            twin.step(gradients(k)[name], now["lr"], now["momentum"], now["nesterov"], **kinds)
            np.testing.assert_allclose(params[name], twin.w, rtol=1e-12, atol=1e-14)
        assert bool(optimizer.velocity) == (now["momentum"] > 0)
    assert optimizer.steps == 3 * len(CHANGES)


def test_frozen_parameters_stay_and_the_others_go_on_as_if_nothing_had_been_left_out():
    params, gradients = quadratic()
    twins = {name: ByHand(w) for name, w in params.items()}
    schedule = tn.StepDecay(LR, every=2, factor=0.5)
    optimizer = tn.SGD(schedule, momentum=MOMENTUM, nesterov=True)
    for k, moving in enumerate(["abc", "a", "a", "bc", "abc", "c", "ab", "abc"]):
        optimizer.step({name: w for name, w in params.items() if name in moving}, gradients(k))
        for name in moving:
            twins[name].step(gradients(k)[name], schedule(k), MOMENTUM, nesterov=True)
        for name, twin in twins.items():
            np.testing.assert_allclose(params[name], twin.w, rtol=1e-12, atol=1e-14)


def test_clipping_goes_by_the_gradients_of_what_is_moved():
    params = {"a": np.zeros(2), "b": np.zeros(2)}
    tn.SGD(1.0, clip_norm=1.0).step({"a": params["a"]}, {"a": np.array([3.0, 4.0]), "b": np.array([1e9, 0])})
    np.testing.assert_allclose(params["a"], [-0.6, -0.8], rtol=1e-14)


def test_a_velocity_that_is_put_back_is_the_one_of_the_next_step():
    params, gradients = quadratic()
    optimizer, grads = tn.SGD(LR, momentum=MOMENTUM), LiveArrays(gradients(0))
    params = LiveArrays(params)
    for k in range(3):
        if k == 2:
            start = {name: (w.copy(), optimizer.velocity[name].copy()) for name, w in params.items()}
        grads.update(gradients(k))
        optimizer.step(params, grads)
    expected = {name: w.copy() for name, w in params.items()}
    optimizer.velocity.update({name: v for name, (_, v) in start.items()})
    params.update({name: w for name, (w, _) in start.items()})
    optimizer.step(params, grads)
    for name, w in params.items():
        np.testing.assert_array_equal(w, expected[name])


def test_an_array_of_another_shape_under_the_same_name_gets_a_velocity_of_its_own():
    params, optimizer = {"w": np.zeros(2)}, tn.SGD(1.0, momentum=0.5)
    optimizer.step(params, {"w": np.ones(2)})
    params["w"] = np.zeros((3, 3))
    for expected in (-1.0, -2.5):
        optimizer.step(params, {"w": np.ones((3, 3))})
        np.testing.assert_array_equal(params["w"], np.full((3, 3), expected))


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("momentum", 1.0, "momentum must be at least 0 and below 1, not 1.0"),
        ("momentum", 0, "nesterov needs a momentum above 0"),
        ("momentum", "0.9", "momentum must be a number, not '0.9'"),
        ("weight_decay", -1, "weight_decay must not be negative"),
        ("weight_decay", math.inf, "weight_decay must be a finite number"),
        ("clip_norm", 0, "clip_norm must be above 0, not 0"),
        ("lr", 0, "lr must be a positive number"),
        ("lr", "fast", "lr must be a number or a schedule"),
        ("schedule", None, "lr must be a number or a schedule"),
        ("nesterov", np.ones(2), "nesterov must be true or false"),
    ],
)
def test_an_assignment_is_refused_as_in_the_constructor_and_changes_nothing(setting, value, message):
    optimizer = tn.SGD(LR, momentum=0.5, nesterov=True)
    before = dict(vars(optimizer))
    with pytest.raises(tn.InputError, match=message):
        setattr(optimizer, setting, value)
    assert vars(optimizer) == before
    with pytest.raises(tn.InputError, match="nesterov needs a momentum"):
        tn.SGD().nesterov = True


@pytest.mark.parametrize(
    ("params", "grads", "message"),
    [
        ({"w": np.ones(2)}, {}, "there is no gradient of w"),
        ("x", {}, "give dicts of arrays by name"),
        ([np.ones(2)], [np.ones(2)], "give dicts of arrays by name"),
        ({"w": 1.0}, {"w": 1.0}, "give dicts of arrays by name"),
        ({"w": np.ones(2)}, {"w": np.ones(3)}, "w is float64 (2,), its gradient float64 (3,)"),
        ({"w": np.ones(2)}, {"w": np.ones(2, "float32")}, "w is float64 (2,), its gradient float32 (2,)"),
        ({"w": np.ones(2, int)}, {"w": np.ones(2, int)}, "be float32 or float64"),
        ({"w": np.ones((2, 3)).T}, {"w": np.ones((3, 2))}, "must be C-ordered and writable"),
    ],
)
def test_arrays_that_no_kernel_can_take_are_refused_by_name_before_anything_moves(params, grads, message):
    optimizer, good = tn.SGD(LR, momentum=0.5), {"a": np.ones(2)}
    optimizer.step(good, {"a": np.ones(2)})
    with pytest.raises(tn.InputError, match=re.escape(message)):
        optimizer.step(params, grads)
    assert optimizer.steps == 1
    optimizer.step(good, {"a": np.ones(2)})
    np.testing.assert_allclose(good["a"], 1 - LR - 1.5 * LR)
