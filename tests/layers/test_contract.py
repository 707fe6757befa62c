"""Every kind of layer through the same contract; `tests.layers.kinds` finds it by itself, and settings for it."""

import json
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest

import tinynet as tn
from tests.layers import kinds
from tinynet import layers
from tinynet.course.numerical import derivative
from tinynet.layers import LAYERS


@dataclass(frozen=True)
class Case:
    make: partial[tn.Layer]
    widths: tuple[int, ...] = (4,)  # features of each input


CASES = {name: Case(make, (4, 4, 4) if make().many_inputs else (4,)) for name, make in kinds.MAKERS.items()} | {
    "Dense with another init": Case(partial(tn.Dense, 3, init="he_normal")),
    "BatchNorm with a small eps": Case(partial(tn.BatchNorm, eps=1e-2)),
    "Concat of other widths": Case(partial(tn.Concat), (4, 2, 3)),
    "Concat of a single input": Case(partial(tn.Concat)),
}
DTYPES = ["float32", "float64"]
M = 6  # examples in a batch


@pytest.fixture(params=CASES.values(), ids=list(CASES))
def case(request):
    return request.param


@pytest.fixture(params=DTYPES)
def dtype(request):
    return request.param


def numbers(shape, dtype="float64", seed=0):
    """Return random numbers, none within 0.1 of the kink that some activations have at 0."""
    x = np.random.default_rng(seed).normal(size=shape)
    return (x + 0.1 * np.sign(x)).astype(dtype)


def inputs(case, dtype="float64", seed=0, m=M):
    return [numbers((m, width), dtype, seed + k) for k, width in enumerate(case.widths)]


def randomized(layer, seed=100):
    """Return the layer with parameters and state that are not those it starts with."""
    for k, value in enumerate([*layer.params.values(), *layer.state.values()]):
        value[...] = 0.5 + np.abs(numbers(value.shape, seed=seed + k))
    return layer


def built(case, dtype="float64", seed=0):
    return randomized(case.make().build(*case.widths, seed=seed, dtype=dtype))


def width_of(layer):
    return layer.output_features(*layer.features)


def same_draws(layer):
    """Let a layer that draws random numbers draw the same ones from here on."""
    if layer.rng is not None:
        layer.rng = np.random.default_rng(7)


def backward(layer, dy):
    """Return the gradients of the inputs as a list, and copies of those of the parameters."""
    dx = layer.backward(dy)
    return list(dx) if layer.many_inputs else [dx], {name: g.copy() for name, g in layer.grads.items()}


# -- alone --------------------------------------------------------------------------------------------------


def test_every_layer_is_public_and_has_a_kind_of_its_own():
    classes = {name: value for name, value in vars(layers).items() if name in layers.__all__}
    classes = {name for name, value in classes.items() if isinstance(value, type) and issubclass(value, tn.Layer)}
    assert classes - {"Layer", "Activation"} == set(LAYERS) <= set(tn.__all__)
    assert len({layer.kind for layer in LAYERS.values()}) == len(LAYERS)


@pytest.mark.parametrize("training", [False, True])
def test_a_new_layer_works_on_an_array(case, dtype, training):
    layer, xs = case.make(), inputs(case, dtype)
    y = layer.forward(*xs, training=training)
    assert type(y) is np.ndarray
    assert y.shape == (M, width_of(layer))
    assert y.dtype == dtype
    assert all(a.dtype == dtype for role in (layer.params, layer.grads, layer.state) for a in role.values())


def test_the_arrays_have_the_shapes_that_the_layer_says(case, dtype):
    layer = built(case, dtype)
    assert layer.shapes(*case.widths) == {name: a.shape for name, a in (layer.params | layer.state).items()}


def test_gradients_have_the_shapes_and_dtype_of_what_they_belong_to(case, dtype):
    layer, xs = built(case, dtype), inputs(case, dtype)
    y = layer.forward(*xs, training=True)
    dxs, grads = backward(layer, np.ones_like(y))
    assert [(d.shape, d.dtype) for d in dxs] == [(x.shape, x.dtype) for x in xs]
    assert grads.keys() == layer.params.keys()
    assert all((g.shape, g.dtype) == (layer.params[k].shape, layer.params[k].dtype) for k, g in grads.items())


def test_gradients_agree_with_central_differences(case):
    layer, xs = built(case), inputs(case)
    weights = numbers((M, width_of(layer)), seed=50)

    def loss():
        same_draws(layer)
        return np.sum(weights * layer.forward(*xs, training=True))

    loss()
    dxs, grads = backward(layer, weights)
    for dx, x in zip(dxs, xs, strict=True):
        np.testing.assert_allclose(dx, derivative(loss, x), rtol=1e-6, atol=1e-9)
    for name, gradient in grads.items():
        np.testing.assert_allclose(gradient, derivative(loss, layer.params[name]), rtol=1e-6, atol=1e-9)


def test_parameter_gradients_alone_are_the_same(case):
    layer, xs = built(case), inputs(case)
    dy = numbers(layer.forward(*xs, training=True).shape, seed=50)
    _, grads = backward(layer, dy)
    for gradient in layer.grads.values():
        gradient[...] = np.nan
    layer.parameter_gradients(dy)
    for name, gradient in grads.items():
        np.testing.assert_array_equal(layer.grads[name], gradient)


def test_float32_follows_float64(case):
    double, single = built(case, "float64"), built(case, "float32")
    xs = inputs(case, "float32")
    for layer in (double, single):
        same_draws(layer)
    if isinstance(double, tn.Dropout):  # the two precisions draw different numbers: compare with nothing dropped
        double.rate = single.rate = 0.0
    dy = numbers((M, width_of(double)), "float32", seed=50)
    for training in (False, True):
        y = double.forward(*(x.astype("float64") for x in xs), training=training)
        np.testing.assert_allclose(single.forward(*xs, training=training), y, rtol=2e-6, atol=2e-6)
    (dxs, grads), (dxs_single, grads_single) = backward(double, dy.astype("float64")), backward(single, dy)
    for one, other in zip([*dxs, *grads.values()], [*dxs_single, *grads_single.values()], strict=True):
        np.testing.assert_allclose(other, one, rtol=5e-6, atol=5e-6)


def test_inputs_are_left_as_they_are(case, dtype):
    layer, xs = built(case, dtype), inputs(case, dtype)
    dy = numbers((M, width_of(layer)), dtype, seed=50)
    before = [a.copy() for a in (*xs, dy)]
    layer.forward(*xs)
    layer.forward(*xs, training=True)
    layer.backward(dy)
    for array, copy in zip((*xs, dy), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("m", [1, M])
def test_what_is_returned_is_the_callers(case, dtype, m):
    if m == 1 and isinstance(case.make(), tn.BatchNorm):
        pytest.skip("a batch of one is refused in training")
    layer, xs = built(case, dtype), inputs(case, dtype, m=m)
    dy = numbers((m, width_of(layer)), dtype, seed=50)
    returned = [layer.forward(*xs), layer.forward(*xs, training=True), *backward(layer, dy)[0]]
    for k, array in enumerate(returned):  # it shares no memory with what went in, nor with the layer
        kept = [*layer.params.values(), *layer.grads.values(), *layer.state.values(), *returned[:k], *xs, dy]
        assert not any(np.shares_memory(array, other) for other in kept)
    before = [a.copy() for a in returned]
    others = inputs(case, dtype, seed=200, m=m)
    layer.forward(*others)
    layer.forward(*others, training=True)
    layer.backward(2 * dy)
    for array, copy in zip(returned, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_changing_what_was_returned_does_not_change_the_gradient(case):
    layer, xs = built(case), inputs(case)
    dy = numbers((M, width_of(layer)), seed=50)
    found = []
    for spoil in (False, True):
        same_draws(layer)
        y = layer.forward(*xs, training=True)
        if spoil:
            y[...] = 77
        dxs, grads = backward(layer, dy)
        found.append([*dxs, *grads.values()])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_gradients_are_overwritten_not_added_up(case):
    layer, xs = built(case), inputs(case)
    dy = numbers((M, width_of(layer)), seed=50)
    found = []
    for _ in range(2):
        same_draws(layer)
        layer.forward(*xs, training=True)
        dxs, grads = backward(layer, dy)
        found.append([*dxs, *grads.values()])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_prediction_changes_nothing_and_leaves_the_pending_backward_alone(case):
    layer, xs = built(case), inputs(case)
    dy = numbers((M, width_of(layer)), seed=50)
    layer.forward(*xs, training=True)
    dxs, grads = backward(layer, dy)
    state = {name: value.copy() for name, value in (layer.params | layer.state).items()}
    once = layer.forward(*inputs(case, seed=200, m=3))
    np.testing.assert_array_equal(layer.forward(*inputs(case, seed=200, m=3)), once)
    for name, value in (layer.params | layer.state).items():
        np.testing.assert_array_equal(value, state[name])
    again, grads_again = backward(layer, dy)
    for one, other in zip([*dxs, *grads.values()], [*again, *grads_again.values()], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_prediction_does_not_depend_on_the_rest_of_the_batch(case):
    layer, xs = built(case), inputs(case)
    together = layer.forward(*xs)
    for i in range(M):
        alone = layer.forward(*(x[i : i + 1] for x in xs))
        np.testing.assert_allclose(alone[0], together[i], rtol=1e-13, atol=1e-14)


def test_any_memory_layout_will_do(case, dtype):
    layer, xs = built(case, dtype), inputs(case, dtype)
    dy = numbers((M, width_of(layer)), dtype, seed=50)
    found = []
    for layout in (np.ascontiguousarray, np.asfortranarray, lambda a: np.repeat(a, 2, 0)[::2]):
        same_draws(layer)
        y = layer.forward(*map(layout, xs), training=True)
        found.append([y, *backward(layer, layout(dy))[0]])
    for other in found[1:]:
        for one, same in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, same)


# -- copy and config ----------------------------------------------------------------------------------------


def test_a_copy_is_the_same_function_and_independent(case):
    layer, xs = built(case), inputs(case)
    dy = numbers((M, width_of(layer)), seed=50)
    layer.forward(*xs, training=True)
    expected = backward(layer, dy)[0]
    twin = layer.copy()
    assert repr(twin) == repr(layer)
    np.testing.assert_array_equal(twin.forward(*xs), layer.forward(*xs))
    with pytest.raises(tn.InputError, match="backward needs"):
        twin.backward(dy)

    def everything(a_layer):
        return {**a_layer.params, **a_layer.state, **{"d" + name: g for name, g in a_layer.grads.items()}}

    before = {name: a.copy() for name, a in everything(layer).items()}
    randomized(twin, seed=300).forward(*inputs(case, seed=200), training=True)
    twin.backward(2 * dy)
    assert everything(twin).keys() == before.keys()
    for name, array in everything(layer).items():
        assert not np.shares_memory(array, everything(twin)[name])
        np.testing.assert_array_equal(array, before[name])
    for one, other in zip(backward(layer, dy)[0], expected, strict=True):  # still pending in the original
        np.testing.assert_array_equal(one, other)


def test_a_copy_that_is_used_does_not_change_what_the_original_draws(case):
    xs, outputs = inputs(case), []
    for use_the_copy in (False, True):
        layer = built(case, seed=3)
        if use_the_copy:
            layer.copy().forward(*xs, training=True)
        outputs.append(layer.forward(*xs, training=True))
    np.testing.assert_array_equal(*outputs)


def test_config_rebuilds_an_equal_layer(case):
    layer = case.make()
    config = json.loads(json.dumps(layer.config()))  # as a saved network keeps it
    assert config | case.make.keywords == config
    again = LAYERS[type(layer).__name__](**config)
    assert again.config() == layer.config()
    assert repr(again) == repr(layer)
    xs = inputs(case)
    one, other = (a.build(*case.widths, seed=4, dtype="float64") for a in (layer, again))
    for training in (False, True):
        np.testing.assert_array_equal(one.forward(*xs, training=training), other.forward(*xs, training=training))


def test_a_setting_is_checked_when_it_is_assigned_and_counts_from_there_or_cannot_change(case):
    layer, xs = built(case), inputs(case)
    for name, value in kinds.others(type(layer).__name__).items():
        with pytest.raises(tn.InputError, match=name):
            setattr(layer, name, "none")
        try:
            setattr(layer, name, value)
        except tn.InputError as error:
            assert "cannot change once the layer is built; make a new layer" in str(error)  # noqa: PT017
    twin = LAYERS[type(layer).__name__](**layer.config()).build(*case.widths, dtype="float64")
    for role in ("params", "state"):
        getattr(twin, role).update(getattr(layer, role))
    for training in (False, True):
        for each in (layer, twin):
            same_draws(each)
        np.testing.assert_array_equal(layer.forward(*xs, training=training), twin.forward(*xs, training=training))


def test_the_same_seed_gives_the_same_layer_and_another_seed_another(case):
    def first_output(seed):
        layer = case.make().build(*case.widths, seed=seed, dtype="float64")
        return layer.forward(*inputs(case), training=True)

    np.testing.assert_array_equal(first_output(1), first_output(1))
    is_random = isinstance(case.make(), tn.Dropout) or "init" in case.make().config()
    assert np.array_equal(first_output(1), first_output(2)) != is_random


# -- errors -------------------------------------------------------------------------------------------------


def test_backward_without_a_training_forward_says_so(case):
    layer = built(case)
    layer.forward(*inputs(case))  # a prediction is not one
    with pytest.raises(tn.InputError, match=rf"^{layer.name}: backward needs a forward\(x, training=True\)"):
        layer.backward(numbers((M, width_of(layer))))
    with pytest.raises(tn.InputError, match="backward needs"):
        case.make().backward(numbers((M, 4)))


def test_a_gradient_of_the_wrong_shape_is_refused(case, dtype):
    layer = built(case, dtype)
    layer.forward(*inputs(case, dtype), training=True)
    width = width_of(layer)
    for shape in [(M + 1, width), (M - 1, width), (M, width + 1), (width,), (M,), (M, width, 1), ()]:
        with pytest.raises(tn.ShapeError, match=f"^{layer.name}: "):
            layer.backward(numbers(shape, dtype))
    with pytest.raises(tn.InputError, match=f"^{layer.name}: .*int64"):
        layer.backward(np.ones((M, width), np.int64))
    layer.backward(numbers((M, width), dtype))  # a wrong call before does not spoil the right one


@pytest.mark.parametrize("training", [False, True])
def test_wrong_inputs_are_refused_by_name(case, dtype, training):
    layer = built(case, dtype)
    good = inputs(case, dtype)
    for bad in (
        numbers((M, case.widths[-1] + 1), dtype),  # too many features
        numbers((M, case.widths[-1] - 1), dtype),
        numbers((case.widths[-1],), dtype),  # one example without its batch
        numbers((M, case.widths[-1], 1), dtype),
        numbers((), dtype),
    ):
        with pytest.raises(tn.ShapeError, match=f"^{layer.name}: "):
            layer.forward(*good[:-1], bad, training=training)
    for bad in (np.ones((M, case.widths[-1]), np.uint8), good[-1] > 0, good[-1].astype(complex)):
        with pytest.raises(tn.InputError, match=f"^{layer.name}: needs float32 or float64 .*{bad.dtype}"):
            layer.forward(*good[:-1], bad, training=training)
    assert layer.forward(*good, training=training).shape == (M, width_of(layer))


def test_a_new_layer_is_not_spoiled_by_a_wrong_input(case):
    layer, good = case.make(), inputs(case)
    for bad, error in (
        (numbers((5,)), tn.ShapeError),
        (numbers(()), tn.ShapeError),
        (np.ones((M, 5), int), tn.InputError),
    ):
        with pytest.raises(error, match=f"^{layer.name}: "):
            layer.forward(*good[:-1], bad)
    assert layer.forward(*good).shape == (M, width_of(layer))


def test_one_example_gets_a_hint(case):
    layer = built(case)
    with pytest.raises(tn.ShapeError, match=r"one example is x\[None, :\]"):
        layer.forward(*(x[0] for x in inputs(case)))


# -- in a network -------------------------------------------------------------------------------------------


def chain(case, dtype="float64"):
    """Return a chain with the layer in the middle; a layer that joins branches joins one."""
    layers = [tn.Dense(case.widths[0]), case.make(), tn.Dense(3)]
    return tn.Sequential(layers, inputs=5, seed=1, dtype=dtype)


def graph(case, dtype="float64"):
    """Return a graph in which the layer reads a node that others read too, and the input is read twice."""
    x = tn.Input(5)
    h = tn.Tanh()(tn.Dense(case.widths[0])(x))
    branches = [h, *(tn.Dense(width)(h) for width in case.widths[1:])]
    y = case.make()(*branches)
    width = case.make().build(*case.widths).output_features(*case.widths)
    skip = tn.Add()(tn.Dense(width)(h), y, tn.Dense(width)(x))
    return tn.Network(x, tn.Dense(3)(tn.Concat()(skip, h)), seed=1, dtype=dtype)


@pytest.fixture(params=[chain, graph])
def make_network(request):
    return request.param


def network_gradients(net, x, dy):
    for layer in net.layers.values():
        same_draws(layer)
    y = net.forward(x, training=True)
    dx = net.backward(dy)
    return y, dx, {name: g.copy() for name, g in net.grads.items()}


def test_network_gradients_agree_with_central_differences(case, make_network):
    net = make_network(case)
    x, dy = numbers((M, 5)), numbers((M, 3), seed=50)

    def loss():
        for layer in net.layers.values():
            same_draws(layer)
        return np.sum(dy * net.forward(x, training=True))

    _, dx, grads = network_gradients(net, x, dy)
    np.testing.assert_allclose(dx, derivative(loss, x), rtol=1e-6, atol=1e-8)
    assert grads.keys() == net.params.keys()
    for name, gradient in grads.items():
        np.testing.assert_allclose(gradient, derivative(loss, net.params[name]), rtol=1e-6, atol=1e-8, err_msg=name)


def test_a_float32_network_follows_a_float64_one(case, make_network):
    double, single = make_network(case), make_network(case, "float32")
    for net in (double, single):
        for layer in net.layers.values():
            if isinstance(layer, tn.Dropout):
                layer.rate = 0.0  # the two precisions draw different numbers
        for name in net.params:
            net.params[name] = single.params[name]
    x, dy = numbers((M, 5), "float32"), numbers((M, 3), "float32", seed=50)
    y, dx, grads = network_gradients(double, x.astype("float64"), dy.astype("float64"))
    y_single, dx_single, grads_single = network_gradients(single, x, dy)
    assert {a.dtype for a in (y_single, dx_single, *grads_single.values())} == {np.dtype("float32")}
    for one, other in zip([y, dx, *grads.values()], [y_single, dx_single, *grads_single.values()], strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(single.forward(x), double.forward(x.astype("float64")), rtol=1e-5, atol=1e-5)


def test_what_a_network_returns_is_the_callers(case, make_network, dtype):
    net = make_network(case, dtype)
    x, dy = numbers((M, 5), dtype), numbers((M, 3), dtype, seed=50)
    before = x.copy(), dy.copy()
    returned = [net.forward(x), net.forward(x, training=True), net.backward(dy)]
    copies = [a.copy() for a in returned]
    for m in (M, M - 2, M):
        other = numbers((m, 5), dtype, seed=200)
        net.forward(other)
        net.forward(other, training=True)
        net.backward(numbers((m, 3), dtype, seed=201))
    for array, copy in zip(returned, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(dy, before[1])


def test_reused_buffers_do_not_carry_anything_from_step_to_step(case, make_network, dtype):
    fresh, used = make_network(case, dtype), make_network(case, dtype)
    for m in (M, M + 3, M):
        used.forward(numbers((m, 5), dtype, seed=200), training=True)
        used.backward(numbers((m, 3), dtype, seed=201))
    x, dy = numbers((M, 5), dtype), numbers((M, 3), dtype, seed=50)
    (y, dx, grads), (y_used, dx_used, grads_used) = (network_gradients(net, x, dy) for net in (fresh, used))
    for one, other in zip([y, dx, *grads.values()], [y_used, dx_used, *grads_used.values()], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_networks_prediction_leaves_its_pending_backward_alone(case, make_network):
    net = make_network(case)
    x, dy = numbers((M, 5)), numbers((M, 3), seed=50)
    _, dx, grads = network_gradients(net, x, dy)
    state = {name: value.copy() for name, value in net.state.items()}
    values = {name: value.copy() for name, value in net.values.items()}
    net.forward(numbers((M, 5), seed=200))
    net.forward(numbers((2, 5), seed=201))
    for name, value in net.values.items():  # what the probes look at
        np.testing.assert_array_equal(value, values[name])
    np.testing.assert_array_equal(net.backward(dy), dx)
    for name, gradient in net.grads.items():
        np.testing.assert_array_equal(gradient, grads[name])
    for name, value in net.state.items():
        np.testing.assert_array_equal(value, state[name])
