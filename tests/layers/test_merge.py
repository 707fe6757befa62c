import numpy as np
import pytest

import tinynet as tn


def arrays(*widths, m=4):
    rng = np.random.default_rng(0)
    return [rng.normal(size=(m, width)) for width in widths]


def test_add_is_the_sum_of_its_inputs():
    a, b, c = arrays(3, 3, 3)
    np.testing.assert_array_equal(tn.Add().forward(a, b, c), a + b + c)
    np.testing.assert_array_equal(tn.Add().forward(a), a)


def test_an_array_may_be_added_to_itself():
    (a,) = arrays(3)
    np.testing.assert_array_equal(tn.Add().forward(a, a), 2 * a)


def test_add_hands_the_gradient_to_each_input():
    a, b, dy = arrays(3, 3, 3)
    layer = tn.Add()
    layer.forward(a, b, training=True)
    gradients = layer.backward(dy)
    assert len(gradients) == 2
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, dy)
    assert not np.shares_memory(*gradients)


def test_concat_puts_its_inputs_side_by_side():
    a, b, c = arrays(3, 1, 2)
    np.testing.assert_array_equal(tn.Concat().forward(a, b, c), np.hstack([a, b, c]))


@pytest.mark.parametrize("m", [1, 4])
def test_concat_hands_each_input_its_own_columns(m):
    a, b, dy = arrays(3, 2, 5, m=m)
    layer = tn.Concat()
    layer.forward(a, b, training=True)
    da, db = layer.backward(dy)
    np.testing.assert_array_equal(da, dy[:, :3])
    np.testing.assert_array_equal(db, dy[:, 3:])
    for gradient in (da, db):
        assert gradient.flags.c_contiguous
        assert not np.shares_memory(gradient, dy)


def test_add_refuses_different_numbers_of_features():
    with pytest.raises(tn.ShapeError, match=r"^add: .*same number of features, got \(3, 2\)"):
        tn.Add().forward(*arrays(3, 2))
    x = tn.Input(5)
    with pytest.raises(tn.ShapeError, match=r"^add_1: .*same number of features"):
        tn.Network(x, tn.Add()(tn.Dense(3)(x), tn.Dense(2)(x)))


@pytest.mark.parametrize("make", [tn.Add, tn.Concat])
def test_different_batch_sizes_are_refused(make):
    (a,), (b,) = arrays(3), arrays(3, m=5)
    with pytest.raises(tn.ShapeError, match=r"different batch sizes: \[4, 5\]"):
        make().forward(a, b)


@pytest.mark.parametrize("make", [tn.Add, tn.Concat])
def test_another_number_of_inputs_than_before_is_refused(make):
    layer = make()
    a, b, c = arrays(3, 3, 3)
    layer.forward(a, b)
    for wrong in ((), (a,), (a, b, c)):
        with pytest.raises(tn.ShapeError, match=f"built for 2 inputs, got {len(wrong)}"):
            layer.forward(*wrong)


@pytest.mark.parametrize("make", [tn.Add, tn.Concat])
def test_no_input_at_all_is_refused(make):
    with pytest.raises(tn.ShapeError, match=f"^{make.kind}: "):
        make().forward()
    with pytest.raises(tn.ShapeError, match=f"^{make.kind}: takes one or more inputs"):
        make()()


def test_a_branch_that_is_read_twice_gets_the_sum_of_both_gradients():
    x = tn.Input(3)
    h = tn.Tanh()(x)
    net = tn.Network(x, tn.Add()(h, h), dtype="float64")
    (a, dy) = arrays(3, 3)
    np.testing.assert_allclose(net.forward(a, training=True), 2 * np.tanh(a), rtol=1e-14)
    np.testing.assert_allclose(net.backward(dy), 2 * dy / np.cosh(a) ** 2, rtol=1e-13)


def test_a_skip_connection_adds_one_to_the_slope():
    x = tn.Input(3)
    net = tn.Network(x, tn.Add()(x, tn.Dense(3)(x)), seed=0, dtype="float64")
    (a, dy) = arrays(3, 3)
    weight = net.params["dense_1.weight"]
    np.testing.assert_allclose(net.forward(a, training=True), a @ (np.eye(3) + weight), rtol=1e-13)
    np.testing.assert_allclose(net.backward(dy), dy @ (np.eye(3) + weight).T, rtol=1e-13)
