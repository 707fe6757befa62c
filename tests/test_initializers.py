import math

import numpy as np
import pytest

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
