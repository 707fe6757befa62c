import math

import numpy as np
import pytest

import tinynet as tn
from tinynet import InputError, initializers

FAN_IN, FAN_OUT = 300, 200
VARIANCE = {
    "glorot_uniform": 2 / (FAN_IN + FAN_OUT),
    "glorot_normal": 2 / (FAN_IN + FAN_OUT),
    "he_uniform": 2 / FAN_IN,
    "he_normal": 2 / FAN_IN,
    "lecun_uniform": 1 / FAN_IN,
    "lecun_normal": 1 / FAN_IN,
    "normal(0.05)": 0.05**2,
}


def draw(name, fan_in=FAN_IN, fan_out=FAN_OUT, seed=0):
    return initializers.get(name)(np.random.default_rng(seed), fan_in, fan_out)


@pytest.mark.parametrize(("name", "variance"), VARIANCE.items())
def test_mean_is_zero_and_variance_is_the_formulas(name, variance):
    w = draw(name)
    n = w.size
    # Five standard errors; of a sample variance it is sqrt((kurtosis - 1) / n), kurtosis 3 normal, 9/5 uniform.
    kurtosis = 1.8 if "uniform" in name else 3.0
    assert w.mean() == pytest.approx(0, abs=5 * math.sqrt(variance / n))
    assert w.var() == pytest.approx(variance, rel=5 * math.sqrt((kurtosis - 1) / n))


@pytest.mark.parametrize("name", [name for name in VARIANCE if "uniform" in name])
def test_uniform_fills_plus_minus_the_root_of_three_variances(name):
    w, limit = draw(name), math.sqrt(3 * VARIANCE[name])
    for extreme in (w.max(), -w.min()):  # the largest of n is within limit (1 - k / n) with probability e^(-k / 2)
        assert limit * (1 - 40 / w.size) < extreme <= limit


@pytest.mark.parametrize("name", [name for name in VARIANCE if "normal" in name])
def test_normal_has_a_normal_distributions_tails(name):
    z = draw(name) / math.sqrt(VARIANCE[name])
    for sigmas, share in ((1, 0.31731), (2, 0.04550), (3, 0.0026998)):
        assert np.mean(abs(z) > sigmas) == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / z.size))


@pytest.mark.parametrize("shape", [(70, 30), (30, 70), (40, 40), (5, 1), (1, 5)])
def test_orthogonal_has_orthonormal_columns_when_tall_and_rows_when_wide(shape):
    w = draw("orthogonal", *shape)
    assert w.shape == shape
    gram = w.T @ w if shape[0] >= shape[1] else w @ w.T
    np.testing.assert_allclose(gram, np.eye(min(shape)), atol=1e-12, rtol=0)


def test_orthogonal_is_uniform_its_determinant_takes_both_signs():
    # QR without the sign correction gives Householder's fixed sign of the diagonal: a 1 x 1 matrix is then always
    # of one sign.
    signs = {float(draw("orthogonal", 1, 1, seed=seed)[0, 0]) for seed in range(20)}
    assert signs == {-1.0, 1.0}


def test_constant_sets_every_weight_alike():
    np.testing.assert_array_equal(draw("constant(-0.25)", 3, 2), np.full((3, 2), -0.25))


def test_normal_0_is_all_zeros():
    np.testing.assert_array_equal(draw("normal(0)", 3, 2), np.zeros((3, 2)))


@pytest.mark.parametrize("name", [*initializers.NAMED, "normal(0.05)"])
def test_same_seed_same_weights_and_another_seed_others(name):
    np.testing.assert_array_equal(draw(name, 4, 3, seed=1), draw(name, 4, 3, seed=1))
    assert not np.array_equal(draw(name, 4, 3, seed=1), draw(name, 4, 3, seed=2))


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("he_norml", "he_normal"), ("Glorot_Uniform", "glorot_uniform"), ("orthogonal(2)", "orthogonal")],
)
def test_unknown_name_suggests_the_near_one(wrong, near):
    with pytest.raises(InputError, match=f"did you mean '{near}'"):
        initializers.get(wrong)


def test_a_name_near_none_lists_them_all():
    with pytest.raises(InputError, match=r"'zzz'; known: glorot_uniform, .*normal\(0\.05\), constant\(0\)"):
        initializers.get("zzz")


@pytest.mark.parametrize("name", ["normal", "normal()", "normal(x)", "normal(nan)", "normal(-0.1)", "normal(inf)"])
def test_normal_needs_a_finite_standard_deviation(name):
    with pytest.raises(InputError, match=r"finite number, as in normal\(0\.05\)"):
        initializers.get(name)


@pytest.mark.parametrize("name", ["constant", "constant(inf)", "constant(a)"])
def test_constant_needs_a_finite_number(name):
    with pytest.raises(InputError, match="finite number, as in constant"):
        initializers.get(name)


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (initializers.normal(0.05), "normal(0.05)"),
        (initializers.normal(np.float32(0.1)), "normal(0.10000000149011612)"),
        (initializers.normal(1), "normal(1)"),
        (initializers.normal(1e-30), "normal(1e-30)"),
        (initializers.constant(0), "constant(0)"),
        (initializers.constant(-0.25), "constant(-0.25)"),
        (initializers.orthogonal, "orthogonal"),
        *((getattr(initializers, name), name) for name in initializers.NAMED),
    ],
)
def test_what_the_module_returns_is_known_by_its_name_and_draws_the_same(made, name):
    assert repr(made) == name == initializers.check(made)
    weights = [init(np.random.default_rng(3), 4, 3) for init in (made, initializers.get(name))]
    np.testing.assert_array_equal(*weights)


@pytest.mark.parametrize(
    ("wrong", "same"),
    [("xavier_uniform", "glorot_uniform"), ("kaiming_normal_", "he_normal"), ("Kaiming_Uniform", "he_uniform")],
)
def test_what_pytorch_calls_otherwise_is_named(wrong, same):
    with pytest.raises(InputError, match=f"unknown initializer '{wrong}'; here it is '{same}'"):
        initializers.get(wrong)


@pytest.mark.parametrize("std", [-0.1, math.nan, math.inf, "0.1", None])
def test_a_standard_deviation_that_cannot_be_is_refused_when_it_is_given(std):
    with pytest.raises(InputError, match="normal: std must"):
        initializers.normal(std)
    if std != -0.1:
        with pytest.raises(InputError, match="constant: value must"):
            initializers.constant(std)


def ramp(rng, fan_in, fan_out):
    return np.arange(fan_in * fan_out).reshape(fan_in, fan_out)


class Ramp:
    def __call__(self, rng, fan_in, fan_out):
        return ramp(rng, fan_in, fan_out).tolist()

    def __repr__(self):
        return "Ramp()"


def by_name_or_not(init):
    return tn.mlp(3, [4], 2, init=init, seed=1).params


@pytest.mark.parametrize("name", ["normal(0.05)", "constant(0.5)", "he_uniform"])
def test_a_layer_takes_it_called_or_by_its_name(name):
    made = initializers.get(name)
    for weights in zip(by_name_or_not(made).values(), by_name_or_not(name).values(), strict=True):
        np.testing.assert_array_equal(*weights)
    assert repr(tn.Dense(3, init=made)) == repr(tn.Dense(3, init=name)) == f"Dense(units=3, bias=True, init={name!r})"


@pytest.mark.parametrize(("init", "shown"), [(ramp, "ramp"), (Ramp(), "Ramp()"), (lambda *_: ramp(*_), "<lambda>")])
def test_a_function_of_ones_own_draws_every_weight(init, shown):
    params = by_name_or_not(init)
    np.testing.assert_array_equal(params["dense_1.weight"], np.arange(12).reshape(3, 4))
    np.testing.assert_array_equal(params["dense_2.weight"], np.arange(8).reshape(4, 2))
    assert repr(tn.Dense(4, init=init)) == f"Dense(units=4, bias=True, init={shown})"


def test_it_draws_from_the_networks_generator_in_turn():
    own = tn.mlp(3, [4], 2, init=lambda rng, fan_in, fan_out: rng.normal(0, 0.3, (fan_in, fan_out)), seed=5)
    for name, weight in tn.mlp(3, [4], 2, init="normal(0.3)", seed=5).params.items():
        np.testing.assert_array_equal(own.params[name], weight)


def test_the_array_that_a_function_returns_stays_its_own():
    mine = np.ones((3, 2), "float32")
    layer = tn.Dense(2, init=lambda *_: mine).build(3)
    layer.params["weight"][...] = 7
    assert (mine == 1).all()


@pytest.mark.parametrize(
    ("init", "message"),
    [
        (initializers.normal, r"normal is no function of \(rng, fan_in, fan_out\); write normal\(0\.05\)"),
        (lambda shape: np.zeros(shape), r"<lambda> is no function of \(rng, fan_in, fan_out\)$"),
        (0.05, "give a name such as 'he_normal', or a function .*, not 0.05"),
        (None, "give a name such as 'he_normal', or a function .*, not None"),
        (np.eye(3), "give a name such as 'he_normal', or a function .*, not ndarray"),
        ("he_norml", "did you mean 'he_normal'"),
    ],
)
def test_what_is_no_initializer_is_refused_when_the_layer_is_made(init, message):
    with pytest.raises(InputError, match=message):
        tn.Dense(3, init=init)


@pytest.mark.parametrize(
    ("init", "message"),
    [
        (lambda rng, fan_in, fan_out: np.zeros((fan_out, fan_in)), r"\(4, 3\), not float64 of shape \(3, 4\)"),
        (lambda rng, fan_in, fan_out: None, r"\(4, 3\), not object of shape \(\)"),
        (lambda rng, fan_in, fan_out: rng.normal() + "x", r"the function fails for \(rng, 4, 3\)"),
        (np.random.randn, r"the function fails for \(rng, 4, 3\)"),
        ("custom", "'custom' stands for a function that a file could not hold; give the function itself"),
    ],
)
def test_what_draws_no_weight_is_refused_when_the_layer_is_built(init, message):
    with pytest.raises(InputError, match=message):
        tn.Dense(3, init=init).build(4)
