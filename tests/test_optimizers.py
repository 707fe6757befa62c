import math

import numpy as np
import pytest

import tinynet as tn

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
