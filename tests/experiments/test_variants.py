from collections.abc import Callable

import numpy as np
import pytest

import tinynet as tn
from tinynet.course.numerical import derivative
from tinynet.experiments.variants import MovingNoise, PartialNorm
from tinynet.typing import Array

X = np.random.default_rng(0).normal(3.0, 2.0, (6, 4))
DY = np.random.default_rng(1).normal(size=X.shape)
MAKE: dict[str, Callable[[], tn.Layer]] = {
    "both": PartialNorm,
    "mean only": lambda: PartialNorm(variance=False),
    "variance only": lambda: PartialNorm(mean=False),
    "without gamma and beta": lambda: PartialNorm(affine=False),
    "noise": MovingNoise,
}


def built(name: str) -> tn.Layer:
    layer = MAKE[name]().build(4, dtype="float64")
    for k, value in enumerate(layer.params.values()):
        value[...] = np.random.default_rng(k).uniform(0.5, 1.5, value.shape)
    return layer


def output(layer: tn.Layer, x: Array) -> Array:
    """Return the training output for x; noise is drawn the same each time."""
    if isinstance(layer, MovingNoise):
        layer.rng = np.random.default_rng(7)
    return layer.forward(x, training=True)


@pytest.mark.parametrize("name", MAKE)
def test_backward_is_the_slope_of_forward(name: str) -> None:
    layer, x = built(name), X.copy()
    output(layer, x)
    dx = layer.backward(DY)
    grads = {key: value.copy() for key, value in layer.grads.items()}
    for array, gradient in [(x, dx), *((layer.params[key], grads[key]) for key in grads)]:
        expected = derivative(lambda: float((output(layer, x) * DY).sum()), array, 1e-6)
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-7)


def test_mean_and_variance_together_are_batch_norm() -> None:
    ours, reference = PartialNorm().build(4, dtype="float64"), tn.BatchNorm().build(4, dtype="float64")
    for training in (True, False):
        np.testing.assert_allclose(ours.forward(X, training=training), reference.forward(X, training=training))
    np.testing.assert_allclose(ours.backward(DY), reference.backward(DY), atol=1e-12)
    for name, value in reference.state.items():
        np.testing.assert_allclose(ours.state[name], value)


def test_each_part_does_its_own_and_leaves_the_other() -> None:
    mean_only = output(built("mean only"), X) - built("mean only").params["beta"]
    np.testing.assert_allclose(mean_only.mean(axis=0), 0, atol=1e-12)
    layer = PartialNorm(mean=False, affine=False)
    variance_only = output(layer, X)
    np.testing.assert_allclose(variance_only.std(axis=0), 1, rtol=1e-4)
    np.testing.assert_allclose(variance_only.mean(axis=0), X.mean(axis=0) / X.std(axis=0), rtol=1e-4)
    assert not layer.params


def test_one_example_has_no_variance() -> None:
    with pytest.raises(tn.InputError, match="at least 2 examples"):
        PartialNorm().forward(X[:1], training=True)


def test_noise_moves_mean_and_deviation_in_training_only() -> None:
    layer, x = MovingNoise().build(4, dtype="float64"), np.random.default_rng(0).normal(size=(20000, 4))
    means = np.array([layer.forward(x, training=True).mean(axis=0) for _ in range(40)])
    stds = np.array([layer.forward(x, training=True).std(axis=0) for _ in range(40)])
    assert abs(means).max() < 0.55
    assert means.std() == pytest.approx(0.5 / np.sqrt(3), rel=0.2)  # of uniform(-0.5, 0.5)
    assert 0.99 < stds.min() < stds.max() < 1.28
    np.testing.assert_array_equal(layer.forward(x), x)


def test_a_copy_of_noise_draws_the_same() -> None:
    layer = MovingNoise().build(4, dtype="float64")
    other = layer.copy()
    np.testing.assert_array_equal(layer.forward(X, training=True), other.forward(X, training=True))


def test_noise_leaves_the_weights_that_are_drawn_as_they_are() -> None:
    plain = tn.Sequential([tn.Dense(5), tn.Dense(3)], inputs=4, seed=3)
    noisy = tn.Sequential([tn.Dense(5), MovingNoise(), tn.Dense(3)], inputs=4, seed=3)
    np.testing.assert_array_equal(plain.params["dense_2.weight"], noisy.params["dense_2.weight"])
