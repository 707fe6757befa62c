import numpy as np
import pytest

from tests import reference, vectors
from tests.reference import complex_step
from tinynet.kernels import softmax

both_dtypes = pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(np.float64, {"rtol": 1e-10, "atol": 1e-10}), (np.float32, {"rtol": 2e-6, "atol": 2e-7})],
)


def forward(x):
    y = np.full_like(x, 77)
    softmax.forward(x, y)
    return y


def backward(dy, x):
    dx = np.full_like(x, 77)
    softmax.backward(dy, forward(x), dx)
    return dx


def cross_entropy(logits, labels):
    dlogits = np.full_like(logits, 77)
    return softmax.cross_entropy(logits, labels, dlogits), dlogits


def numbers(dtype=np.float64, m=8, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    x, dy = (rng.normal(0, scale, (m, classes)).astype(dtype) for scale in (3, 1))
    return x, dy, rng.integers(0, classes, m)


@both_dtypes
def test_softmax_is_its_formula(dtype, tolerance):
    x, _, _ = numbers(dtype)
    y = forward(x)
    np.testing.assert_allclose(y, reference.softmax_forward(x.astype(np.float64)), **tolerance)
    np.testing.assert_allclose(y.sum(1), 1, **tolerance)


@both_dtypes
def test_softmax_backward_is_the_jacobian(dtype, tolerance):
    x, dy, _ = numbers(dtype)
    expected = reference.softmax_backward(dy.astype(np.float64), x.astype(np.float64))
    np.testing.assert_allclose(backward(dy, x), expected, **tolerance)


@both_dtypes
def test_cross_entropy_and_its_gradient(dtype, tolerance):
    x, _, labels = numbers(dtype)
    loss, dlogits = cross_entropy(x, labels)
    np.testing.assert_allclose(loss, reference.cross_entropy(x.astype(np.float64), labels), **tolerance)
    expected = reference.cross_entropy_backward(x.astype(np.float64), labels)
    np.testing.assert_allclose(dlogits, expected, **tolerance)
    assert type(loss) is float


def test_the_twins_backwards_agree_with_a_complex_step():
    x, dy, labels = numbers(m=4)
    by_step = complex_step(lambda z: np.sum(dy[:4] * reference.softmax_forward(z)), x)
    np.testing.assert_allclose(reference.softmax_backward(dy, x), by_step, rtol=1e-12, atol=1e-13)
    by_step = complex_step(lambda z: reference.cross_entropy(z, labels), x)
    np.testing.assert_allclose(reference.cross_entropy_backward(x, labels), by_step, rtol=1e-12, atol=1e-13)


def test_values_and_gradients_are_pytorchs():
    torch = vectors.pytorch()
    x, dy, labels = (torch[f"rows.{name}"] for name in ("x", "dy", "labels"))
    np.testing.assert_allclose(forward(x), torch["softmax.y"], rtol=1e-12)
    np.testing.assert_allclose(backward(dy, x), torch["softmax.dx"], rtol=1e-12, atol=1e-14)
    loss, dlogits = cross_entropy(x, labels)
    np.testing.assert_allclose(loss, torch["cross_entropy.loss"], rtol=1e-12)
    np.testing.assert_allclose(dlogits, torch["cross_entropy.dx"], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logits_of_ten_thousand_give_a_finite_loss(dtype):
    logits = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 0], [1e4, 1e4, 1e4]], dtype)
    loss, dlogits = cross_entropy(logits, np.array([0, 0, 2]))
    # right and sure: 0; wrong and sure: the difference of the logits; no opinion: log 3
    np.testing.assert_allclose(loss, (0 + 2e4 + np.log(3)) / 3, rtol=1e-7)
    third = 1 / 3
    expected = np.array([[0, 0, 0], [-1, 1, 0], [third, third, third - 1]]) / 3
    np.testing.assert_allclose(dlogits, expected, atol=1e-7)
    np.testing.assert_allclose(forward(logits), [[1, 0, 0], [0, 1, 0], [third] * 3], atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_small_loss_beside_large_logits_is_not_lost(dtype):
    logits = np.array([[9990, 10000]], dtype)
    loss, _ = cross_entropy(logits, np.array([1]))
    np.testing.assert_allclose(loss, np.log1p(np.exp(-10)), rtol=1e-2 if dtype == np.float32 else 1e-10)
    loss, _ = cross_entropy(logits, np.array([0]))
    np.testing.assert_allclose(loss, 10 + np.log1p(np.exp(-10)), rtol=1e-6)


def test_the_loss_is_taken_in_double_also_of_float32_logits():
    logits = np.array([[0.1234567, 1e4]], np.float32)
    loss, _ = cross_entropy(logits, np.array([0]))
    np.testing.assert_allclose(loss, 1e4 - np.float64(logits[0, 0]), rtol=1e-13)


def test_adding_a_constant_to_all_logits_changes_nothing():
    x, _, labels = numbers()
    np.testing.assert_allclose(forward(x + 1000), forward(x), rtol=1e-10)
    np.testing.assert_allclose(cross_entropy(x + 1000, labels)[0], cross_entropy(x, labels)[0], rtol=1e-10)


def test_no_opinion_costs_log_classes():
    loss, dlogits = cross_entropy(np.zeros((4, 10)), np.arange(4))
    np.testing.assert_allclose(loss, np.log(10))
    np.testing.assert_allclose(dlogits.sum(1), 0, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("column", [0, 1, 4])
def test_a_nan_among_the_logits_is_not_hidden(dtype, column):
    x, dy, labels = numbers(dtype)
    x[3, column] = np.nan
    labels[3] = 2
    loss, dlogits = cross_entropy(x, labels)
    assert np.isnan(loss)
    for spoiled in (dlogits, forward(x), backward(dy, x)):
        assert np.isnan(spoiled[3]).all()
        assert np.isfinite(np.delete(spoiled, 3, 0)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_infinite_logits(dtype):
    labels = np.array([1])
    x = np.array([[-np.inf, 0, 0]], dtype)  # an impossible class
    np.testing.assert_allclose(forward(x), [[0, 0.5, 0.5]])
    np.testing.assert_allclose(cross_entropy(x, labels)[0], np.log(2))
    assert cross_entropy(x, np.array([0]))[0] == np.inf
    with np.errstate(invalid="ignore"):  # inf - inf, where the kernels run as plain Python
        for x in (np.array([[np.inf, 0, 0]], dtype), np.full((1, 3), -np.inf, dtype)):
            assert np.isnan(forward(x)).any()
            assert np.isnan(cross_entropy(x, labels)[0])
