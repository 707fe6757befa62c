"""Normalization, loss and training on the numbers that floating point likes least.

The reference is the plain twin of `tests.reference`: in float64 for float32 runs, on mpmath's numbers of 40 digits for
float64 runs. Bounds are in units of the rounding error u (2^-24 in float32, 2^-53 in float64) of a sum of m terms,
``(10 + 2 sqrt(m)) u``, and relative to the deviation, not to the values: at 1e4 +- 0.1 one unit in the last place of
a value would be a hundredth of a deviation. The float64 runs' data lie 2^29 times as far out as the float32 runs', so
that both have the same few digits left.
"""

import math

import mpmath
import numpy as np
import pytest

import tinynet as tn
from tests import reference

EPS = 1e-5  # the layers' own
FAR = {"float32": 1e4, "float64": 1e4 * 2**29}


def rounding(dtype):
    return np.finfo(dtype).eps / 2


def sum_bound(m, dtype):
    return (10 + 2 * m**0.5) * rounding(dtype)


@pytest.fixture(autouse=True)
def forty_digits():
    with mpmath.workdps(40):
        yield


def exact(array, dtype):
    """The same numbers with more digits than ``dtype`` has."""
    double = np.asarray(array, "float64")
    return double if dtype == "float32" else np.vectorize(mpmath.mpf, otypes=[object])(double)


def far(m, rng, dtype):
    return FAR[dtype] + 0.1 * rng.normal(size=(m, 4))


def constant(m, rng, dtype):
    return np.broadcast_to([FAR[dtype] + 0.1, 0.1, -12345.678, 0.0], (m, 4))


def all_but_one_constant(m, rng, dtype):
    """One value is the next number after all the others."""
    x = np.full((m, 4), FAR[dtype], dtype)
    x[m // 2] = np.nextafter(x[0], np.inf, dtype=dtype)
    return x


def one_huge(m, rng, dtype):
    x = rng.normal(size=(m, 4))
    x[m // 2] = [1e5, -1e9, 1e15, 3e18]
    return x


def denormal(m, rng, dtype):
    return rng.normal(size=(m, 4)) * {"float32": 1e-40, "float64": 1e-310}[dtype]


def mixed(m, rng, dtype):
    """Ordinary features beside the others, to see that none spoils its neighbours."""
    scale = [1, FAR[dtype], {"float32": 1e-40, "float64": 1e-310}[dtype], 1e15]
    return rng.normal(size=(m, 4)) * scale + [0, FAR[dtype], 0, 0]


CASES = [far, constant, all_but_one_constant, one_huge, denormal, mixed]
SIZES = [("float32", 2), ("float32", 60), ("float32", 500), ("float64", 2), ("float64", 60)]


def numbers(case, m, dtype):
    """Return x, dy (m, 4), gamma, beta (4,)."""
    rng = np.random.default_rng(7)
    x, dy = case(m, rng, dtype), rng.normal(size=(m, 4))
    return [np.ascontiguousarray(a, dtype) for a in (x, dy, rng.normal(1, 0.5, 4), rng.normal(size=4))]


def trained_once(layer, x, dy, gamma, beta, where):
    """Return y, dx, dgamma, dbeta of one training step, and the layer's state after it.

    In a network the layer stands between a `Dense` of weight 1 and a `LeakyReLU` of slope 1, which change no number:
    so it is computed as networks compute it, together with its neighbours if they do.
    """
    features, dtype = x.shape[1], x.dtype.name
    if where == "alone":
        net = layer.build(features, dtype=dtype)
        prefix = ""
    else:
        net = tn.Sequential([tn.Dense(features, bias=False), layer, tn.LeakyReLU(1.0)], inputs=features, dtype=dtype)
        net.params["dense_1.weight"] = np.eye(features)
        prefix = layer.name + "."
    net.params[prefix + "gamma"][...] = gamma
    net.params[prefix + "beta"][...] = beta
    y = net.forward(x, training=True)
    dx = net.backward(dy)
    grads = (net.grads[prefix + name].copy() for name in ("gamma", "beta"))
    return (y, dx, *grads, {name.removeprefix(prefix): value.copy() for name, value in net.state.items()})


def assert_within(found, expected, bound, what):
    """Each error is at most its bound."""
    assert np.isfinite(found).all(), what
    error = np.abs(exact(found, found.dtype.name) - expected)
    worst = max(float(e / b) for e, b in np.broadcast(error, bound))
    assert worst <= 1, f"{what}: {worst:.2f} times the bound"


# -- batch normalization --------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["alone", "network"])
@pytest.mark.parametrize(("dtype", "m"), SIZES)
@pytest.mark.parametrize("case", CASES)
def test_batch_norm_loses_nothing_but_a_sums_rounding(case, dtype, m, where):
    x, dy, gamma, beta = numbers(case, m, dtype)
    y, dx, dgamma, dbeta, state = trained_once(tn.BatchNorm(decay=0.75), x, dy, gamma, beta, where)
    unit, bound = exact(np.spacing(np.abs(x).max(axis=0)), dtype), sum_bound(m, dtype)
    x, dy, gamma, beta, eps = (exact(a, dtype) for a in (x, dy, gamma, beta, EPS))
    y_exact, x_hat, mu, var, inv_std = reference.batch_norm_forward(x, gamma, beta, eps)
    dx_exact, dgamma_exact, dbeta_exact = reference.batch_norm_backward(dy, x, gamma, eps)
    spread = np.maximum(np.abs(x_hat).max(axis=0), 1)

    assert_within(y, y_exact, bound * (np.abs(gamma) * spread + np.abs(beta)), "y")
    assert_within(dbeta, dbeta_exact, bound * np.abs(dy).sum(axis=0), "dbeta")
    assert_within(dgamma, dgamma_exact, bound * np.abs(dy).sum(axis=0) * spread, "dgamma")
    # dx is what is left of dy without its mean and its part along x_hat: with m = 2, next to nothing
    largest = np.abs(gamma) * inv_std * np.abs(dy).max(axis=0)
    assert_within(dx, dx_exact, bound * largest * (1 + spread**2), "dx")

    # from 0 and 1, one step of decay 0.75
    assert_within(state["running_mean"], mu / 4, unit, "running_mean")
    running_var = (3 + var * m / (m - 1)) / 4
    # where all terms but one are alike, their roundings go the same way
    relative = (10 + m) * rounding(dtype) if case is one_huge else bound
    assert_within(state["running_var"], running_var, relative * running_var, "running_var")


@pytest.mark.parametrize("decay", [0.0, 0.9, 0.99])
def test_the_running_mean_stops_half_a_unit_over_1_minus_decay_short_and_calibrating_cures_it(decay):
    """Where a step is below half a unit in the last place, the running mean moves no more.

    In float32 at 1e4 +- 0.1 and decay 0.9 that is five units, 0.005: a twentieth of a deviation, and no more.
    """
    x = numbers(far, 500, "float32")[0]
    net = tn.Sequential([tn.BatchNorm(decay=decay)], inputs=4)
    for _ in range(int(40 / (1 - decay))):
        net.forward(x, training=True)
    unit, mean, var = np.spacing(np.float32(FAR["float32"])), x.mean(0, "float64"), x.var(0, "float64", ddof=1)
    running_mean, running_var = net.state["batch_norm_1.running_mean"], net.state["batch_norm_1.running_var"]
    assert np.abs(running_mean - mean).max() <= unit * (0.5 / (1 - decay) + 1)
    np.testing.assert_allclose(running_var, var, rtol=sum_bound(500, "float32") / (1 - decay))
    net.calibrate(x)
    assert np.abs(running_mean - mean).max() <= unit / 2
    np.testing.assert_allclose(running_var, x.var(0, "float64"), rtol=2**-24)


@pytest.mark.parametrize("case", [far, one_huge, denormal, mixed])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_prediction_is_exact_to_a_few_roundings_and_folded_to_the_digits_of_the_mean(case, dtype):
    x, _, gamma, beta = numbers(case, 60, dtype)
    net = tn.Sequential([tn.Dense(4, bias=False), tn.BatchNorm(), tn.LeakyReLU(1.0)], inputs=4, dtype=dtype)
    net.params.update({"dense_1.weight": np.eye(4), "batch_norm_1.gamma": gamma, "batch_norm_1.beta": beta})
    net.calibrate(x)
    y, folded, u = net.forward(x), net.fold().forward(x), rounding(dtype)
    x, gamma, beta, mean, var, eps = (exact(a, dtype) for a in (x, gamma, beta, *net.state.values(), EPS))
    expected = reference.batch_norm_inference(x, gamma, beta, mean, var, eps)
    scale = gamma / np.sqrt(var + eps)
    assert_within(y, expected, 4 * u * (np.abs(scale * (x - mean)) + np.abs(beta)), "y")
    # x and mean are scaled before they are subtracted: that costs roundings of |mean| / deviation
    assert_within(folded, expected, 4 * u * (np.abs(scale * x) + np.abs(scale * mean) + np.abs(beta)), "folded")


@pytest.mark.parametrize("where", ["alone", "network"])
def test_denormals_are_not_flushed_to_zero_nor_is_the_processor_told_to(where):
    x, dy, _, _ = numbers(denormal, 60, "float32")
    y, *_ = trained_once(tn.BatchNorm(), x, dy, 1, 0, where)
    np.testing.assert_allclose(y, (x - x.mean(0, "float64")) / np.sqrt(EPS), rtol=0, atol=4e-45 / np.sqrt(EPS))
    assert np.float32(1e-40) * np.float32(0.5) > 0


# -- layer normalization: the same along rows -----------------------------------------------------------------


@pytest.mark.parametrize("where", ["alone", "network"])
@pytest.mark.parametrize(("dtype", "n"), SIZES)
@pytest.mark.parametrize("case", CASES)
def test_layer_norm_loses_nothing_but_a_sums_rounding(case, dtype, n, where):
    x, dy = (np.ascontiguousarray(a.T) for a in numbers(case, n, dtype)[:2])  # four examples of n features
    rng = np.random.default_rng(8)
    gamma, beta = rng.normal(1, 0.5, n).astype(dtype), rng.normal(size=n).astype(dtype)
    y, dx, dgamma, dbeta, _ = trained_once(tn.LayerNorm(), x, dy, gamma, beta, where)
    bound = sum_bound(n, dtype)
    x, dy, gamma, beta, eps = (exact(a, dtype) for a in (x, dy, gamma, beta, EPS))
    y_exact, x_hat, inv_std = reference.layer_norm_forward(x, gamma, beta, eps)
    dx_exact, dgamma_exact, dbeta_exact = reference.layer_norm_backward(dy, x, gamma, eps)
    spread = np.maximum(np.abs(x_hat).max(axis=1, keepdims=True), 1)

    assert_within(y, y_exact, bound * (np.abs(gamma) * spread + np.abs(beta)), "y")
    assert_within(dbeta, dbeta_exact, bound * np.abs(dy).sum(axis=0), "dbeta")
    assert_within(dgamma, dgamma_exact, bound * (np.abs(dy) * spread).sum(axis=0), "dgamma")
    largest = inv_std[:, None] * np.abs(dy * gamma).max(axis=1, keepdims=True)
    assert_within(dx, dx_exact, bound * largest * (1 + spread**2), "dx")


# -- values whose squares overflow ------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["alone", "network"])
@pytest.mark.parametrize("norm", [tn.BatchNorm, tn.LayerNorm])
@pytest.mark.parametrize(("dtype", "huge"), [("float32", 1e20), ("float64", 1e160)])
def test_a_variance_that_overflows_gives_the_right_numbers_or_nan(norm, dtype, huge, where):
    """Not beta for all of them, which is wrong, finite, and kept in the running variance for good."""
    x, dy = np.random.default_rng(0).normal(size=(2, 60, 60)).astype(dtype)
    x[7, 2] = huge
    with np.errstate(invalid="ignore"):
        y, *_ = trained_once(norm(), x, dy, 1, 0, where)
    if norm is tn.LayerNorm:
        x, y = x.T, y.T  # now both normalize columns
    column = x.max(axis=0).argmax()
    share = x[:, column].astype("float64") / huge  # eps is nothing beside such a variance
    x_hat = (share - share.mean()) / share.std()
    assert np.isnan(y[:, column]).all() or np.allclose(y[:, column], x_hat, rtol=1e-5)
    assert np.isfinite(np.delete(y, column, axis=1)).all()


# -- softmax cross-entropy --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spread", [2e4, 50, 1, 1e-3])
@pytest.mark.parametrize("centre", [1e4, -1e4, 0])
def test_cross_entropy_of_logits_around_ten_thousand(centre, spread, dtype):
    """Loss within 4 roundings of the mean of its terms, gradient within 8 of 1/m, whether the classes tie or not."""
    rng = np.random.default_rng(0)
    logits = (centre + spread * rng.uniform(-0.5, 0.5, (20, 7))).astype(dtype)
    labels = rng.integers(0, 7, 20)
    loss, gradient = tn.SoftmaxCrossEntropy()(logits, labels)
    x = np.vectorize(mpmath.mpf, otypes=[object])(logits.astype("float64"))
    shifted = x - x.max(axis=1, keepdims=True)
    e = np.vectorize(mpmath.exp, otypes=[object])(shifted)
    total = e.sum(axis=1, keepdims=True)
    terms = np.vectorize(mpmath.log, otypes=[object])(total)[:, 0] - shifted[np.arange(20), labels]
    u = rounding(dtype)
    assert abs(loss - terms.mean()) <= 4 * u * (1 + terms.mean())
    assert_within(gradient, (e / total - np.eye(7)[labels]) / 20, 8 * u / 20, "gradient")


# -- a batch that is not finite -------------------------------------------------------------------------------


def poisoned(value):
    """A training set that was in order when it was made, with one example spoiled since; and it in order."""
    clean = tn.datasets.moons(100, seed=0)
    spoiled = tn.Dataset(clean.x.copy(), clean.y)
    spoiled.x[7] = value  # an array is shared, or changed by another thread: nothing checks it again
    return spoiled, clean


def network(**settings):
    return tn.mlp(2, [8, 8], 2, **{"norm": "batch", "seed": 0} | settings)


def fit(net, train, steps):
    return tn.fit(net, train, steps=steps, batch_size=10, seed=0, optimizer=tn.SGD(0.1, momentum=0.9))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 3e38, 1e25])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_run_ends_at_a_batch_that_is_not_finite_and_keeps_what_the_steps_before_it_left(value, dropout):
    """Weights and running statistics are those of a run that was asked for no more steps than those."""
    train, clean = poisoned(value)
    net, twin = network(dropout=dropout), network(dropout=dropout)
    history = fit(net, train, 30)
    assert history.diverged
    assert not math.isfinite(history.train_loss[-1])
    done = history.steps[-1]
    assert 0 < done < 10  # an epoch is ten steps
    assert not fit(twin, train, done).diverged
    for ours, theirs in ((net.params, twin.params), (net.state, twin.state)):
        for name, array in ours.items():
            assert np.isfinite(array).all(), name
            np.testing.assert_array_equal(array, theirs[name], name)
    assert math.isfinite(tn.evaluate(net, clean)[0])
    assert not fit(net, clean, 20).diverged  # so training can go on
