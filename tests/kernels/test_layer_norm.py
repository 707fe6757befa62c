import numpy as np
import pytest

from tests import reference, vectors
from tests.reference import complex_step
from tinynet.kernels import layer_norm

EPS = 1e-5
EXACT = {"rtol": 1e-10, "atol": 1e-10}


def forward(x, gamma, beta, eps=EPS):
    """Return y, x_hat, inv_std, as the twin does."""
    y, x_hat, inv_std = np.full_like(x, 77), np.full_like(x, 77), np.full(len(x), 77, x.dtype)
    layer_norm.forward(x, gamma, beta, eps, y, x_hat, inv_std)
    return y, x_hat, inv_std


def backward(dy, x, gamma, eps=EPS):
    """Return dx, dgamma, dbeta, as the twin does."""
    _, x_hat, inv_std = forward(x, gamma, np.zeros_like(gamma), eps)
    dx, dgamma, dbeta = np.full_like(x, 77), np.full_like(gamma, 77), np.full_like(gamma, 77)
    layer_norm.backward(dy, x_hat, gamma, inv_std, dx, dgamma, dbeta)
    return dx, dgamma, dbeta


def numbers(m=4, features=9, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    x, dy = rng.normal(1, 2, (m, features)), rng.normal(size=(m, features))
    gamma, beta = rng.normal(1, 0.5, features), rng.normal(size=features)
    return [a.astype(dtype) for a in (x, gamma, beta, dy)]


def doubles(*arrays):
    return [a.astype(np.float64) for a in arrays]


def assert_all_close(found, expected, **tolerance):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, **tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, EXACT), (np.float32, {"rtol": 2e-6, "atol": 2e-6})])
@pytest.mark.parametrize("shape", [(1, 2), (4, 9), (3, 130)])
def test_forward_normalizes_each_row(dtype, tolerance, shape):
    x, gamma, beta, _ = numbers(*shape, dtype=dtype)
    found = forward(x, gamma, beta)
    assert_all_close(found, reference.layer_norm_forward(*doubles(x, gamma, beta), EPS), **tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, EXACT), (np.float32, {"rtol": 1e-5, "atol": 1e-5})])
@pytest.mark.parametrize("shape", [(1, 3), (4, 9), (3, 130)])
def test_backward_is_the_chain_rule_through_mean_and_variance(dtype, tolerance, shape):
    x, gamma, _, dy = numbers(*shape, dtype=dtype)
    assert_all_close(backward(dy, x, gamma), reference.layer_norm_backward(*doubles(dy, x, gamma), EPS), **tolerance)


def test_the_twins_backward_agrees_with_a_complex_step():
    x, gamma, beta, dy = numbers()

    def loss(x, gamma, beta):
        return np.sum(dy * reference.layer_norm_forward(x, gamma, beta, EPS)[0])

    by_step = (
        complex_step(lambda z: loss(z, gamma, beta), x),
        complex_step(lambda z: loss(x, z, beta), gamma),
        complex_step(lambda z: loss(x, gamma, z), beta),
    )
    assert_all_close(reference.layer_norm_backward(dy, x, gamma, EPS), by_step, rtol=1e-12, atol=1e-13)


def test_forward_and_backward_as_pytorch_does_them():
    torch = vectors.pytorch()
    x, dy, gamma, beta = (torch[f"rows.{name}"] for name in ("x", "dy", "gamma", "beta"))
    found = (forward(x, gamma, beta)[0], *backward(dy, x, gamma))
    assert_all_close(found, (torch[f"layer_norm.{name}"] for name in ("y", "dx", "dgamma", "dbeta")), **EXACT)


def test_one_example_does_not_know_of_the_others():
    x, gamma, beta, _ = numbers()
    together = forward(x, gamma, beta)[0]
    for i in range(len(x)):
        np.testing.assert_array_equal(forward(x[i : i + 1], gamma, beta)[0], together[i : i + 1])


def test_a_constant_row_becomes_beta():
    _, gamma, beta, _ = numbers()
    y, _, inv_std = forward(np.full((2, 9), 1000.1), gamma, beta)
    np.testing.assert_allclose(y, [beta, beta], rtol=0, atol=1e-9)
    np.testing.assert_allclose(inv_std, EPS**-0.5)


def test_float32_far_from_zero():
    """At 1000 +- 0.1 the mean of 100 features is known to a few units in the last place, 6e-5: x_hat to 3e-3."""
    x = np.random.default_rng(3).normal(1000, 0.1, (8, 100)).astype(np.float32)
    _, x_hat, inv_std = forward(x, np.ones(100, np.float32), np.zeros(100, np.float32))
    expected = reference.layer_norm_forward(x.astype(np.float64), np.ones(100), np.zeros(100), EPS)
    np.testing.assert_allclose(x_hat, expected[1], rtol=0, atol=3e-3)
    np.testing.assert_allclose(inv_std, expected[2], rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_spoils_its_row_and_no_other(dtype, bad):
    x, gamma, beta, dy = numbers(dtype=dtype)
    good = forward(x, gamma, beta)[0]
    x[2, 1] = bad
    with np.errstate(invalid="ignore"):  # inf - inf, where the kernels run as plain Python
        y = forward(x, gamma, beta)[0]
        dx, dgamma, dbeta = backward(dy, x, gamma)
    assert np.isnan(y[2]).all()
    assert np.isnan(dx[2]).all()
    assert np.isnan(dgamma).all()
    np.testing.assert_array_equal(np.delete(y, 2, 0), np.delete(good, 2, 0))
    assert np.isfinite(np.delete(dx, 2, 0)).all()
    assert np.isfinite(dbeta).all()
