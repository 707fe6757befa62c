"""What batch normalization means; that its numbers are right is in tests/kernels."""

import numpy as np
import pytest

import tinynet as tn


def batch(m=8, features=3, seed=0, dtype="float64"):
    return np.random.default_rng(seed).normal(5, 3, (m, features)).astype(dtype)


def test_training_output_has_mean_0_and_standard_deviation_1():
    y = tn.BatchNorm(eps=0).forward(batch(), training=True)
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-14)
    np.testing.assert_allclose(y.std(0), 1, rtol=1e-14)


def test_gamma_and_beta_are_the_new_standard_deviation_and_mean():
    layer = tn.BatchNorm(eps=0).build(3, dtype="float64")
    layer.params["gamma"][:], layer.params["beta"][:] = [2, 0.5, 3], [1, -1, 0]
    y = layer.forward(batch(), training=True)
    np.testing.assert_allclose(y.std(0), [2, 0.5, 3], rtol=1e-14)
    np.testing.assert_allclose(y.mean(0), [1, -1, 0], atol=1e-14)


def test_it_starts_as_plain_normalization():
    layer = tn.BatchNorm().build(2)
    assert layer.params["gamma"].tolist() == [1, 1]
    assert layer.params["beta"].tolist() == [0, 0]
    assert layer.state["running_mean"].tolist() == [0, 0]
    assert layer.state["running_var"].tolist() == [1, 1]


def test_running_statistics_by_hand():
    layer = tn.BatchNorm(decay=0.75)
    layer.forward(np.array([[1.0, 0], [3, 4]]), training=True)  # means 2, 2; unbiased variances 2, 8
    np.testing.assert_allclose(layer.state["running_mean"], [0.25 * 2, 0.25 * 2])
    np.testing.assert_allclose(layer.state["running_var"], [0.75 + 0.25 * 2, 0.75 + 0.25 * 8])
    layer.forward(np.array([[0.0, 1], [3, 1], [0, 1]]), training=True)  # means 1, 1; unbiased variances 3, 0
    np.testing.assert_allclose(layer.state["running_mean"], [0.75 * 0.5 + 0.25, 0.75 * 0.5 + 0.25])
    np.testing.assert_allclose(layer.state["running_var"], [0.75 * 1.25 + 0.25 * 3, 0.75 * 2.75])


def test_decay_is_how_much_is_kept():
    x = batch()
    forgetful = tn.BatchNorm(decay=0)
    forgetful.forward(batch(seed=1), training=True)
    forgetful.forward(x, training=True)
    np.testing.assert_allclose(forgetful.state["running_mean"], x.mean(0))
    np.testing.assert_allclose(forgetful.state["running_var"], x.var(0, ddof=1))
    slow = tn.BatchNorm(decay=0.999)
    slow.forward(x, training=True)
    np.testing.assert_allclose(slow.state["running_mean"], 0.001 * x.mean(0))


def test_after_many_like_batches_a_prediction_is_normalized_by_what_was_seen():
    layer = tn.BatchNorm(decay=0.9, eps=0)
    for _ in range(300):
        layer.forward(batch(), training=True)
    np.testing.assert_allclose(
        layer.forward(batch()), (batch() - batch().mean(0)) / batch().std(0, ddof=1), rtol=1e-10, atol=1e-12
    )


def test_a_prediction_uses_the_running_statistics_and_not_the_batch():
    layer = tn.BatchNorm(eps=0).build(2, dtype="float64")
    layer.state["running_mean"][:], layer.state["running_var"][:] = [1, 2], [4, 9]
    layer.params["gamma"][:], layer.params["beta"][:] = [1, 10], [0, 5]
    np.testing.assert_allclose(layer.forward(np.array([[3.0, 5.0]])), [[1, 15]])
    np.testing.assert_allclose(layer.forward(np.array([[3.0, 5.0], [90, -7]]))[0], [1, 15])


def test_a_batch_of_one_is_refused_in_training_and_fine_in_a_prediction():
    layer = tn.BatchNorm()
    layer.forward(batch(), training=True)
    state = {name: value.copy() for name, value in layer.state.items()}
    with pytest.raises(tn.InputError, match=r"^batch_norm: .*at least 2 examples, got 1 .*use training=False"):
        layer.forward(batch(1), training=True)
    with pytest.raises(tn.InputError, match="at least 2 examples, got 0"):
        layer.forward(batch(0), training=True)
    for name, value in layer.state.items():
        np.testing.assert_array_equal(value, state[name])
    assert layer.forward(batch(1)).shape == (1, 3)


def test_a_network_names_the_layer_that_refuses_a_batch_of_one():
    net = tn.mlp(3, [4, 4], 2, norm="batch")
    with pytest.raises(tn.InputError, match=r"^batch_norm_1: "):
        net.forward(batch(1, dtype="float32"), training=True)


@pytest.mark.parametrize("decay", [-0.1, 1, 1.5, np.nan])
def test_a_decay_that_is_not_a_share_is_refused(decay):
    with pytest.raises(tn.InputError, match="decay must be at least 0 and below 1"):
        tn.BatchNorm(decay=decay)


@pytest.mark.parametrize("eps", [-1e-5, np.nan])
def test_a_negative_eps_is_refused(eps):
    with pytest.raises(tn.InputError, match="eps must not be negative"):
        tn.BatchNorm(eps=eps)


def test_running_statistics_are_state_that_no_optimizer_sees():
    net = tn.mlp(3, [4], 2, norm="batch")
    assert set(net.state) == {"batch_norm_1.running_mean", "batch_norm_1.running_var"}
    assert not set(net.state) & (set(net.params) | set(net.grads))


def test_moving_and_stretching_a_feature_changes_nothing():
    x = batch()
    y = tn.BatchNorm(eps=0).forward(x, training=True)
    moved = tn.BatchNorm(eps=0).forward(7 * x - 100, training=True)
    np.testing.assert_allclose(moved, y, rtol=1e-10, atol=1e-12)


def test_the_gradient_has_no_part_along_the_batchs_mean_or_spread():
    layer = tn.BatchNorm(eps=0)
    y = layer.forward(batch(), training=True)
    dx = layer.backward(batch(seed=1))
    np.testing.assert_allclose(dx.sum(0), 0, atol=1e-13)
    np.testing.assert_allclose((dx * y).sum(0), 0, atol=1e-12)


def test_the_order_of_the_examples_does_not_matter():
    x, dy = batch(), batch(seed=1)
    order = np.random.default_rng(2).permutation(len(x))
    layer, shuffled = tn.BatchNorm(), tn.BatchNorm()
    np.testing.assert_allclose(
        shuffled.forward(x[order], training=True), layer.forward(x, training=True)[order], rtol=1e-12
    )
    np.testing.assert_allclose(shuffled.backward(dy[order]), layer.backward(dy)[order], rtol=1e-10, atol=1e-14)


# -- with the Dense layer before it (section 3.3 of the 2015 paper) -----------------------------------------


def dense_and_batch_norm(bias=False, eps=0.0):
    layers = [tn.Dense(4, bias=bias), tn.BatchNorm(eps=eps)]
    return tn.Sequential(layers, inputs=3, seed=5, dtype="float64")


def test_a_bias_before_it_changes_nothing_and_gets_no_gradient():
    net = dense_and_batch_norm(bias=True, eps=1e-5)
    x, dy = batch(), batch(features=4, seed=1)
    y = net.forward(x, training=True)
    net.params["dense_1.bias"] = [3, -2, 100, 0.1]
    np.testing.assert_allclose(net.forward(x, training=True), y, rtol=1e-9, atol=1e-11)
    net.backward(dy)
    np.testing.assert_allclose(net.grads["dense_1.bias"], 0, atol=1e-12)
    assert np.abs(net.grads["dense_1.weight"]).max() > 0.01


@pytest.mark.parametrize("a", [0.01, 0.5, 3, 1000])
def test_scaling_the_weights_scales_their_gradient_by_1_over_a_and_nothing_else(a):
    u, dy = batch(), batch(features=4, seed=1)
    plain, scaled = dense_and_batch_norm(), dense_and_batch_norm()
    scaled.params["dense_1.weight"] = a * plain.params["dense_1.weight"]
    y, y_scaled = (net.forward(u, training=True) for net in (plain, scaled))
    np.testing.assert_allclose(y_scaled, y, rtol=1e-10, atol=1e-12)  # BN((aW)u) = BN(Wu)
    du, du_scaled = (net.backward(dy) for net in (plain, scaled))
    np.testing.assert_allclose(du_scaled, du, rtol=1e-10, atol=1e-12)  # d BN((aW)u)/du = d BN(Wu)/du
    np.testing.assert_allclose(
        a * scaled.grads["dense_1.weight"], plain.grads["dense_1.weight"], rtol=1e-10, atol=1e-12
    )  # d BN((aW)u)/d(aW) = 1/a d BN(Wu)/dW


def test_the_weights_gradient_is_at_right_angles_to_the_weights():
    """Since no multiple of W changes the output, moving along W changes nothing: steps only make W longer."""
    net = dense_and_batch_norm()
    net.forward(batch(), training=True)
    net.backward(batch(features=4, seed=1))
    weight, gradient = net.params["dense_1.weight"], net.grads["dense_1.weight"]
    np.testing.assert_allclose((weight * gradient).sum(0), 0, atol=1e-12)
