import math
import re

import numpy as np
import pytest

import tinynet as tn

cross_entropy, mean_squared_error = tn.SoftmaxCrossEntropy(), tn.MeanSquaredError()
LABELS = np.array([0, 2, 1, 2, 0])
LOGITS = np.random.default_rng(0).normal(0, 3, (5, 3))


def cross_entropy_by_hand(logits, labels):
    """Complex input gives complex output, as the complex step needs."""
    return np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels])


def complex_step(f, x, h=1e-30):
    gradient = np.empty_like(x)
    for k in np.ndindex(x.shape):
        moved = x.astype(complex)
        moved[k] += 1j * h
        gradient[k] = f(moved).imag / h
    return gradient


# -- softmax cross-entropy ------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropy_of_equal_logits_is_log_of_the_number_of_classes(classes, dtype):
    loss, gradient = cross_entropy(np.full((4, classes), 7.0, dtype), np.zeros(4, int))
    assert loss == pytest.approx(math.log(classes), rel=1e-6 if dtype == "float32" else 1e-14)
    assert gradient.dtype == dtype
    expected = np.full((4, classes), 1 / classes)
    expected[:, 0] -= 1
    np.testing.assert_allclose(gradient, expected / 4, rtol=1e-6)


def test_cross_entropy_of_two_classes_is_the_logistic_loss():
    loss, _ = cross_entropy(np.array([[0.0, 1.5]]), np.array([1]))
    assert loss == pytest.approx(math.log1p(math.exp(-1.5)), rel=1e-14)


def test_cross_entropy_agrees_with_its_definition():
    loss, _ = cross_entropy(LOGITS, LABELS)
    assert loss == pytest.approx(cross_entropy_by_hand(LOGITS, LABELS), rel=1e-14)


def test_cross_entropys_gradient_agrees_with_complex_steps():
    _, gradient = cross_entropy(LOGITS, LABELS)
    expected = complex_step(lambda logits: cross_entropy_by_hand(logits, LABELS), LOGITS)
    np.testing.assert_allclose(gradient, expected, rtol=1e-12, atol=1e-15)


def test_cross_entropys_gradient_sums_to_zero_in_every_row():
    _, gradient = cross_entropy(LOGITS, LABELS)
    np.testing.assert_allclose(gradient.sum(axis=1), 0, atol=1e-16)


def test_cross_entropy_does_not_change_when_all_logits_of_a_row_are_shifted():
    loss, gradient = cross_entropy(LOGITS, LABELS)
    shifted_loss, shifted_gradient = cross_entropy(LOGITS + 1000, LABELS)
    assert shifted_loss == pytest.approx(loss, rel=1e-11)
    np.testing.assert_allclose(shifted_gradient, gradient, rtol=1e-11)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_huge_logits_give_the_exact_finite_loss(dtype):
    logits = np.array([[1e4, -1e4, 0], [1e4, -1e4, 0]], dtype)
    loss, gradient = cross_entropy(logits, np.array([0, 1]))  # right, and as wrong as can be
    assert loss == (0 + 2e4) / 2
    np.testing.assert_array_equal(gradient, [[0, 0, 0], [0.5, -0.5, 0]])


def test_logits_that_are_not_finite_give_a_loss_that_is_not():
    loss, _ = cross_entropy(np.array([[np.nan, 0.0]]), np.array([0]))
    assert math.isnan(loss)


@pytest.mark.parametrize("labels", [[0, 2, 1, 2, 0], LABELS.astype(np.uint8), LABELS.astype(np.int16)])
def test_labels_may_be_a_list_or_of_any_integer_type(labels):
    assert cross_entropy(LOGITS, labels)[0] == cross_entropy(LOGITS, LABELS)[0]


def test_losses_leave_outputs_and_targets_as_they_are():
    logits, labels = LOGITS.copy(), LABELS.copy()
    _, gradient = cross_entropy(logits, labels)
    mean_squared_error(logits, LOGITS + 1)
    np.testing.assert_array_equal(logits, LOGITS)
    np.testing.assert_array_equal(labels, LABELS)
    before = gradient.copy()
    cross_entropy(-logits, labels)
    np.testing.assert_array_equal(gradient, before)  # what was handed out is the caller's


@pytest.mark.parametrize(("labels", "low", "high"), [([0, 1, 2, 3, 0], 0, 3), ([0, -1, 2, 0, 0], -1, 2)])
def test_a_label_out_of_range_is_named_with_the_range(labels, low, high):
    with pytest.raises(tn.DataError, match=rf"labels run from {low} to {high}, .* 3 outputs \(0 to 2\)"):
        cross_entropy(LOGITS, np.array(labels))


@pytest.mark.parametrize(
    ("labels", "shape"),
    [
        (LABELS[:4], r"\(4,\) of int64"),
        (np.eye(3)[LABELS], r"\(5, 3\) of float64"),
        (LABELS * 1.0, r"\(5,\) of float"),
    ],
)
def test_targets_that_are_not_one_integer_an_example_are_refused(labels, shape):
    with pytest.raises(tn.ShapeError, match=rf"must be 5 integer labels, got shape {shape}"):
        cross_entropy(LOGITS, labels)


@pytest.mark.parametrize(
    ("labels", "line"),
    [
        (LABELS * 1.0, "y.astype(int)"),
        (LABELS[:, None], "y.ravel()"),
        (np.eye(3)[LABELS], "y.argmax(axis=1)"),
        (np.eye(3, dtype=int)[LABELS], "y.argmax(axis=1)"),
        (np.array(["a", "b", "c"])[LABELS], "np.unique(y, return_inverse=True)[1]"),
        (LABELS + 1, "y - 1"),
        (LABELS - 1, "y + 1"),
        (LABELS + 5, "y - 5"),
        (np.array([2, 4, 9])[LABELS], "np.unique(y, return_inverse=True)[1]"),
    ],
)
def test_what_may_be_meant_as_labels_is_refused_with_the_line_that_makes_labels_of_it(labels, line):
    with pytest.raises(tn.InputError, match=re.escape(f"give {line}") if "unique" not in line else re.escape(line)):
        cross_entropy(LOGITS, labels)
    made = eval(line, {"np": np, "y": labels})
    np.testing.assert_array_equal(made, LABELS)
    assert math.isfinite(cross_entropy(LOGITS, made)[0])


def test_minus_1_and_1_are_numbered_for_two_outputs():
    with pytest.raises(tn.DataError, match=r"labels count from 0: give np.unique\(y, return_inverse=True\)\[1\]$"):
        cross_entropy(LOGITS[:, :2].copy(), np.array([-1, 1, 1, -1, 1]))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2, 3, 4], r"outputs \(0 to 2\); give the network 5 outputs$"),
        ([0.5, 1, 2, 0, 1], r"got shape \(5,\) of float64; a regression takes loss=tn.MeanSquaredError\(\)$"),
        (
            np.ones((5, 3)),
            r"\(5, 3\) of float64; .* such as y\[:, 0\]; a regression takes loss=tn.MeanSquaredError\(\)$",
        ),
        (np.ones((5, 3), int), r"\(5, 3\) of int64; the labels may be one column of it, such as y\[:, 0\]$"),
    ],
)
def test_where_nothing_makes_labels_of_it_the_message_says_what_else(labels, message):
    with pytest.raises(tn.InputError, match=message):
        cross_entropy(LOGITS, np.array(labels))


@pytest.mark.parametrize("loss", [cross_entropy, mean_squared_error])
def test_integer_outputs_are_refused_with_a_hint(loss):
    with pytest.raises(tn.InputError, match="needs float32 or float64 values, not int64"):
        loss(np.zeros((5, 3), int), LABELS)


def test_an_empty_batch_is_refused():
    with pytest.raises(tn.DataError, match="batch is empty"):
        cross_entropy(np.empty((0, 3)), np.empty(0, int))
    with pytest.raises(tn.DataError, match="batch is empty"):
        mean_squared_error(np.empty((0, 3)), np.empty((0, 3)))


# -- mean squared error ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mean_squared_error_and_its_gradient_by_hand(dtype):
    loss, gradient = mean_squared_error(np.array([[1, 2], [3, 4]], dtype), np.array([[1, 0], [0, 4]]))
    assert loss == (0 + 4 + 9 + 0) / 4
    assert gradient.dtype == dtype
    np.testing.assert_array_equal(gradient, np.array([[0, 2], [3, 0]]) * 2 / 4)


def test_mean_squared_errors_gradient_agrees_with_complex_steps():
    targets = np.random.default_rng(1).normal(size=LOGITS.shape)
    _, gradient = mean_squared_error(LOGITS, targets)
    expected = complex_step(lambda outputs: np.mean((outputs - targets) ** 2), LOGITS)
    np.testing.assert_allclose(gradient, expected, rtol=1e-14)


def test_targets_of_one_unit_may_be_of_one_dimension():
    outputs = LOGITS[:, :1].copy()
    loss, gradient = mean_squared_error(outputs, LABELS)
    assert loss == np.mean((outputs[:, 0] - LABELS) ** 2)
    np.testing.assert_allclose(gradient, 2 * (outputs - LABELS[:, None]) / 5, rtol=1e-15)
    for wrong in (3.0, LABELS[:4], LABELS[None, :]):
        with pytest.raises(tn.ShapeError, match=r"shape \(5, 1\), got"):
            mean_squared_error(outputs, wrong)


def test_mean_squared_error_needs_targets_of_the_outputs_shape():
    with pytest.raises(tn.ShapeError, match=r"shape \(5, 3\), got \(5,\)"):
        mean_squared_error(LOGITS, LABELS)


def test_mean_squared_error_needs_numbers():
    with pytest.raises(tn.InputError, match="must be numbers"):
        mean_squared_error(LOGITS, LOGITS > 0)
