import copy

import numpy as np
import pytest

import tinynet as tn

EXAMPLES = 2345  # more than one chunk of a thousand, and no multiple


def data(dtype="float64", examples=EXAMPLES, features=4):
    return np.random.default_rng(0).normal(3, 2, (examples, features)).astype(dtype)


def chain(dtype="float64", seed=0, **settings):
    return unsettled(tn.mlp(4, [6, 5], 3, activation="tanh", norm="batch", seed=seed, dtype=dtype, **settings))


def branching(dtype="float64"):
    """BatchNorm after a Dense read twice, after a Dense read once, after an Add, on the data and at the end."""
    x = tn.Input(4)
    twice = tn.Dense(5)(tn.BatchNorm()(x))  # dense_1, read by batch_norm_2 and add_1
    normalized = tn.Sigmoid()(tn.BatchNorm()(twice))
    once = tn.BatchNorm()(tn.Dense(5)(normalized))
    joined = tn.BatchNorm()(tn.Add()(twice, once))
    return unsettled(tn.Network(x, tn.BatchNorm()(tn.Dense(3)(joined)), seed=0, dtype=dtype))


def unsettled(net):
    """The network with parameters and statistics that are not the initial ones."""
    rng = np.random.default_rng(5)
    for name, array in {**net.params, **net.state}.items():
        if name.endswith(("gamma", "running_var")):
            array[...] = rng.uniform(0.5, 2, array.shape)
        elif not name.endswith("weight"):
            array[...] = rng.normal(size=array.shape)
    return net


def statistics(net):
    return {name: array.copy() for name, array in net.state.items()}


def parameters(net):
    return {name: array.copy() for name, array in net.params.items()}


# -- calibrate ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-12), ("float32", 2e-5)])
def test_population_statistics_are_those_of_all_examples_layer_by_layer(dtype, rtol):
    net, h = chain(dtype), data().astype(dtype).astype("float64")
    net.calibrate(h.astype(dtype))
    p = {name: array.astype("float64") for name, array in net.params.items()}
    for k in (1, 2):
        h = h @ p[f"dense_{k}.weight"]
        mean, var = h.mean(axis=0), ((h - h.mean(axis=0)) ** 2).mean(axis=0)  # 1/n: it is the population
        np.testing.assert_allclose(net.state[f"batch_norm_{k}.running_mean"], mean, rtol=rtol, atol=rtol)
        np.testing.assert_allclose(net.state[f"batch_norm_{k}.running_var"], var, rtol=rtol)
        h = np.tanh(p[f"batch_norm_{k}.gamma"] * (h - mean) / np.sqrt(var + 1e-5) + p[f"batch_norm_{k}.beta"])


def test_after_population_calibration_every_batch_norm_gives_mean_beta_and_deviation_gamma():
    net, x = branching(), data()
    net.calibrate(x)
    y = net.forward(x)  # a BatchNorm is last
    np.testing.assert_allclose(y.mean(axis=0), net.params["batch_norm_5.beta"], rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(y.std(axis=0), net.params["batch_norm_5.gamma"], rtol=1e-3)  # eps
    np.testing.assert_allclose(net.state["batch_norm_1.running_mean"], x.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(net.state["batch_norm_1.running_var"], x.var(axis=0), rtol=1e-12)


def test_population_variance_is_right_where_the_mean_is_large():
    x = (1000 + 0.1 * np.random.default_rng(0).normal(size=(5000, 2))).astype("float32")
    net = tn.Sequential([tn.BatchNorm()], inputs=2)
    net.calibrate(x)
    np.testing.assert_allclose(net.state["batch_norm_1.running_var"], x.astype("float64").var(axis=0), rtol=1e-6)


@pytest.mark.parametrize("method", ["population", "minibatch"])
@pytest.mark.parametrize("make", [chain, branching])
def test_calibrating_twice_gives_what_once_gave(make, method):
    net, x = make(), data()
    net.calibrate(x, method=method)
    once = statistics(net)
    net.calibrate(x, method=method)
    for name, array in net.state.items():
        np.testing.assert_array_equal(array, once[name])


@pytest.mark.parametrize("method", ["population", "minibatch"])
def test_what_the_statistics_were_before_plays_no_part(method):
    nets = [chain(), chain()]
    for name in nets[1].state:
        nets[1].state[name] = np.full_like(nets[1].state[name], 7.0)
    for net in nets:
        net.calibrate(data(), method=method)
    for name, array in nets[0].state.items():
        np.testing.assert_array_equal(array, nets[1].state[name])


@pytest.mark.parametrize("method", ["population", "minibatch"])
def test_calibrating_touches_no_parameter_gradient_or_dropout(method):
    net, x = chain(dropout=0.5), data()
    net.forward(x, training=True)
    net.backward(np.ones((EXAMPLES, 3)))
    before, gradients = parameters(net), {name: g.copy() for name, g in net.grads.items()}
    generators = [copy.deepcopy(net.layers[f"dropout_{k}"].rng.bit_generator.state) for k in (1, 2)]
    net.calibrate(x, method=method)
    for name, array in net.params.items():
        np.testing.assert_array_equal(array, before[name])
        np.testing.assert_array_equal(net.grads[name], gradients[name])
    assert [net.layers[f"dropout_{k}"].rng.bit_generator.state for k in (1, 2)] == generators


@pytest.mark.parametrize("method", ["population", "minibatch"])
def test_dropout_drops_nothing_while_calibrating(method):
    with_dropout, without = chain(dropout=0.5), chain()
    for net in (with_dropout, without):
        net.calibrate(data(), method=method)
    for name, array in with_dropout.state.items():
        np.testing.assert_array_equal(array, without.state[name])


def test_minibatch_statistics_are_algorithm_2_by_hand():
    net, x, m = chain(), data(), 60
    net.calibrate(x, method="minibatch", batch_size=m)
    means, variances = {1: [], 2: []}, {1: [], 2: []}
    for start in range(0, EXAMPLES - m + 1, m):  # the last five examples are left out
        h = x[start : start + m]
        for k in (1, 2):
            h = h @ net.params[f"dense_{k}.weight"]
            mu, var = h.mean(axis=0), h.var(axis=0)
            means[k].append(mu)
            variances[k].append(m / (m - 1) * var)
            x_hat = (h - mu) / np.sqrt(var + 1e-5)
            h = np.tanh(net.params[f"batch_norm_{k}.gamma"] * x_hat + net.params[f"batch_norm_{k}.beta"])
    assert len(means[1]) == 39
    for k in (1, 2):
        np.testing.assert_allclose(net.state[f"batch_norm_{k}.running_mean"], np.mean(means[k], axis=0), rtol=1e-11)
        np.testing.assert_allclose(net.state[f"batch_norm_{k}.running_var"], np.mean(variances[k], axis=0), rtol=1e-11)


def test_a_minibatch_of_all_examples_gives_the_population_but_for_the_unbiased_variance():
    net, other = (tn.Sequential([tn.BatchNorm()], inputs=4, dtype="float64") for _ in range(2))
    net.calibrate(data())
    other.calibrate(data(), method="minibatch", batch_size=10**6)
    for name, factor in (("running_mean", 1.0), ("running_var", EXAMPLES / (EXAMPLES - 1))):
        np.testing.assert_allclose(
            other.state[f"batch_norm_1.{name}"], factor * net.state[f"batch_norm_1.{name}"], rtol=1e-13
        )


def test_a_network_without_batch_norm_is_left_as_it_is():
    net = tn.mlp(4, [5], 3, seed=0)
    net.calibrate(data("float32"))
    assert net.state == {}


def test_what_cannot_be_calibrated_from_is_refused():
    net = chain()
    with pytest.raises(tn.InputError, match="method must be 'population' or 'minibatch', not 'batch'"):
        net.calibrate(data(), method="batch")
    with pytest.raises(tn.DataError, match="needs at least 2 examples, got 1"):
        net.calibrate(data(examples=1))
    with pytest.raises(tn.InputError, match="batch_size must be a whole number of at least 2, not 1"):
        net.calibrate(data(), method="minibatch", batch_size=1)
    with pytest.raises(tn.ShapeError, match=r"\(batch, 4\), got \(2345, 3\)"):
        net.calibrate(data(features=3))


# -- fold -----------------------------------------------------------------------------------------------------


def kinds(net):
    return [type(layer).__name__ for layer in net.layers.values()]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 5e-6)])
@pytest.mark.parametrize("make", [chain, branching])
def test_the_folded_network_is_the_same_function(make, dtype, tolerance):
    net, x = make(dtype), data(dtype)
    for prepare in (lambda: None, lambda: net.calibrate(x)):
        prepare()
        small = net.fold()
        assert small.dtype == net.dtype
        np.testing.assert_allclose(small.forward(x), net.forward(x), rtol=tolerance, atol=tolerance * 4)


def test_in_a_chain_no_batch_norm_is_left():
    small = chain(dropout=0.2).fold()
    assert kinds(small) == ["Dense", "Tanh", "Dropout", "Dense", "Tanh", "Dropout", "Dense"]
    assert small.state == {}
    assert "dense_1.bias" in small.params


def test_a_dense_that_two_layers_read_is_not_folded_and_neither_is_batch_norm_after_other_layers():
    small = branching().fold()
    assert kinds(small).count("BatchNorm") == 3  # on the data, after dense_1 which add_1 reads too, after add_1
    assert kinds(small).count("Dense") == 3
    np.testing.assert_array_equal(small.params["dense_1.weight"], branching().params["dense_1.weight"])


def test_the_weights_are_those_of_the_formula():
    net = tn.Sequential([tn.Dense(2), tn.BatchNorm(eps=0.0)], inputs=1, dtype="float64", seed=0)
    net.params["dense_1.weight"] = [[1.0, 10.0]]
    net.params["dense_1.bias"] = [0.0, 3.0]
    net.params["batch_norm_1.gamma"] = [2.0, 6.0]
    net.params["batch_norm_1.beta"] = [0.5, -1.0]
    net.state["batch_norm_1.running_mean"] = [1.0, 5.0]
    net.state["batch_norm_1.running_var"] = [4.0, 9.0]
    small = net.fold()
    np.testing.assert_array_equal(small.params["dense_1.weight"], [[1.0, 20.0]])  # s = 1, 2
    np.testing.assert_array_equal(small.params["dense_1.bias"], [-0.5, -5.0])


@pytest.mark.parametrize("make", [chain, branching])
def test_folding_does_not_change_the_original_nor_training_the_folded_one(make):
    net, x = make(), data()
    before, stats, y, text = parameters(net), statistics(net), net.forward(x), str(net)
    small = net.fold()
    for name in small.params:
        small.params[name] *= 0
    small.forward(x, training=True)
    for name, array in {**net.params, **net.state}.items():
        np.testing.assert_array_equal(array, {**before, **stats}[name])
    np.testing.assert_array_equal(net.forward(x), y)
    assert str(net) == text


def test_training_the_folded_network_does_not_move_the_originals_dropout_on():
    net, x = chain(dropout=0.5), data(examples=10)
    state = copy.deepcopy(net.layers["dropout_1"].rng.bit_generator.state)
    net.fold().forward(x, training=True)
    assert net.layers["dropout_1"].rng.bit_generator.state == state


def test_a_network_without_batch_norm_folds_into_its_copy():
    net, x = tn.mlp(4, [5], 3, norm="layer", seed=0, dtype="float64"), data()
    assert str(net.fold()) == str(net)
    np.testing.assert_array_equal(net.fold().forward(x), net.forward(x))


def test_a_folded_network_can_be_trained_and_folded_again():
    small = chain().fold()
    train = tn.Dataset(data(examples=60), np.arange(60) % 3)
    assert not tn.fit(small, train, steps=5, batch_size=20, seed=0).diverged
    assert str(small.fold()) == str(small)


class Doubled(tn.BatchNorm):
    """A kind of the user's own, which no formula of ours folds."""

    def forward(self, x, *, training=False):
        return 2 * super().forward(x, training=training)


def test_a_batch_norm_of_the_users_own_kind_stays():
    net = unsettled(tn.Sequential([tn.Dense(5), Doubled(), tn.Dense(3)], inputs=4, dtype="float64"))
    np.testing.assert_allclose(net.fold().forward(data()), net.forward(data()), rtol=1e-12)


@pytest.mark.parametrize("what", ["fold", "calibrate"])
def test_a_method_that_was_assigned_to_a_layer_cannot_be_copied_with_it(what):
    net = chain()
    layer, before = net.layers["batch_norm_1"], {name: a.copy() for name, a in net.state.items()}
    layer.forward = lambda x, training=False: tn.BatchNorm.forward(layer, x, training=training)
    with pytest.raises(tn.InputError, match="batch_norm_1: its own forward works on it, not on a copy"):
        net.fold() if what == "fold" else net.calibrate(data(), method="minibatch")
    for name, array in net.state.items():
        np.testing.assert_array_equal(array, before[name])
