import numpy as np
import pytest

import tinynet as tn


def test_what_is_let_through_is_divided_by_the_share_that_is_let_through():
    x = np.random.default_rng(0).normal(size=(50, 40)) + 10
    y = tn.Dropout(0.25).forward(x, training=True)
    kept = y != 0
    np.testing.assert_allclose(y[kept], x[kept] / 0.75, rtol=1e-15)
    assert abs(kept.mean() - 0.75) < 5 * np.sqrt(0.25 * 0.75 / x.size)  # five standard errors


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_expected_value_stays_the_same(rate, dtype):
    y = tn.Dropout(rate).forward(np.ones((400, 300), dtype), training=True)
    standard_error = np.sqrt(rate / (1 - rate) / y.size)
    assert abs(y.mean(dtype=np.float64) - 1) < 5 * standard_error


def test_a_prediction_drops_nothing():
    x = np.random.default_rng(0).normal(size=(5, 4))
    np.testing.assert_array_equal(tn.Dropout(0.9).forward(x), x)


def test_rate_0_drops_nothing():
    x = np.random.default_rng(0).normal(size=(5, 4))
    layer = tn.Dropout(0)
    np.testing.assert_array_equal(layer.forward(x, training=True), x)
    np.testing.assert_array_equal(layer.backward(x), x)


def test_the_gradient_passes_where_the_number_passed():
    layer = tn.Dropout(0.5)
    y = layer.forward(np.ones((20, 10)), training=True)
    np.testing.assert_array_equal(layer.backward(np.ones((20, 10))), y)


def test_every_step_drops_others():
    layer = tn.Dropout(0.5)
    first, second = (layer.forward(np.ones((20, 10)), training=True) for _ in range(2))
    assert not np.array_equal(first, second)


def test_two_dropouts_in_a_network_drop_different_numbers():
    net = tn.Sequential([tn.Dropout(0.5), tn.Dropout(0.5)], inputs=200, seed=0, dtype="float64")
    y = net.forward(np.ones((50, 200)), training=True)
    assert set(np.unique(y)) == {0, 4}
    assert abs((y != 0).mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / y.size)


def test_a_prediction_draws_nothing():
    x = np.ones((20, 10))
    outputs = []
    for predictions in (0, 3):
        layer = tn.Dropout(0.5).build(10, seed=1, dtype="float64")
        for _ in range(predictions):
            layer.forward(x)
        outputs.append(layer.forward(x, training=True))
    np.testing.assert_array_equal(*outputs)


def test_the_weights_drawn_are_the_same_with_and_without_dropout():
    with_dropout = tn.mlp(6, [5, 4], 3, dropout=0.5, seed=3)
    without = tn.mlp(6, [5, 4], 3, seed=3)
    assert with_dropout.params.keys() == without.params.keys()
    for name, value in without.params.items():
        np.testing.assert_array_equal(with_dropout.params[name], value)


def test_training_draws_nothing_from_the_generator_that_the_weights_came_from():
    """So a second network built from the same generator is the same, whatever the first one did meanwhile."""
    second = []
    for steps in (0, 3):
        rng = np.random.default_rng(3)
        first = tn.mlp(6, [5], 3, dropout=0.5, seed=rng)
        for _ in range(steps):
            first.forward(np.ones((2, 6), "float32"), training=True)
        second.append(tn.mlp(6, [5], 3, dropout=0.5, seed=rng).params["dense_1.weight"])
    np.testing.assert_array_equal(*second)


def test_the_same_seed_drops_the_same_numbers():
    x = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")

    def output(seed):
        return tn.mlp(6, [50], 3, dropout=0.5, seed=seed).forward(x, training=True)

    np.testing.assert_array_equal(output(1), output(1))
    net = tn.mlp(6, [50], 3, dropout=0.5, seed=1)
    assert not np.array_equal(net.forward(x, training=True), net.forward(x, training=True))


def test_nan_is_not_dropped_out_of_sight():
    x = np.full((20, 10), np.nan)
    assert np.isnan(tn.Dropout(0.5).forward(x, training=True)).all()


@pytest.mark.parametrize("rate", [-0.1, 1, 2, np.nan])
def test_a_rate_that_is_not_a_share_is_refused(rate):
    with pytest.raises(tn.InputError, match="rate must be at least 0 and below 1"):
        tn.Dropout(rate)
