import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinynet as tn
from tinynet.datasets import Batches

X = np.arange(14, dtype="float32").reshape(7, 2)
Y = np.arange(7)


# -- Dataset --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("float32", "float32"),
        ("float64", "float64"),
        ("float16", "float32"),
        ("uint8", "float32"),
        ("int64", "float32"),
    ],
)
def test_x_is_kept_as_float32_or_float64(given, kept):
    data = tn.Dataset(X.astype(given), Y)
    assert data.x.dtype == kept
    np.testing.assert_array_equal(data.x, X)  # not scaled


def test_lists_will_do():
    data = tn.Dataset([[1, 2], [3, 4]], [0, 1])
    assert data.x.shape == (2, 2)
    assert data.y.dtype == np.int64


def test_images_are_flattened_row_by_row():
    images = np.arange(24.0).reshape(2, 3, 4)
    data = tn.Dataset(images, [0, 1])
    np.testing.assert_array_equal(data.x[1], np.arange(12.0, 24.0))
    assert data.x.flags.c_contiguous


def test_columns_first_arrays_become_rows_first():
    data = tn.Dataset(np.asfortranarray(X), Y)
    assert data.x.flags.c_contiguous
    np.testing.assert_array_equal(data.x, X)


@pytest.mark.parametrize("labels", [Y.astype("uint8"), Y.astype("int32"), Y > 2])
def test_labels_become_int64(labels):
    data = tn.Dataset(X, labels)
    assert data.y.dtype == np.int64
    np.testing.assert_array_equal(data.y, labels)


@pytest.mark.parametrize("labels", [Y[:, None], Y[:, None].astype("uint8"), Y[:, None] > 2, [[k] for k in range(7)]])
def test_labels_in_a_column_are_labels(labels):
    data = tn.Dataset(X, labels)
    assert data.y.dtype == np.int64
    np.testing.assert_array_equal(data.y, np.ravel(labels))


@pytest.mark.parametrize("y", [Y[None, :], Y[:, None, None], Y[None, :] / 2])
def test_of_targets_in_another_shape_it_says_how_to_flatten_them(y):
    with pytest.raises(tn.DataError, match=rf"got shape {re.escape(str(y.shape))}; give y.ravel\(\)$"):
        tn.Dataset(X, y)
    assert tn.Dataset(X, y.ravel()).y.size == 7


@pytest.mark.parametrize("kind", [str, "S", object])
def test_of_names_in_place_of_labels_it_says_how_to_number_them(kind):
    y = np.array(["cat", "dog", "cat", "eel", "dog", "cat", "cat"]).astype(kind)
    with pytest.raises(
        tn.DataError, match=r"y must be numbers, not .*; names of classes become labels by (.*)$"
    ) as error:
        tn.Dataset(X, y)
    labels = eval(str(error.value).split(" by ")[1], {"np": np, "y": y})
    np.testing.assert_array_equal(tn.Dataset(X, labels).y, [0, 1, 0, 2, 1, 0, 0])


def test_float_targets_of_one_dimension_become_a_column():
    assert tn.Dataset(X, Y / 2).y.shape == (7, 1)
    assert tn.Dataset(X, np.ones((7, 3))).y.shape == (7, 3)


@pytest.mark.parametrize(
    ("x", "y"), [(np.empty((0, 2)), []), (np.empty((3, 0)), [0, 1, 2]), (np.ones(3), [0, 1, 2]), (np.float64(1), [0])]
)
def test_an_empty_set_and_one_without_features_are_refused_with_their_shape(x, y):
    with pytest.raises(
        tn.DataError, match=r"must be \(examples, features\) and not empty, got shape " + re.escape(str(x.shape))
    ):
        tn.Dataset(x, y)


@pytest.mark.parametrize("y", [Y[:6], np.zeros((7, 1, 1)), 3, []])
def test_lengths_that_differ_are_refused(y):
    with pytest.raises(tn.DataError, match=r"one row for each of 7 examples, got shape"):
        tn.Dataset(X, y)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_value_that_is_not_finite_is_refused_with_its_place(value, dtype):
    x = X.astype(dtype)
    x[4, 1] = x[6, 0] = value
    with pytest.raises(tn.DataError, match=rf"x\[4, 1\] is {value}; values that are nan or inf: 2"):
        tn.Dataset(x, Y)


def test_inf_and_minus_inf_do_not_cancel():
    x = X.copy()
    x[1, 0], x[2, 0] = np.inf, -np.inf
    with pytest.raises(tn.DataError, match=r"x\[1, 0\] is inf"):
        tn.Dataset(x, Y)


def test_a_target_that_is_not_finite_is_refused_with_its_place():
    with pytest.raises(tn.DataError, match=r"y\[2, 0\] is nan"):
        tn.Dataset(X, np.where(Y == 2, np.nan, Y))


def test_values_so_large_that_their_sum_overflows_are_finite_all_the_same():
    assert len(tn.Dataset(np.full((4, 2), 3e38, "float32"), Y[:4])) == 4


@pytest.mark.parametrize(("x", "y"), [(X.astype(str), Y), (X, Y.astype(str)), (X + 1j, Y), (X.astype(object), Y)])
def test_what_is_not_a_number_is_refused(x, y):
    with pytest.raises(tn.DataError, match="must be numbers, not"):
        tn.Dataset(x, y)


def test_part_of_a_set_is_a_set():
    data = tn.Dataset(X, Y)
    for rows in (slice(2, 5), [2, 3, 4], (Y > 1) & (Y < 5)):
        part = data[rows]
        assert len(part) == 3
        np.testing.assert_array_equal(part.x, X[2:5])
        np.testing.assert_array_equal(part.y, Y[2:5])


def test_its_repr_says_what_it_holds():
    assert repr(tn.Dataset(X, Y)) == "Dataset(7 examples, 2 features of float32, labels 0 to 6)"
    assert repr(tn.Dataset(X, Y / 2)) == "Dataset(7 examples, 2 features of float32, 1 targets)"
    assert repr(tn.Dataset(X, Y + 1)) == "Dataset(7 examples, 2 features of float32, labels 1 to 7)"
    assert repr(tn.Dataset(X, 2 * (Y > 2) - 1)) == "Dataset(7 examples, 2 features of float32, labels -1 to 1)"
    assert repr(tn.Dataset(X, np.eye(7, dtype=int))) == "Dataset(7 examples, 2 features of float32, 7 targets)"


# -- Batches --------------------------------------------------------------------------------------------------


def epochs(size, count=2, seed=0, examples=7, at_least=1, dtype="float32"):
    """Labels of each batch of each epoch; label k belongs to the example 2k, 2k + 1."""
    data = tn.Dataset(X[:examples], Y[:examples])
    batches = Batches(
        data, size, np.random.default_rng(seed), lambda rows: np.empty((rows, data.x.shape[1]), dtype), at_least
    )
    stream, result = iter(batches), []
    for _ in range(count):
        epoch = []
        for x, y in itertools.islice(stream, batches.per_epoch):
            assert x.dtype == dtype
            np.testing.assert_array_equal(x, X[y])  # examples keep their labels
            epoch.append(y.tolist())
        result.append(epoch)
    return result


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_each_epoch_takes_every_example_once(size, dtype):
    for epoch in epochs(size, dtype=dtype):
        assert sorted(np.concatenate(epoch)) == list(range(7))


def test_each_epoch_has_an_order_of_its_own():
    first, second = epochs(7)
    assert first != second


@pytest.mark.parametrize("at_least", [1, 2])
@pytest.mark.parametrize(
    ("size", "expected"),
    [(2, [3, 2, 2]), (3, [3, 2, 2]), (4, [4, 3]), (5, [4, 3]), (6, [4, 3]), (7, [7]), (100, [7])],
)
def test_all_batches_are_equal_if_the_last_were_half_a_batch_or_less_with_and_without_batch_norm(
    size, expected, at_least
):
    for epoch in epochs(size, at_least=at_least):
        assert [len(batch) for batch in epoch] == expected


@settings(max_examples=300, deadline=None, derandomize=True)
@given(examples=st.integers(1, 300), size=st.integers(1, 310))
def test_an_epoch_is_its_order_cut_into_batches_of_at_least_half_the_size(examples, size):
    data = tn.Dataset(np.arange(examples)[:, None], np.arange(examples))
    batches = Batches(data, size, np.random.default_rng(0), lambda rows: np.empty((rows, 1), "float32"))
    epoch = [y.copy() for _, y in itertools.islice(batches, batches.per_epoch)]
    order, sizes = np.random.default_rng(0).permutation(examples), [len(y) for y in epoch]
    np.testing.assert_array_equal(np.concatenate(epoch), order)  # whatever the rule, so where the size divides, too
    size = min(size, examples)
    rest = examples % size
    if rest and 2 * rest <= size:
        count = -(-examples // size) - (size == 2)
        assert sizes == [len(part) for part in np.array_split(order, count)]
    else:
        assert sizes == [size] * (examples // size) + [rest] * (rest > 0)
    assert min(sizes) >= size / 2
    assert min(sizes) > 1 or size == 1


def test_same_seed_same_batches_and_another_seed_others():
    assert epochs(3, seed=5) == epochs(3, seed=5)
    assert epochs(3, seed=5) != epochs(3, seed=6)


def test_an_examples_place_in_the_order_depends_on_neither_precision_nor_batch_norm():
    whole = epochs(3, dtype="float64")
    assert epochs(3, dtype="float32") == epochs(3, at_least=2) == whole


def test_the_data_stays_as_it_is():
    data = tn.Dataset(X.copy(), Y.copy())
    buffer = np.empty((3, data.x.shape[1]), "float32")
    stream = iter(Batches(data, 3, np.random.default_rng(0), lambda rows: buffer[:rows]))
    for x, y in itertools.islice(stream, 5):
        x[:] = y[:] = -1
    np.testing.assert_array_equal(data.x, X)
    np.testing.assert_array_equal(data.y, Y)


@pytest.mark.parametrize("size", [0, -3])
def test_a_batch_size_below_one_is_refused(size):
    with pytest.raises(tn.InputError, match=f"batch_size must be a whole number of at least 1, not {size}"):
        epochs(size)


def test_batches_of_one_and_sets_of_one_are_refused_where_two_are_needed():
    with pytest.raises(tn.InputError, match="batch normalization must be a whole number of at least 2, not 1"):
        epochs(1, at_least=2)
    with pytest.raises(tn.DataError, match="has 1 example, batch normalization needs 2"):
        epochs(3, at_least=2, examples=1)
