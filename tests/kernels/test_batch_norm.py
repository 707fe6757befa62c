import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from tests import reference, vectors
from tests.reference import complex_step
from tinynet.kernels import batch_norm, layer_norm

EPS = 1e-5
EXACT = {"rtol": 1e-10, "atol": 1e-10}  # float64
ROUNDED = {"rtol": 2e-6, "atol": 2e-6}  # float32: a few units in the last place of numbers near 1


def forward(x, gamma=None, beta=None, eps=EPS):
    """Return y, x_hat, mu, var, inv_std, as the twin does."""
    y, mu, correction, var, inv_std = run_forward(x, gamma, beta, eps)
    return y, (x - mu - correction) * inv_std, mu + correction, var, inv_std


def run_forward(x, gamma, beta, eps):
    features = x.shape[1]
    gamma = np.ones(features, x.dtype) if gamma is None else gamma
    beta = np.zeros(features, x.dtype) if beta is None else beta
    y = np.full_like(x, 77)  # what was in the arrays before must not matter
    mu, correction, var, inv_std = (np.full(features, 77, x.dtype) for _ in range(4))
    batch_norm.forward(x, gamma, beta, eps, y, mu, correction, var, inv_std)
    return y, mu, correction, var, inv_std


def backward(dy, x, gamma, eps=EPS):
    """Return dx, dgamma, dbeta, as the twin does."""
    _, mu, correction, _, inv_std = run_forward(x, gamma, None, eps)
    dx = np.full_like(x, 77)
    dgamma, dbeta, *work = (np.full_like(gamma, 77) for _ in range(4))
    batch_norm.backward(dy, x, mu, correction, inv_std, gamma, dx, dgamma, dbeta, *work)
    return dx, dgamma, dbeta


def numbers(m=6, features=3, dtype=np.float64, seed=0):
    """Return x, gamma, beta, dy; in float32 they are exact in double too."""
    rng = np.random.default_rng(seed)
    x, dy = rng.normal(1, 2, (m, features)), rng.normal(size=(m, features))
    gamma, beta = rng.normal(1, 0.5, features), rng.normal(size=features)
    return [a.astype(dtype) for a in (x, gamma, beta, dy)]


def doubles(*arrays):
    return [a.astype(np.float64) for a in arrays]


def assert_all_close(found, expected, **tolerance):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, **tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, EXACT), (np.float32, ROUNDED)])
@pytest.mark.parametrize("m", [2, 7, 60])
def test_forward_is_the_papers_algorithm_1(dtype, tolerance, m):
    x, gamma, beta, _ = numbers(m, dtype=dtype)
    found = forward(x, gamma, beta)
    assert {a.dtype for a in found} == {np.dtype(dtype)}
    assert_all_close(found, reference.batch_norm_forward(*doubles(x, gamma, beta), EPS), **tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, EXACT), (np.float32, {"rtol": 1e-5, "atol": 1e-5})])
@pytest.mark.parametrize("m", [2, 7, 60])
def test_backward_is_the_chain_rule_through_mean_and_variance(dtype, tolerance, m):
    x, gamma, _, dy = numbers(m, dtype=dtype)
    assert_all_close(backward(dy, x, gamma), reference.batch_norm_backward(*doubles(dy, x, gamma), EPS), **tolerance)


def test_the_twins_backward_agrees_with_a_complex_step():
    x, gamma, beta, dy = numbers()

    def loss(x, gamma, beta):
        return np.sum(dy * reference.batch_norm_forward(x, gamma, beta, EPS)[0])

    by_step = (
        complex_step(lambda z: loss(z, gamma, beta), x),
        complex_step(lambda z: loss(x, z, beta), gamma),
        complex_step(lambda z: loss(x, gamma, z), beta),
    )
    assert_all_close(reference.batch_norm_backward(dy, x, gamma, EPS), by_step, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, EXACT), (np.float32, ROUNDED)])
def test_running_statistics_move_toward_the_batch_with_the_unbiased_variance(dtype, tolerance):
    mu, var, mean, variance = (np.abs(a[0]) for a in (numbers(seed=k, dtype=dtype)[0] for k in range(4)))
    running_mean, running_var = mean.copy(), variance.copy()
    batch_norm.update_running(mu, np.zeros_like(mu), var, 5, 0.8, running_mean, running_var)
    expected = reference.batch_norm_update_running(*doubles(mu, var), 5, 0.8, *doubles(mean, variance))
    assert_all_close((running_mean, running_var), expected, **tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, EXACT), (np.float32, ROUNDED)])
def test_inference_uses_the_statistics_it_is_given(dtype, tolerance):
    x, gamma, beta, dy = numbers(dtype=dtype)
    mean, variance, y = dy[0], np.abs(dy[1]), np.full_like(x, 77)
    batch_norm.inference(x, gamma, beta, mean, variance, EPS, y, np.empty_like(gamma))
    expected = reference.batch_norm_inference(*doubles(x, gamma, beta, mean, variance), EPS)
    np.testing.assert_allclose(y, expected, **tolerance)


@pytest.mark.parametrize("shape", ["small", "wide"])
def test_three_training_steps_as_pytorch_does_them(shape):
    torch = {k.removeprefix(shape + "."): v for k, v in vectors.pytorch().items() if k.startswith(shape + ".")}
    x, dy, gamma, beta = (torch[name] for name in ("x", "dy", "gamma", "beta"))
    running_mean, running_var = np.zeros_like(gamma), np.ones_like(gamma)
    for k in range(3):
        y, _, mu, var, _ = forward(x[k], gamma, beta)
        batch_norm.update_running(mu, np.zeros_like(mu), var, len(y), 0.9, running_mean, running_var)
        expected = (torch[name][k] for name in ("y", "dx", "dgamma", "dbeta"))
        assert_all_close((y, *backward(dy[k], x[k], gamma)), expected, **EXACT)
    assert_all_close((running_mean, running_var), (torch["running_mean"], torch["running_var"]), **EXACT)
    batch_norm.inference(x[0], gamma, beta, running_mean, running_var, EPS, y, np.empty_like(gamma))
    np.testing.assert_allclose(y, torch["y_inference"], **EXACT)


@pytest.mark.parametrize("centre", [1e3, 1e4])
@pytest.mark.parametrize("m", [2, 60, 1000])
def test_float32_keeps_its_digits_far_from_zero(centre, m):
    """At 1e4 +- 0.1 a float32 has two decimal digits of deviation left, and none of them is lost on the way.

    The mean is within one unit in the last place, however large beside the deviation. The variance has the
    rounding of a float32 sum of m terms, which grows like sqrt(m) and does not depend on the centre: so have x_hat
    (up to 3.5 here) and y = 2 x_hat + 0.5. E[x^2] - E[x]^2 would give negative variances.
    """
    x = np.random.default_rng(3).normal(centre, 0.1, (m, 4)).astype(np.float32)
    gamma, beta = np.full(4, 2, np.float32), np.full(4, 0.5, np.float32)
    y, x_hat, mu, var, _ = forward(x, gamma, beta)
    expected = reference.batch_norm_forward(*doubles(x, gamma, beta), EPS)
    assert (var > 0).all()
    assert np.all(np.abs(mu - expected[2]) <= np.spacing(np.float32(centre)))
    bound = (10 + 2 * m**0.5) * 2**-24
    np.testing.assert_allclose(var, expected[3], rtol=bound)
    np.testing.assert_allclose(x_hat, expected[1], rtol=0, atol=3.5 / 2 * bound)
    np.testing.assert_allclose(y, expected[0], rtol=0, atol=3.5 * bound)


@pytest.mark.parametrize("value", [0.0, 0.1, 1000.1, -12345.678, 1e6])
@pytest.mark.parametrize(("dtype", "m"), [(np.float32, 60), (np.float64, 60), (np.float32, 7)])
def test_a_constant_feature_becomes_beta(value, dtype, m):
    x = np.full((m, 2), value, dtype)
    beta = np.array([-1, 3], dtype)
    y, _, mu, var, _ = forward(x, np.ones(2, dtype), beta)
    unit = np.finfo(dtype).eps
    assert (var >= 0).all()
    assert (var <= m * unit * np.spacing(dtype(abs(value))) ** 2).all()
    np.testing.assert_allclose(mu, value, rtol=2 * unit)
    np.testing.assert_allclose(y, np.broadcast_to(beta, y.shape), atol=4 * unit)


def test_a_batch_of_two_is_plus_and_minus_one():
    x = np.array([[1.0, 5.0], [3.0, -5.0]])
    y, _, mu, var, _ = forward(x, eps=0.0)
    np.testing.assert_allclose(mu, [2, 0], **EXACT)
    np.testing.assert_allclose(var, [1, 25], **EXACT)
    np.testing.assert_allclose(y, [[-1, 1], [1, -1]], **EXACT)


def test_scaling_the_weights_before_it_changes_nothing():
    rng = np.random.default_rng(5)
    u, w, gamma, beta = rng.normal(size=(9, 4)), rng.normal(size=(4, 3)), rng.normal(size=3), rng.normal(size=3)
    for a in (1e-3, 0.3, 7.0, 1e6):
        scaled, plain = (forward(u @ weight, gamma, beta, eps=0.0)[0] for weight in (a * w, w))
        np.testing.assert_allclose(scaled, plain, **EXACT)


def test_the_gradient_has_no_component_along_the_batchs_mean_or_spread():
    x, gamma, _, dy = numbers(20)
    dx, _, _ = backward(dy, x, gamma, eps=0.0)
    x_hat = forward(x, eps=0.0)[1]
    np.testing.assert_allclose(dx.sum(0), 0, atol=1e-12)
    np.testing.assert_allclose((dx * x_hat).sum(0), 0, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_spoils_its_feature_and_no_other(dtype, bad):
    x, gamma, beta, dy = numbers(dtype=dtype)
    good = forward(x, gamma, beta)
    x[2, 1] = bad
    with np.errstate(invalid="ignore"):  # inf - inf, where the kernels run as plain Python
        found = forward(x, gamma, beta)
        gradients = backward(dy, x, gamma)
    assert np.isnan(found[0][:, 1]).all()
    assert np.isnan(found[3][1])  # the variance: `var < 0` must not turn it into 0
    np.testing.assert_array_equal(found[0][:, [0, 2]], good[0][:, [0, 2]])
    assert np.isnan(gradients[0][:, 1]).all()
    assert np.isnan(gradients[1][1])
    assert np.isfinite(gradients[0][:, [0, 2]]).all()


def test_a_nan_that_comes_from_above_goes_on_down():
    x, gamma, _, dy = numbers()
    dy[1, 0] = np.nan
    dx, dgamma, dbeta = backward(dy, x, gamma)
    assert np.isnan(dx[:, 0]).all()
    assert np.isnan([dgamma[0], dbeta[0]]).all()
    assert np.isfinite(dx[:, 1:]).all()


def test_statistics_that_are_not_finite_are_not_hidden():
    x, gamma, beta, _ = numbers()
    mean, variance, y = np.array([np.nan, 0, 0]), np.array([1, np.nan, np.inf]), np.empty_like(x)
    batch_norm.inference(x, gamma, beta, mean, variance, EPS, y, np.empty_like(gamma))
    assert np.isnan(y[:, :2]).all()
    np.testing.assert_array_equal(y[:, 2], beta[2])
    running_mean, running_var = np.zeros(3), np.ones(3)
    batch_norm.update_running(mean, np.zeros(3), variance, 4, 0.9, running_mean, running_var)
    np.testing.assert_array_equal(np.isnan(running_mean), [True, False, False])
    np.testing.assert_array_equal(np.isfinite(running_var), [True, False, False])


@pytest.mark.parametrize(("kernels", "named"), [(batch_norm, range(1, 11)), (layer_norm, [1, 2, 3, 4, 5, 6, 10])])
def test_comments_name_equations_of_the_derivation(kernels, named):
    derivation = (Path(__file__).parents[2] / "docs" / "batch_norm.md").read_text(encoding="utf-8")
    assert re.findall(r"\\tag\{(\d+)\}", derivation) == [str(n) for n in range(1, 11)]
    assert sorted({int(n) for n in re.findall(r"# \((\d+)\) ", inspect.getsource(kernels))}) == list(named)


@pytest.mark.parametrize("kernel", ["forward", "inference"])
def test_equations_3_and_4_stand_right_above_their_lines(kernel):
    source = inspect.getsource(batch_norm)
    body = source[source.index(f"def {kernel}(") :].split("@jit")[0]
    lines = [line.strip() for line in body.splitlines()]
    third, fourth = (next(k for k, line in enumerate(lines) if line.startswith(f"# ({n}) ")) for n in (3, 4))
    assert lines[third + 1].startswith("x_hat = ")
    assert lines[fourth + 1] == "y[i, j] = gamma[j] * x_hat + beta[j]"
