import numpy as np
import pytest

from tests import reference
from tinynet.kernels import merge

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def numbers(*shapes, dtype):
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


@both_dtypes
def test_a_copy_is_the_same_to_the_bit(dtype):
    x, y = numbers((6, 4), (6, 4), dtype=dtype)
    x[2, 1], x[3, 3] = np.nan, -0.0
    expected = reference.merge_copy(x)
    merge.copy(x, y)
    np.testing.assert_array_equal(y.view(np.uint8), expected.view(np.uint8))


@both_dtypes
def test_a_sum(dtype):
    a, b, y = numbers((6, 4), (6, 4), (6, 4), dtype=dtype)
    first, second = a.copy(), b.copy()
    merge.add(a, b, y)
    np.testing.assert_array_equal(y, reference.merge_add(first, second))
    np.testing.assert_array_equal(a, first)
    np.testing.assert_array_equal(b, second)


@both_dtypes
@pytest.mark.parametrize("into", ["a", "b", "both"])
def test_a_sum_into_one_of_its_terms(dtype, into):
    a, b = numbers((6, 4), (6, 4), dtype=dtype)
    if into == "both":
        b = a
    expected = reference.merge_add(a.copy(), b.copy())
    merge.add(a, b, b if into == "b" else a)
    np.testing.assert_array_equal(b if into == "b" else a, expected)


@both_dtypes
@pytest.mark.parametrize("start", [0, 3, 5])
def test_columns_are_written_in_their_place_and_nowhere_else(dtype, start):
    x, y = numbers((6, 2), (6, 7), dtype=dtype)
    expected = reference.merge_write_columns(x, y, start)
    merge.write_columns(x, y, start)
    np.testing.assert_array_equal(y, expected)


@both_dtypes
@pytest.mark.parametrize("start", [0, 3, 5])
def test_columns_are_read_from_their_place(dtype, start):
    y, x = numbers((6, 7), (6, 2), dtype=dtype)
    given = y.copy()
    merge.read_columns(y, start, x)
    np.testing.assert_array_equal(x, reference.merge_read_columns(given, start, 2))
    np.testing.assert_array_equal(y, given)
