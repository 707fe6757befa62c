"""What holds for every network: random graphs of random layers beside a plain NumPy twin of the whole graph."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tinynet as tn
from tests import reference

INPUTS, OUTPUTS, M = 4, 3, 7
SMOOTH = [tn.Sigmoid, tn.Tanh, tn.GELU, tn.ELU, tn.SELU]
KINKED = [tn.ReLU, tn.LeakyReLU]
FUNCTIONS: dict[type, Callable] = {  # of the layers without parameters, by what their constants are in the papers
    tn.Sigmoid: lambda layer, x: reference.sigmoid_forward(x),
    tn.Tanh: lambda layer, x: reference.tanh_forward(x),
    tn.ReLU: lambda layer, x: reference.relu_forward(x),
    tn.LeakyReLU: lambda layer, x: reference.leaky_relu_forward(x, layer.slope),
    tn.ELU: lambda layer, x: reference.elu_forward(x, layer.alpha, 1.0),
    tn.SELU: lambda layer, x: reference.elu_forward(x, 1.6732632423543772, 1.0507009873554805),
    tn.GELU: lambda layer, x: reference.gelu_forward(x),
    tn.Softmax: lambda layer, x: reference.softmax_forward(x),
    tn.Dropout: lambda layer, x: x,
}


@dataclass
class Graph:
    """A network, and the places in it as they were drawn: each layer with the places it reads, 0 being the input."""

    net: tn.Network
    places: list[tuple[tn.Layer, tuple[int, ...]]]

    def twin(self, x, arrays, *, training):
        """The output for ``x`` and arrays by name, in plain NumPy; complex numbers too."""
        values = [x]
        for layer, reads in self.places:
            inputs = [values[k] for k in reads]
            values.append(self.apply(layer, inputs, lambda key, of=layer.name: arrays[f"{of}.{key}"], training))
        return values[-1]

    def apply(self, layer, inputs, array, training):
        kind, x = type(layer), inputs[0]
        if kind is tn.Dense:
            return x @ array("weight") + (array("bias") if layer.bias else 0)
        if kind is tn.BatchNorm and training:
            return reference.batch_norm_forward(x, array("gamma"), array("beta"), layer.eps)[0]
        if kind is tn.BatchNorm:
            running = array("running_mean"), array("running_var")
            return reference.batch_norm_inference(x, array("gamma"), array("beta"), *running, layer.eps)
        if kind is tn.LayerNorm:
            return reference.layer_norm_forward(x, array("gamma"), array("beta"), layer.eps)[0]
        if kind is tn.Add:
            return sum(inputs)
        if kind is tn.Concat:
            return np.concatenate(inputs, axis=1)
        return FUNCTIONS[kind](layer, x)

    def before(self, wanted):
        """Each `Dense` that is read by one layer, a ``wanted``, with that layer."""
        for place, (layer, _) in enumerate(self.places, 1):
            readers = [other for other, reads in self.places for k in reads if k == place]
            if type(layer) is tn.Dense and len(readers) == 1 and type(readers[0]) is wanted:
                yield layer, readers[0]


def draw_graph(
    random: Random, *, dropout=0.0, kinks=True, eps=(1e-5, 1e-3, 0.1), dtype="float64", outputs=OUTPUTS, kinds=None
) -> Graph:
    """A chain with branches, joined by Add where widths agree and else by Concat; every branch leads to the output.

    ``kinds`` has classes to be taken in place of tinynet's own.
    """
    own = {} if kinds is None else kinds
    activations = [*SMOOTH, *(KINKED if kinks else []), tn.Softmax]
    nodes, widths, places = [tn.Input(INPUTS)], [INPUTS], []

    def add(layer, *reads):
        nodes.append(layer(*(nodes[k] for k in reads)))
        widths.append(layer.output_features(*(widths[k] for k in reads)))
        places.append((layer, reads))
        return len(places)

    def dense(units):
        return own.get(tn.Dense, tn.Dense)(
            units, bias=random.random() < 0.5, init=random.choice(["he_normal", "glorot_uniform"])
        )

    def norm():
        kind = random.choice([tn.BatchNorm, tn.BatchNorm, tn.LayerNorm])
        decay = {} if kind is tn.LayerNorm else {"decay": 0.8}
        return own.get(kind, kind)(eps=random.choice(eps), **decay)

    def activation():
        kind = random.choice(activations)
        return own.get(kind, kind)()

    for _ in range(random.randint(1, 5)):
        place = random.choice([len(places), len(places), random.randint(0, len(places))])  # mostly the last
        step = random.choice(["block", "block", "norm", "activation", "add", "concat"])
        if step == "block":
            place = add(dense(random.randint(3, 5)), place)
            if random.random() < 0.7:
                place = add(norm(), place)
            place = add(activation(), place)
            if dropout:
                add(tn.Dropout(dropout), place)
        elif step == "norm":
            add(norm(), place)
        elif step == "activation":
            add(activation(), place)
        else:
            others = [k for k, width in enumerate(widths) if step == "concat" or width == widths[place]]
            add(tn.Add() if step == "add" else tn.Concat(), place, *random.choices(others, k=random.randint(1, 2)))
    read = {k for _, reads in places for k in reads}
    ends = [k for k in range(len(nodes)) if k not in read]
    add(dense(outputs), add(tn.Concat(), *ends) if len(ends) > 1 else ends[0])
    return Graph(tn.Network(nodes[0], nodes[-1], seed=random.randint(0, 999), dtype=dtype), places)


def unsettled(graph, seed=0):
    """The graph with parameters and statistics that are not those it starts with."""
    rng = np.random.default_rng(seed)
    for name, array in {**graph.net.params, **graph.net.state}.items():
        if name.endswith(("gamma", "running_var")):
            array[...] = rng.uniform(0.5, 2, array.shape)
        elif not name.endswith("weight"):
            array[...] = rng.normal(0, 0.5, array.shape)
    return graph


def batch(seed=1, m=M, width=INPUTS, dtype="float64"):
    return np.random.default_rng(seed).normal(size=(m, width)).astype(dtype)


def arrays(net, dtype=None):
    return {name: a.astype(dtype or a.dtype) for name, a in {**net.params, **net.state}.items()}


def bits(net):
    return hashlib.sha256(b"".join(a.tobytes() for a in (*net.params.values(), *net.state.values()))).hexdigest()


def assert_close(found, expected, tolerance, scale=None):
    """The largest difference is at most ``tolerance`` of the largest number."""
    scale = np.abs(expected).max() if scale is None else scale
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * max(scale, 1e-300))


def graphs(**settings):
    return st.randoms(use_true_random=False).map(lambda random: unsettled(draw_graph(random, **settings)))


def property_of(*strategies, examples=60):
    def decorate(test):
        return settings(max_examples=examples, deadline=None, derandomize=True, database=None)(
            given(*strategies)(test)
        )

    return decorate


# -- forward and backward -------------------------------------------------------------------------------------


@property_of(graphs())
def test_outputs_are_those_of_plain_numpy(graph):
    net, x = graph.net, batch()
    for training in (False, True):
        expected = graph.twin(x, arrays(net), training=training)
        assert_close(net.forward(x, training=training), expected, 1e-9)


@property_of(graphs())
def test_gradients_are_those_of_a_complex_step_through_plain_numpy(graph):
    """Of every array and of the data, each along a direction of its own: d loss / dt at w + t v is grad . v."""
    net, x, dy, rng = graph.net, batch(), batch(2, width=OUTPUTS), np.random.default_rng(3)
    net.forward(x, training=True)
    gradients = {"x": net.backward(dy), **net.grads}
    values = {"x": x, **arrays(net)}
    size = max(np.abs(g).max() for g in gradients.values())
    for name, gradient in gradients.items():
        v = rng.normal(size=gradient.shape)
        moved = values | {name: values[name] + 1j * reference.STEP * v}
        slope = np.sum(dy * graph.twin(moved.pop("x"), moved, training=True)).imag / reference.STEP
        assert_close(np.sum(gradient * v), slope, 1e-9, scale=size * np.abs(v).sum())


@property_of(graphs(kinks=False, eps=(1e-2, 0.1), dtype="float32"))
def test_float32_follows_float64(graph):
    """Within 2e-4 of the largest number, output and gradients: rounding, as often as a deep graph magnifies it."""
    net, x, dy = graph.net, batch(dtype="float32"), batch(2, width=OUTPUTS, dtype="float32")
    double, values = arrays(net, "float64"), {}
    for training in (False, True):
        y = net.forward(x, training=training)
        assert y.dtype == np.float32
        assert_close(y, graph.twin(x.astype("float64"), double, training=training), 2e-4)
    values = {"x": net.backward(dy), **net.grads}
    net = draw_like(graph)
    net.params.update({name: double[name] for name in net.params})
    net.forward(x.astype("float64"), training=True)
    expected = {"x": net.backward(dy.astype("float64")), **net.grads}
    size = max(np.abs(g).max() for g in expected.values())
    for name, gradient in values.items():
        assert gradient.dtype == np.float32
        assert_close(gradient, expected[name], 2e-4, scale=size)


def draw_like(graph):
    """The same architecture in float64."""
    nodes = [tn.Input(INPUTS)]
    for layer, reads in graph.places:
        nodes.append(type(layer)(**layer.config())(*(nodes[k] for k in reads)))
    return tn.Network(nodes[0], nodes[-1], dtype="float64")


@property_of(graphs())
def test_the_order_of_a_batch_is_that_of_its_outputs_and_changes_no_gradient_or_statistic(graph):
    net, x, dy = graph.net, batch(), batch(2, width=OUTPUTS)
    order, start = np.random.default_rng(4).permutation(M), arrays(net)
    assert_close(net.forward(x[order]), net.forward(x)[order], 1e-12)
    found = []
    for rows in (np.arange(M), order):
        net.state.update({name: start[name] for name in net.state})
        y = net.forward(x[rows], training=True)
        dx = net.backward(dy[rows])
        found.append([y[np.argsort(rows)], dx[np.argsort(rows)], *arrays(net).values()])
        found[-1] += [g.copy() for g in net.grads.values()]
    size = max(np.abs(a).max() for a in found[0])
    for one, other in zip(*found, strict=True):
        assert_close(other, one, 1e-9, scale=size)


@property_of(graphs())
def test_a_bias_before_batch_norm_gets_no_gradient_and_moves_no_output(graph):
    net, x = graph.net, batch()
    biased = [dense for dense, _ in graph.before(tn.BatchNorm) if dense.bias]
    assume(biased)
    y = net.forward(x, training=True)
    net.backward(batch(2, width=OUTPUTS))
    size = max(np.abs(g).max() for g in net.grads.values())
    for dense in biased:
        assert_close(net.grads[f"{dense.name}.bias"], 0, 1e-11, scale=size)
        net.params[f"{dense.name}.bias"] += 10.0
    assert_close(net.forward(x, training=True), y, 1e-8)


@property_of(graphs(kinks=False, eps=(0.0,)), st.floats(1e-3, 1e3))
def test_scaling_the_weights_before_batch_norm_divides_their_gradient_and_changes_nothing_else(graph, a):
    net, x, dy = graph.net, batch(), batch(2, width=OUTPUTS)
    scaled = [dense for dense, _ in graph.before(tn.BatchNorm)]
    assume(scaled)
    with np.errstate(all="ignore"):
        y = net.forward(x, training=True)
        dx = net.backward(dy)
    before = {name: g.copy() for name, g in net.grads.items()}
    size = max(np.abs(g).max() for g in before.values())
    assume(np.isfinite(y).all() and size < 1e6)  # without eps, a feature that hardly varies blows up
    own = {f"{dense.name}.{key}" for dense in scaled for key in ("weight", "bias")}
    for name in own & set(net.params):
        net.params[name] *= a
    assert_close(net.forward(x, training=True), y, 1e-8)
    assert_close(net.backward(dy), dx, 1e-8, scale=size)
    for name, gradient in net.grads.items():
        assert_close(gradient * (a if name in own else 1), before[name], 1e-8, scale=size)


# -- fold, calibrate, save ------------------------------------------------------------------------------------


@property_of(graphs(dropout=0.3))
def test_a_folded_network_is_the_same_function_without_the_batch_norm_that_follows_a_dense(graph):
    net, x = graph.net, batch(m=20)
    for prepare in (lambda: None, lambda: net.calibrate(x)):
        prepare()
        before = bits(net)
        small = net.fold()
        assert_close(small.forward(x), net.forward(x), 1e-9)
        assert_close(small.forward(x), graph.twin(x, arrays(net), training=False), 1e-9)
        assert bits(net) == before
    kinds = [type(layer) for layer in net.layers.values()]
    folded = [type(layer) for layer in small.layers.values()]
    assert folded.count(tn.BatchNorm) == kinds.count(tn.BatchNorm) - len(list(graph.before(tn.BatchNorm)))
    assert [kind for kind in folded if kind is not tn.BatchNorm] == [
        kind for kind in kinds if kind is not tn.BatchNorm
    ]


@property_of(graphs(dropout=0.3), st.sampled_from(["population", "minibatch"]))
def test_calibrating_again_changes_no_bit_and_never_a_parameter(graph, method):
    net, x = graph.net, batch(m=50)
    params = {name: w.copy() for name, w in net.params.items()}
    net.calibrate(x, method=method, batch_size=20)
    once = bits(net)
    net.forward(batch(5), training=True)  # what the statistics were before plays no part
    net.calibrate(x, method=method, batch_size=20)
    assert bits(net) == once
    for name, w in params.items():
        np.testing.assert_array_equal(net.params[name], w)


@property_of(graphs())
def test_calibrated_on_one_batch_a_prediction_is_the_training_output(graph):
    net, x = graph.net, batch(m=20)
    net.calibrate(x)
    assert_close(net.forward(x), net.forward(x, training=True), 1e-8)


@property_of(st.sampled_from(["float32", "float64"]).flatmap(lambda dtype: graphs(dropout=0.3, dtype=dtype)))
def test_what_is_saved_is_what_is_loaded(tmp_path_factory, graph):
    net, path = graph.net, tmp_path_factory.getbasetemp() / "net.safetensors"
    net.save(path)
    back = tn.load(path)
    for describe in (bits, str, lambda a_net: [*a_net.params, *a_net.state]):
        assert describe(back) == describe(net)
    x = batch(dtype=net.dtype)
    np.testing.assert_array_equal(back.forward(x), net.forward(x))


# -- same seed, same bits -------------------------------------------------------------------------------------


def trained(random: Random):
    """A random network after a few steps."""
    net = draw_graph(random, dropout=0.2, dtype=random.choice(["float32", "float64"])).net
    data = tn.Dataset(batch(6, m=30), np.arange(30) % OUTPUTS)
    tn.fit(net, data, steps=4, batch_size=8, seed=1, optimizer=tn.SGD(0.05, momentum=0.9))
    return net


@property_of(st.integers(0, 10**6), examples=20)
def test_the_same_seed_gives_the_same_bits(seed):
    assert bits(trained(Random(seed))) == bits(trained(Random(seed)))


def test_the_same_seed_gives_the_same_bits_in_another_process():
    code = "from tests.test_properties import *; print(*(bits(trained(Random(k))) for k in range(20)))"
    command, root = [sys.executable, "-c", code], Path(__file__).parents[1]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout.split() == [bits(trained(Random(k))) for k in range(20)]
