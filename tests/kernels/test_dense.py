import numpy as np
import pytest

from tests import reference
from tinynet.kernels import dense

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@both_dtypes
def test_the_bias_is_added_to_every_row(dtype):
    rng = np.random.default_rng(0)
    y, b = rng.normal(size=(7, 5)).astype(dtype), rng.normal(size=5).astype(dtype)
    expected, bias = reference.dense_add_bias(y, b), b.copy()
    dense.add_bias(y, b)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(b, bias)


@both_dtypes
def test_the_biass_gradient_is_the_sum_over_the_batch_and_forgets_what_was_there(dtype):
    dy = np.random.default_rng(1).integers(-9, 10, (7, 5)).astype(dtype)  # whole numbers: the sum is exact
    db, given = np.full(5, np.nan, dtype), dy.copy()
    dense.bias_gradient(dy, db)
    np.testing.assert_array_equal(db, reference.dense_bias_gradient(given))
    np.testing.assert_array_equal(dy, given)


def test_the_twins_gradient_is_that_of_its_forward():
    rng = np.random.default_rng(2)
    y, dy, b = rng.normal(size=(7, 5)), rng.normal(size=(7, 5)), rng.normal(size=5)
    slope = reference.complex_step(lambda bias: np.sum(dy * reference.dense_add_bias(y, bias)), b)
    np.testing.assert_allclose(reference.dense_bias_gradient(dy), slope, rtol=1e-14)
