import numpy as np
import pytest

import tinynet as tn
from tinynet import initializers


def dense(bias=True):
    """Return a layer with known numbers: 2 inputs, 3 units."""
    layer = tn.Dense(3, bias=bias).build(2, dtype="float64")
    layer.params["weight"][:] = [[1, 2, 3], [4, 5, 6]]
    if bias:
        layer.params["bias"][:] = [10, 20, 30]
    return layer


def test_forward_by_hand():
    x = np.array([[1.0, 0], [0, 1], [2, -1]])
    np.testing.assert_array_equal(dense().forward(x), [[11, 22, 33], [14, 25, 36], [8, 19, 30]])
    np.testing.assert_array_equal(dense(bias=False).forward(x), [[1, 2, 3], [4, 5, 6], [-2, -1, 0]])


def test_backward_by_hand():
    layer = dense()
    layer.forward(np.array([[1.0, 2], [3, -1]]), training=True)
    dx = layer.backward(np.array([[1.0, 0, 0], [0, 1, -1]]))
    np.testing.assert_array_equal(dx, [[1, 4], [-1, -1]])
    np.testing.assert_array_equal(layer.grads["weight"], [[1, 3, -3], [2, -1, 1]])
    np.testing.assert_array_equal(layer.grads["bias"], [1, 1, -1])


def test_the_weight_is_inputs_by_units_and_the_bias_starts_at_zero():
    layer = tn.Dense(3).build(5)
    assert layer.params["weight"].shape == (5, 3)
    np.testing.assert_array_equal(layer.params["bias"], np.zeros(3, "float32"))
    assert list(tn.Dense(3, bias=False).build(5).params) == ["weight"]


def test_init_draws_the_weight():
    layer = tn.Dense(3, init="he_normal").build(5, seed=2, dtype="float64")
    expected = initializers.get("he_normal")(np.random.default_rng(2), 5, 3)
    np.testing.assert_array_equal(layer.params["weight"], expected)


def test_both_precisions_draw_the_same_weights():
    single, double = (tn.Dense(3).build(5, seed=2, dtype=dtype) for dtype in ("float32", "float64"))
    np.testing.assert_array_equal(single.params["weight"], double.params["weight"].astype("float32"))


def test_a_wrong_initializer_is_found_at_once():
    with pytest.raises(tn.InputError, match="he_normal"):
        tn.Dense(3, init="he_norml")


@pytest.mark.parametrize("units", [0, -1])
def test_no_units_are_refused(units):
    with pytest.raises(tn.InputError, match="units must be a whole number of at least 1"):
        tn.Dense(units)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_not_hidden(bad):
    layer = dense()
    x = np.ones((2, 2))
    x[0, 1] = bad
    with np.errstate(invalid="ignore"):  # NumPy's product of infinities warns
        y = layer.forward(x, training=True)
        layer.backward(np.ones((2, 3)))
    assert not np.isfinite(y[0]).any()
    assert np.isfinite(y[1]).all()
    assert not np.isfinite(layer.grads["weight"][1]).any()


def test_in_a_network_the_gradient_of_the_data_can_be_left_out():
    net = tn.mlp(4, [3], 2, dtype="float64", seed=0)
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(6, 4)), rng.normal(size=(6, 2))
    net.forward(x, training=True)
    net.backward(dy)
    gradients = {name: g.copy() for name, g in net.grads.items()}
    for g in net.grads.values():
        g[...] = np.nan
    assert net.backward(dy, input_gradient=False) is None
    for name, g in net.grads.items():
        np.testing.assert_array_equal(g, gradients[name])
