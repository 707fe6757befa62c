import copy
import math
import pickle

import numpy as np
import pytest

import tinynet as tn
from tinynet.course.numerical import derivative

BATCH = 5


def branching(seed=0, dtype="float64"):
    """Branches, a skip connection, every way to join: smooth, so that differences converge."""
    x = tn.Input(4)
    a = tn.Tanh()(tn.BatchNorm()(tn.Dense(6, bias=False)(x)))
    b = tn.GELU()(tn.LayerNorm()(tn.Dense(6)(a)))
    c = tn.Sigmoid()(tn.Dense(6)(a))
    joined = tn.Concat()(tn.Add()(a, b, c), x, c)
    return tn.Network(x, tn.Dense(3)(joined), seed=seed, dtype=dtype)


def batch(seed=0, features=4, dtype="float64"):
    return np.random.default_rng(seed).normal(size=(BATCH, features)).astype(dtype)


# -- structure ------------------------------------------------------------------------------------------------


def test_a_chains_arrays_are_named_by_kind_and_number():
    net = tn.Sequential(
        [tn.Dense(5, bias=False), tn.BatchNorm(), tn.Sigmoid(), tn.Dense(3), tn.LayerNorm()], inputs=4, seed=0
    )
    assert list(net.layers) == ["dense_1", "batch_norm_1", "sigmoid_1", "dense_2", "layer_norm_1"]
    shapes = {name: array.shape for name, array in net.params.items()}
    assert shapes == {
        "dense_1.weight": (4, 5),
        "batch_norm_1.gamma": (5,),
        "batch_norm_1.beta": (5,),
        "dense_2.weight": (5, 3),
        "dense_2.bias": (3,),
        "layer_norm_1.gamma": (3,),
        "layer_norm_1.beta": (3,),
    }
    assert {name: array.shape for name, array in net.grads.items()} == shapes
    assert list(net.state) == ["batch_norm_1.running_mean", "batch_norm_1.running_var"]
    assert (net.inputs, net.outputs) == (4, 3)


def test_a_branching_network_computes_what_its_layers_compute_one_by_one():
    net, x = branching(), batch()
    layer = {name: layer.copy() for name, layer in net.layers.items()}

    def run(*names, value):
        for name in names:
            value = layer[name].forward(value)
        return value

    a = run("dense_1", "batch_norm_1", "tanh_1", value=x)
    b = run("dense_2", "layer_norm_1", "gelu_1", value=a)
    c = run("dense_3", "sigmoid_1", value=a)
    y = run("dense_4", value=np.concatenate([a + b + c, x, c], axis=1))
    np.testing.assert_allclose(net.forward(x), y, rtol=1e-13)


def test_add_of_unequal_widths_names_the_layer_and_the_widths():
    x = tn.Input(3)
    with pytest.raises(tn.ShapeError, match=r"add_1: inputs must have the same number of features, got \(4, 5\)"):
        tn.Network(x, tn.Add()(tn.Dense(4)(x), tn.Dense(5)(x)))


def test_after_a_layer_that_does_not_fit_the_others_can_be_used_again():
    x = tn.Input(3)
    a, b = tn.Dense(4)(x), tn.Dense(5)(x)
    with pytest.raises(tn.ShapeError):
        tn.Network(x, tn.Add()(a, b), seed=1)
    again = tn.Network(x, tn.Concat()(a, b), seed=0)
    x = tn.Input(3)
    fresh = tn.Network(x, tn.Concat()(tn.Dense(4)(x), tn.Dense(5)(x)), seed=0)
    for name, w in fresh.params.items():
        np.testing.assert_array_equal(again.params[name], w)


def test_a_layer_in_two_networks_is_refused_but_its_copy_is_not():
    first = tn.Sequential([tn.Dense(2)], inputs=4, seed=0)
    with pytest.raises(tn.InputError, match=r"dense_1 is in a network already; make a new layer, or a copy\(\)"):
        tn.Sequential([first.layers["dense_1"]], inputs=4)
    second = tn.Sequential([first.layers["dense_1"].copy()], inputs=4)
    np.testing.assert_array_equal(second.params["dense_1.weight"], first.params["dense_1.weight"])
    second.params["dense_1.weight"] = np.zeros((4, 2))
    assert first.params["dense_1.weight"].any()


def test_a_built_layer_for_other_inputs_or_another_precision_is_refused():
    with pytest.raises(tn.ShapeError, match=r"dense_1: was built for \(3,\) features of float32, gets \(4,\)"):
        tn.Sequential([tn.Dense(2).build(3)], inputs=4)
    with pytest.raises(tn.ShapeError, match=r"of float64, gets \(4,\) of float32"):
        tn.Sequential([tn.Dense(2).build(4, dtype="float64")], inputs=4)


def test_what_is_no_node_or_no_layer_is_told():
    x = tn.Input(3)
    with pytest.raises(tn.InputError, match=r"give the tn\.Input"):
        tn.Network(3, tn.Dense(2)(x))
    with pytest.raises(tn.InputError, match=r"give the tn\.Input"):
        tn.Network(x, tn.Dense(2))
    with pytest.raises(tn.InputError, match="Sequential: 'relu' is not a layer"):
        tn.Sequential([tn.Dense(2), "relu"], inputs=3)
    with pytest.raises(tn.InputError, match=r"called on tn\.Input.* to apply it to an array use \.forward"):
        tn.Dense(2)(np.ones((2, 3)))
    with pytest.raises(tn.ShapeError, match="relu: takes one input"):
        tn.ReLU()(x, x)
    with pytest.raises(tn.ShapeError, match="Input: needs at least 1 feature, not 0"):
        tn.Input(0)


@pytest.mark.parametrize("dtype", ["float16", "int32", "float", "nonsense", None])
def test_only_float32_and_float64_are_precisions(dtype):
    if np.dtype(dtype if dtype != "nonsense" else object) == np.float64:
        assert tn.mlp(2, [], 2, dtype=dtype).dtype == np.float64
    else:
        with pytest.raises(tn.InputError, match="dtype must be 'float32' or 'float64'"):
            tn.mlp(2, [], 2, dtype=dtype)


# -- weights and seeds ----------------------------------------------------------------------------------------


def test_same_seed_same_weights_whatever_stands_between():
    def dense_weights(**settings):
        params = tn.mlp(4, [6, 5], 3, init="he_normal", seed=7, **settings).params
        return [w for name, w in params.items() if name.endswith(".weight")]

    plain = dense_weights()
    for settings in ({"norm": "batch"}, {"norm": "layer"}, {"dropout": 0.5}, {"activation": "tanh", "norm": "batch"}):
        for ours, theirs in zip(dense_weights(**settings), plain, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_same_weights_in_float32_as_in_float64_but_for_rounding():
    for name, w in branching(dtype="float32").params.items():
        np.testing.assert_array_equal(w, branching(dtype="float64").params[name].astype("float32"))


def test_another_seed_gives_other_weights_and_a_generator_is_a_seed():
    same = branching(seed=np.random.default_rng(0))
    np.testing.assert_array_equal(same.params["dense_1.weight"], branching(seed=0).params["dense_1.weight"])
    assert not np.array_equal(branching(seed=1).params["dense_1.weight"], same.params["dense_1.weight"])


def test_training_draws_nothing_from_the_generator_that_was_the_seed():
    rng = np.random.default_rng(0)
    net = tn.mlp(4, [6, 5], 3, dropout=0.5, seed=rng)
    state = copy.deepcopy(rng.bit_generator.state)
    first, second = (net.forward(np.ones((9, 4), "float32"), training=True) for _ in range(2))
    assert not np.array_equal(first, second)
    assert rng.bit_generator.state == state


# -- live arrays ----------------------------------------------------------------------------------------------


def test_assigning_writes_into_the_array_that_the_layer_uses():
    net, x = branching(), batch()
    before, array = net.forward(x), net.params["dense_4.bias"]
    net.params["dense_4.bias"] = [1.0, 2.0, 3.0]
    assert net.params["dense_4.bias"] is array is net.layers["dense_4"].params["bias"]
    np.testing.assert_allclose(net.forward(x), before + np.array([1, 2, 3]), rtol=1e-12)
    net.params["dense_4.bias"] *= 0
    np.testing.assert_allclose(net.forward(x), before, rtol=1e-12)
    assert net.params["dense_4.bias"] is array


def test_updating_with_another_networks_arrays_makes_it_compute_the_same():
    x = batch()
    for merge in (lambda ours, theirs: ours.update(theirs), lambda ours, theirs: ours.__ior__(theirs)):
        net, other = branching(seed=1), branching(seed=2)
        other.state["batch_norm_1.running_mean"] = np.ones(6)
        merge(net.params, other.params)
        merge(net.state, other.state)
        np.testing.assert_array_equal(net.forward(x), other.forward(x))
        other.params["dense_1.weight"] = np.zeros((4, 6))
        assert net.params["dense_1.weight"].any()  # copied, not shared


def test_an_unknown_name_suggests_the_near_one_and_adds_nothing():
    net = branching()
    with pytest.raises(tn.InputError, match=r"unknown array 'dense_1\.wieght'; did you mean 'dense_1\.weight'"):
        net.params["dense_1.wieght"] = np.zeros((4, 6))
    assert "dense_1.wieght" not in net.params


def test_a_wrong_shape_is_named_and_writes_nothing():
    net = branching()
    before = net.params["dense_1.weight"].copy()
    for value in (np.zeros((6, 4)), np.zeros(6), 0.0):
        with pytest.raises(tn.ShapeError, match=r"dense_1.weight: has shape \(4, 6\), got"):
            net.params["dense_1.weight"] = value
    np.testing.assert_array_equal(net.params["dense_1.weight"], before)


def test_no_array_can_be_taken_out():
    params = branching().params
    names = list(params)
    for take in (
        lambda: params.pop("dense_1.weight"),
        params.popitem,
        params.clear,
        lambda: params.__delitem__(names[0]),
    ):
        with pytest.raises(tn.InputError, match="cannot be removed; assign to them"):
            take()
    assert list(params) == names


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_computes_the_same_and_its_arrays_are_its_own_and_live(duplicate):
    net, x = branching(), batch()
    net.forward(x, training=True)
    net.backward(np.ones((BATCH, 3)))
    twin = duplicate(net)
    np.testing.assert_array_equal(twin.forward(x), net.forward(x))
    before = net.forward(x)
    for name in twin.params:
        twin.params[name] = np.zeros_like(twin.params[name])
    for role in ("params", "grads", "state"):
        for name, array in getattr(twin, role).items():
            layer, key = name.split(".")
            assert array is getattr(twin.layers[layer], role)[key]
    np.testing.assert_array_equal(twin.forward(x), np.zeros((BATCH, 3)))
    np.testing.assert_array_equal(net.forward(x), before)


# -- forward --------------------------------------------------------------------------------------------------


def chain():
    return tn.mlp(4, [6], 3, norm="batch", activation="tanh", seed=0, dtype="float64")


@pytest.mark.parametrize("make", [chain, branching])
@pytest.mark.parametrize("training", [False, True])
def test_what_is_handed_out_is_never_written_over(training, make):
    net = make()
    first = net.forward(batch(1), training=training)
    kept = first.copy()
    net.forward(batch(2), training=True)
    dx = net.backward(np.ones((BATCH, 3)))
    kept_dx = dx.copy()
    net.forward(batch(3), training=True)
    net.backward(np.full((BATCH, 3), 2.0))
    net.forward(batch(4))
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(dx, kept_dx)
    first[:] = dx[:] = 0  # and what the caller does with it does not disturb the network
    np.testing.assert_array_equal(net.forward(batch(4)), net.forward(batch(4)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_inputs_are_never_changed(dtype):
    net, x, dy = branching(dtype=dtype), batch(dtype=dtype), np.ones((BATCH, 3), dtype)
    x.flags.writeable = dy.flags.writeable = False  # writing would raise
    net.forward(x)
    net.forward(x, training=True)
    net.backward(dy)
    net.calibrate(x)
    net.calibrate(x, method="minibatch", batch_size=2)


def test_a_prediction_changes_nothing_in_the_network():
    net = branching()
    before = {**copy.deepcopy(dict(net.params)), **copy.deepcopy(dict(net.state))}
    net.forward(batch())
    for name, array in {**net.params, **net.state}.items():
        np.testing.assert_array_equal(array, before[name])


def test_a_prediction_between_forward_and_backward_does_not_disturb_it():
    gradients = []
    for predict in (False, True):
        net = branching()
        net.forward(batch(), training=True)
        if predict:
            net.forward(batch(9, dtype="float64")[:2])
        dx = net.backward(np.ones((BATCH, 3)))
        gradients.append([dx, *net.grads.values()])
    for without, with_prediction in zip(*gradients, strict=True):
        np.testing.assert_array_equal(without, with_prediction)


def test_data_of_the_other_precision_is_converted():
    x = batch()
    y = branching(dtype="float32").forward(x)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, branching(dtype="float32").forward(x.astype("float32")))
    assert branching(dtype="float64").forward(x.astype("float32")).dtype == np.float64


def test_rows_that_do_not_lie_in_order_are_read_all_the_same():
    net, x = branching(), batch(features=8)
    for view in (np.asfortranarray(x[:, :4]), x[:, ::2], x[::-1, 4:]):
        np.testing.assert_array_equal(net.forward(view), net.forward(view.copy(order="C")))


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "complex128", "float16"])
def test_data_that_is_not_float_is_refused_with_a_hint(dtype):
    with pytest.raises(tn.InputError, match=rf"input: needs float32 or float64 values, not {dtype}; convert .*/ 255"):
        branching().forward(np.ones((2, 4), dtype))


def test_data_of_a_wrong_shape_is_refused_with_the_right_one():
    net = branching()
    with pytest.raises(tn.ShapeError, match=r"input: expects an array of shape \(batch, 4\), got \(5, 3\)"):
        net.forward(batch(features=3))
    with pytest.raises(tn.ShapeError, match=r"got \(4,\); one example is x\[None, :\]"):
        net.forward(batch()[0])


# -- backward -------------------------------------------------------------------------------------------------


def test_every_gradient_of_a_branching_network_agrees_with_central_differences():
    net, x = branching(), batch()
    direction = np.random.default_rng(1).normal(size=(BATCH, 3))

    def value():
        return float(np.sum(net.forward(x, training=True) * direction))

    value()
    gradients = {"dx": net.backward(direction), **{name: g.copy() for name, g in net.grads.items()}}
    for name, array in {"dx": x, **net.params}.items():
        assert gradients[name] == pytest.approx(derivative(value, array), rel=1e-7, abs=1e-8), name


def test_gradients_are_written_not_added_up():
    net, x = branching(), batch()
    net.forward(x, training=True)
    net.backward(np.ones((BATCH, 3)))
    first = {name: g.copy() for name, g in net.grads.items()}
    net.backward(np.ones((BATCH, 3)))
    for name, g in net.grads.items():
        np.testing.assert_array_equal(g, first[name])


def test_backward_without_a_training_forward_is_a_clear_error():
    net = branching()
    net.forward(batch())
    with pytest.raises(tn.InputError, match=r"dense_4: backward needs a forward\(x, training=True\) before it"):
        net.backward(np.ones((BATCH, 3)))


def test_backward_of_another_shape_is_refused_by_name():
    net = branching()
    net.forward(batch(), training=True)
    with pytest.raises(tn.ShapeError, match=r"dense_4: .*output's shape \(5, 3\), got \(4, 3\)"):
        net.backward(np.ones((4, 3)))


def test_without_the_datas_gradient_the_parameters_gradients_are_the_same():
    net, x, dy = branching(), batch(), np.ones((BATCH, 3))
    net.forward(x, training=True)
    net.backward(dy)
    whole = {name: g.copy() for name, g in net.grads.items()}
    net.forward(x, training=True)
    assert net.backward(dy, input_gradient=False) is None
    for name, g in net.grads.items():
        np.testing.assert_array_equal(g, whole[name])


# -- to look at -----------------------------------------------------------------------------------------------


def test_the_summary_lists_every_layer_and_counts_the_parameters(capsys):
    net = tn.Sequential([tn.Dense(100, bias=False), tn.BatchNorm(), tn.Sigmoid(), tn.Dense(10)], inputs=784, seed=0)
    net.summary()
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert lines[0].split() == ["layer", "settings", "reads", "outputs", "parameters"]
    assert [line.split()[0] for line in lines[2:-2]] == ["input", "dense_1", "batch_norm_1", "sigmoid_1", "dense_2"]
    assert [line.split()[-1] for line in lines[2:-2]] == ["0", "78,400", "200", "0", "1,010"]
    assert lines[-1] == "79,610 parameters, float32"
    assert printed == str(net) + "\n"


def test_a_join_says_what_it_reads():
    assert "add_1, input, sigmoid_1" in str(branching())


def test_the_values_of_the_last_training_step_can_be_looked_at():
    net, x = branching(), batch()
    assert net.values == {}
    y = net.forward(x, training=True)
    assert list(net.values) == list(net.layers)
    np.testing.assert_array_equal(net.values["dense_4"], y)
    np.testing.assert_array_equal(net.layer_input("dense_1"), x)
    np.testing.assert_array_equal(net.layer_input("tanh_1"), net.values["batch_norm_1"])
    assert math.isclose(net.values["batch_norm_1"].mean(), 0, abs_tol=1e-12)


# -- arrays stay, values are taken over -----------------------------------------------------------------------


def trained_a_bit(net, x):
    for _ in range(3):
        net.forward(x, training=True)
        net.backward(np.ones((len(x), net.outputs), net.dtype))
        tn.SGD(0.1).step(net.params, net.grads)


@pytest.mark.parametrize("role", ["params", "state"])
def test_the_best_weights_are_put_back_by_an_assignment(role):
    net = tn.mlp(4, [5], 3, norm="batch", seed=0)
    x = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    trained_a_bit(net, x)
    best, live = {name: a.copy() for name, a in getattr(net, role).items()}, dict(getattr(net, role))
    expected = net.forward(x)
    if role == "params":
        before = {name: a.copy() for name, a in net.state.items()}
        trained_a_bit(net, x)
        net.state = before
    else:
        net.forward(x, training=True)
    assert np.abs(net.forward(x) - expected).max() > 1e-5
    setattr(net, role, best)
    np.testing.assert_array_equal(net.forward(x), expected)
    assert all(getattr(net, role)[name] is array for name, array in live.items())
    assert not any(np.shares_memory(best[name], array) for name, array in live.items())


def test_a_layers_arrays_too_are_taken_over():
    net = tn.mlp(4, [5], 3, norm="batch", seed=0)
    layer, x = net.layers["batch_norm_1"], np.ones((2, 4), "float32")
    net.forward(x)
    layer.params = {"gamma": np.zeros(5), "beta": np.full(5, 2.0)}
    layer.state = {"running_mean": np.zeros(5), "running_var": np.ones(5)}
    assert (net.params["batch_norm_1.beta"] == 2).all()
    expected = np.full((2, 5), 2, "float32") @ net.params["dense_2.weight"]
    np.testing.assert_allclose(net.forward(x), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "params: an array is missing in what is assigned"),
        ({"dense_1.weight": np.zeros((4, 5))}, "to assign some of them use params.update"),
        (None, "an array is missing"),
        ([1, 2], "an array is missing"),
    ],
)
def test_an_assignment_without_all_arrays_is_refused_and_changes_nothing(values, message):
    net = tn.mlp(4, [5], 3, seed=0)
    before = {name: a.copy() for name, a in net.params.items()}
    with pytest.raises(tn.InputError, match=message):
        net.params = values
    for name, array in before.items():
        np.testing.assert_array_equal(net.params[name], array)


@pytest.mark.parametrize("wrong", [np.zeros(2), np.zeros((3, 4), complex), np.full((3, 4), "x"), None])
def test_of_several_values_none_is_assigned_if_one_does_not_fit(wrong):
    net = tn.Sequential([tn.Dense(4), tn.Dense(4)], inputs=3, seed=0)
    before = {name: a.copy() for name, a in net.params.items()}
    with pytest.raises(tn.InputError, match=r"dense_1\.weight"):
        net.params.update({"dense_2.bias": np.ones(4), "dense_1.weight": wrong})
    for name, array in before.items():
        np.testing.assert_array_equal(net.params[name], array)


@pytest.mark.parametrize("values", [5, [1, 2], "ab", None])
def test_what_is_no_dict_of_arrays_is_refused(values):
    with pytest.raises(tn.InputError, match="give a dict of them by name"):
        tn.mlp(4, [5], 3).params.update(values)


def test_two_arrays_may_be_exchanged():
    net = tn.Sequential([tn.Dense(3, init="he_normal"), tn.Dense(3)], inputs=3, seed=0)
    one, other = net.params["dense_1.weight"].copy(), net.params["dense_2.weight"].copy()
    net.params.update({"dense_1.weight": net.params["dense_2.weight"], "dense_2.weight": net.params["dense_1.weight"]})
    np.testing.assert_array_equal(net.params["dense_1.weight"], other)
    np.testing.assert_array_equal(net.params["dense_2.weight"], one)


def test_no_array_and_no_layer_can_be_put_in_or_out():
    net = tn.mlp(4, [5], 3, seed=0)
    with pytest.raises(tn.InputError, match=r"unknown array 'dense_3\.weight'; did you mean"):
        net.params.setdefault("dense_3.weight", np.zeros(3))
    with pytest.raises(TypeError):
        net.layers["dense_1"] = tn.Dense(5)
    with pytest.raises(tn.InputError, match="dense_1: is in a network, whose arrays stay"):
        net.layers["dense_1"].build(4)


def test_without_the_inputs_gradient_backward_writes_the_same_gradients_and_returns_none():
    nets = [tn.mlp(4, [5, 6], 3, norm="batch", seed=0, dtype="float64") for _ in range(2)]
    for k in range(3):
        x, dy = (np.random.default_rng([k, j]).normal(size=(6, width)) for j, width in enumerate((4, 3)))
        for net in nets:
            net.forward(x, training=True)
        assert nets[0].backward(dy, input_gradient=False) is None
        assert nets[1].backward(dy).shape == (6, 4)
        for name, gradient in nets[0].grads.items():
            np.testing.assert_array_equal(gradient, nets[1].grads[name])


def test_where_a_join_reads_the_data_backward_returns_none_too_if_asked():
    x = tn.Input(4)
    net = tn.Network(x, tn.Dense(3)(tn.Add()(x, x)), seed=0)
    for _ in range(2):
        net.forward(np.ones((2, 4), "float32"), training=True)
        assert net.backward(np.ones((2, 3), "float32"), input_gradient=False) is None


class Doubled(tn.Dense):
    """A first layer with a backward of its own."""

    def forward(self, x, *, training=False):
        return 2 * super().forward(x, training=training)

    def backward(self, dy):
        return super().backward(2 * dy)


@pytest.mark.parametrize("assigned", [False, True])
def test_the_first_layers_own_backward_is_called_in_training(assigned):
    x, dy = np.ones((2, 4)), np.ones((2, 3))
    net = tn.Sequential([(tn.Dense if assigned else Doubled)(3)], inputs=4, dtype="float64")
    if assigned:
        net.layers["dense_1"].backward = lambda dy: tn.Dense.backward(net.layers["dense_1"], 2 * dy)
    for _ in range(2):
        net.forward(x, training=True)
        net.backward(dy, input_gradient=False)
        np.testing.assert_array_equal(net.grads["dense_1.weight"], 2 * x.T @ dy)


def test_what_goes_into_backward_may_be_a_gradient_that_backward_writes():
    nets = [tn.Sequential([tn.Dense(3), tn.Tanh(), tn.Dense(3)], inputs=3, seed=0, dtype="float64") for _ in range(2)]
    for k in range(3):
        x, dy = np.random.default_rng(k).normal(size=(2, 3, 3))
        own = nets[0].grads["dense_2.weight"]
        own[...] = dy
        found, expected = [], []
        for net, given, results in zip(nets, (own, dy), (found, expected), strict=True):
            net.forward(x, training=True)
            results += [net.backward(given), *net.grads.values()]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
