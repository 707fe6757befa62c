import numba
import numpy as np
import pytest

from tests import reference, vectors
from tests.reference import complex_step
from tinynet.kernels import activations
from tinynet.kernels.jit import OPTIONS

SELU = (1.6732632423543772, 1.0507009873554805)
FUNCTIONS = {  # name in PyTorch's vectors: kernel, its constants
    "sigmoid": ("sigmoid", ()),
    "tanh": ("tanh", ()),
    "relu": ("relu", ()),
    "leaky_relu": ("leaky_relu", (0.2,)),
    "elu": ("elu", (0.7, 1.0)),
    "selu": ("elu", SELU),
    "gelu": ("gelu", ()),
}
every_function = pytest.mark.parametrize(("kernel", "constants"), FUNCTIONS.values(), ids=list(FUNCTIONS))
both_dtypes = pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(np.float64, {"rtol": 1e-10, "atol": 1e-10}), (np.float32, {"rtol": 4e-7, "atol": 4e-7})],
)
needs_jit = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT), reason="as plain Python float32 uses the library's functions"
)


def forward(kernel, x, constants):
    y = np.full_like(x, 77)
    getattr(activations, kernel + "_forward")(x.ravel(), y.ravel(), *constants)
    return y


def backward(kernel, dy, x, constants):
    y, dx = forward(kernel, x, constants), np.full_like(x, 77)
    getattr(activations, kernel + "_backward")(dy.ravel(), x.ravel(), y.ravel(), dx.ravel(), *constants)
    return dx


def twin(name):
    return getattr(reference, name)


@every_function
@both_dtypes
def test_forward_is_its_formula(kernel, constants, dtype, tolerance):
    x = np.random.default_rng(0).normal(0, 4, (20, 11)).astype(dtype)
    expected = twin(kernel + "_forward")(x.astype(np.float64), *constants)
    y = forward(kernel, x, constants)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, expected, **tolerance)


@every_function
@both_dtypes
def test_backward_is_its_slope(kernel, constants, dtype, tolerance):
    rng = np.random.default_rng(1)
    x, dy = rng.normal(0, 4, (20, 11)).astype(dtype), rng.uniform(-2, 2, (20, 11)).astype(dtype)
    expected = twin(kernel + "_backward")(dy.astype(np.float64), x.astype(np.float64), *constants)
    np.testing.assert_allclose(backward(kernel, dy, x, constants), expected, **tolerance)


@every_function
def test_the_twins_backward_agrees_with_a_complex_step(kernel, constants):
    rng = np.random.default_rng(2)
    x, dy = rng.normal(0, 3, (4, 5)), rng.normal(size=(4, 5))
    by_step = complex_step(lambda z: np.sum(dy * twin(kernel + "_forward")(z, *constants)), x)
    np.testing.assert_allclose(twin(kernel + "_backward")(dy, x, *constants), by_step, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_slopes_are_pytorchs(name):
    torch = vectors.pytorch()
    kernel, constants = FUNCTIONS[name]
    x = torch["activation.x"]
    np.testing.assert_allclose(forward(kernel, x, constants), torch[f"activation.{name}"], rtol=1e-12, atol=1e-14)
    slope = backward(kernel, np.ones_like(x), x, constants)
    np.testing.assert_allclose(slope, torch[f"activation.{name}.slope"], rtol=1e-12, atol=1e-14)


@every_function
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_stays_nan(kernel, constants, dtype):
    x = np.array([[np.nan, 1.0, -1.0]], dtype)
    np.testing.assert_array_equal(np.isnan(forward(kernel, x, constants)), [[True, False, False]])
    x, dy = np.array([[1.0, 0.5, -1.0]], dtype), np.array([[np.nan, 1.0, 1.0]], dtype)
    np.testing.assert_array_equal(np.isnan(backward(kernel, dy, x, constants)), [[True, False, False]])


@pytest.mark.parametrize(
    ("name", "at_minus_inf", "at_inf"),
    [
        ("sigmoid", 0, 1),
        ("tanh", -1, 1),
        ("relu", 0, np.inf),
        ("leaky_relu", -np.inf, np.inf),
        ("elu", -0.7, np.inf),
        ("selu", -SELU[0] * SELU[1], np.inf),
        ("gelu", np.nan, np.inf),  # -inf times 0, as in PyTorch
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_at_infinity_the_limit(name, at_minus_inf, at_inf, dtype):
    kernel, constants = FUNCTIONS[name]
    with np.errstate(invalid="ignore"):  # where the kernels run as plain Python
        y = forward(kernel, np.array([[-np.inf, np.inf]], dtype), constants)
    np.testing.assert_allclose(y, [[at_minus_inf, at_inf]], rtol=1e-6, atol=1e-37)


@needs_jit
@every_function
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_very_large_inputs_neither_overflow_nor_raise(kernel, constants, dtype):
    x = np.array([[-1e30, -1e4, -800.0, -89.0, 89.0, 800.0, 1e4, 1e30]], dtype)
    y, dx = forward(kernel, x, constants), backward(kernel, np.ones_like(x), x, constants)
    assert np.isfinite(y).all()
    assert np.isfinite(dx).all()
    assert (np.abs(y) <= 1.1 * np.abs(x)).all()


# -- the float32 polynomials --------------------------------------------------------------------------------


def float32_between(low, high, stride):
    """Return every stride-th float32 from low to high, both of one sign: dense where floats are dense."""
    first, last = sorted(int(np.float32(end).view(np.int32)) for end in (low, high))
    return np.arange(first, last, stride, np.int32).view(np.float32)


def last_places(found, exact):
    """Return the largest error in units in the last place of the exact value's float32."""
    return np.max(np.abs(found.astype(np.float64) - exact) / np.spacing(np.abs(exact).astype(np.float32)))


@pytest.fixture(scope="module")
def exp():
    scalar = activations.exp

    @numba.njit(error_model=OPTIONS["error_model"], fastmath=OPTIONS["fastmath"])
    def every(x, y):
        for k in range(x.size):
            y[k] = scalar(x[k])

    def apply(x):
        y = np.empty_like(x)
        every(x, y)
        return y

    return apply


@needs_jit
def test_float32_exp_is_within_2_units_in_the_last_place(exp):
    for x in (float32_between(1e-6, 88, 101), float32_between(-87, -1e-6, 101)):
        assert last_places(exp(x), np.exp(x.astype(np.float64))) <= 2


@needs_jit
def test_float32_exp_is_held_constant_outside_its_range(exp):
    x = np.array([-np.inf, -1e30, -87.5, 88.5, 1e30, np.inf, np.nan], np.float32)
    low, high = exp(np.array([-87, 88], np.float32))
    np.testing.assert_array_equal(exp(x), np.array([low, low, low, high, high, high, np.nan], np.float32))
    assert exp(np.zeros(1, np.float32)) == 1


@needs_jit
def test_float32_tanh_is_within_5_units_in_the_last_place():
    for x in (float32_between(1e-30, 12, 211), float32_between(0.45, 2, 11)):
        for signed in (x, -x):
            y = forward("tanh", signed[None, :], ())[0]
            assert last_places(y, np.tanh(signed.astype(np.float64))) <= 5


@needs_jit
def test_float32_tanh_is_within_2_units_where_it_is_a_taylor_series():
    x = np.concatenate([float32_between(1e-30, 0.3, 211), float32_between(0.3, 0.4999999, 3)])
    for signed in (x, -x):
        y = forward("tanh", signed[None, :], ())[0]
        assert last_places(y, np.tanh(signed.astype(np.float64))) <= 2


@needs_jit
def test_float32_tanh_and_sigmoid_stay_in_their_range():
    x = np.linspace(-100, 100, 200_001, dtype=np.float32)[None, :]
    assert np.abs(forward("tanh", x, ())).max() == 1
    y = forward("sigmoid", x, ())
    assert y.min() >= 0
    assert y.max() == 1


@needs_jit
def test_float32_sigmoid_is_within_3_units_in_the_last_place():
    for x in (float32_between(1e-6, 100, 101), float32_between(-87, -1e-6, 101)):
        y = forward("sigmoid", x[None, :], ())[0]
        assert last_places(y, 1 / (1 + np.exp(-x.astype(np.float64)))) <= 3
