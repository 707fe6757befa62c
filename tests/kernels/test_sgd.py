import numpy as np
import pytest

from tests import reference, vectors
from tinynet.kernels import sgd

both_dtypes = pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(np.float64, {"rtol": 1e-10, "atol": 1e-10}), (np.float32, {"rtol": 4e-7, "atol": 4e-7})],
)


def update(w, g, lr, decay, shrink):
    sgd.update(w, g, np.array([lr, decay, shrink, 0.0]))


def update_momentum(w, g, v, lr, decay, shrink, momentum, nesterov):
    sgd.update_momentum(w, g, v, np.array([lr, decay, shrink, momentum]), nesterov)


def numbers(dtype=np.float64, seed=0):
    """Return w, g, v."""
    return [a.astype(dtype) for a in np.random.default_rng(seed).normal(size=(3, 23))]


@both_dtypes
@pytest.mark.parametrize(("decay", "shrink"), [(0.0, 0.0), (0.1, 0.0), (0.0, 0.02), (0.1, 0.02)])
def test_a_plain_step(dtype, tolerance, decay, shrink):
    w, g, _ = numbers(dtype)
    expected = reference.sgd_update(w.astype(np.float64), g.astype(np.float64), 0.3, decay, shrink)
    gradient = g.copy()
    update(w, g, 0.3, decay, shrink)
    np.testing.assert_allclose(w, expected, **tolerance)
    np.testing.assert_array_equal(g, gradient)


@both_dtypes
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize(("decay", "shrink"), [(0.0, 0.0), (0.1, 0.0), (0.0, 0.02), (0.1, 0.02)])
def test_a_step_with_momentum(dtype, tolerance, nesterov, decay, shrink):
    w, g, v = numbers(dtype)
    settings = (0.3, decay, shrink, 0.9, nesterov)
    expected = reference.sgd_update_momentum(*(a.astype(np.float64) for a in (w, g, v)), *settings)
    gradient = g.copy()
    update_momentum(w, g, v, *settings)
    np.testing.assert_allclose(w, expected[0], **tolerance)
    np.testing.assert_allclose(v, expected[1], **tolerance)
    np.testing.assert_array_equal(g, gradient)


SETTINGS = {
    "momentum": (0.05, 0.0, 0.0, 0.9, False),
    "nesterov": (0.05, 0.0, 0.0, 0.9, True),
    "all": (0.05, 0.1, 0.0, 0.8, True),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_six_steps_with_momentum_as_pytorch_does_them(name):
    torch = vectors.pytorch()
    w = torch["sgd.start"].copy()
    v = np.zeros_like(w)
    for g, expected in zip(torch["sgd.gradients"], torch[f"sgd.{name}"], strict=True):
        update_momentum(w, g, v, *SETTINGS[name])
        np.testing.assert_allclose(w, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("name", "decay"), [("plain", 0.0), ("weight_decay", 0.1)])
def test_six_plain_steps_as_pytorch_does_them(name, decay):
    torch = vectors.pytorch()
    w = torch["sgd.start"].copy()
    for g, expected in zip(torch["sgd.gradients"], torch[f"sgd.{name}"], strict=True):
        update(w, g, 0.05, decay, 0.0)
        np.testing.assert_allclose(w, expected, rtol=1e-12, atol=1e-14)


def test_momentum_zero_is_the_plain_step():
    w, g, v = numbers()
    plain = w.copy()
    update(plain, g, 0.3, 0.1, 0.02)
    update_momentum(w, g, v, 0.3, 0.1, 0.02, 0.0, False)
    np.testing.assert_allclose(w, plain, rtol=1e-14)


def test_shrinking_does_not_depend_on_the_gradient():
    w, g, _ = numbers()
    expected = 0.75 * w
    update(w, np.zeros_like(g), 0.3, 0.0, 0.25)
    np.testing.assert_array_equal(w, expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_gradient_that_is_not_finite_spoils_its_parameter_and_no_other(dtype, bad):
    for momentum in (False, True):
        w, g, v = numbers(dtype)
        g[4] = bad
        if momentum:
            update_momentum(w, g, v, 0.1, 0.0, 0.0, 0.9, False)
        else:
            update(w, g, 0.1, 0.0, 0.0)
        np.testing.assert_array_equal(np.flatnonzero(~np.isfinite(w)), [4])
        assert np.isnan(w[4]) == np.isnan(bad)


@both_dtypes
def test_sum_of_squares(dtype, tolerance):
    g = numbers(dtype)[1]
    np.testing.assert_allclose(sgd.sum_of_squares(g), reference.sum_of_squares(g), rtol=1e-13)
    assert sgd.sum_of_squares(g[:0]) == 0


def test_sum_of_squares_of_float32_is_taken_in_double():
    assert sgd.sum_of_squares(np.array([1e30, 1e-30], np.float32)) == pytest.approx(1e60)  # beyond float32
    assert sgd.sum_of_squares(np.array([4096] + [1] * 50, np.float32)) == 4096**2 + 50  # lost in float32


@pytest.mark.parametrize(("bad", "expected"), [(np.nan, np.nan), (np.inf, np.inf), (-np.inf, np.inf)])
def test_sum_of_squares_does_not_hide_what_is_not_finite(bad, expected):
    g = numbers()[1]
    g[7] = bad
    np.testing.assert_equal(sgd.sum_of_squares(g), expected)
