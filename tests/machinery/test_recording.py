"""A network that replays its steps computes what its layers, called one after the other, compute: bit by bit."""

import copy
import inspect
import pickle
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tinynet as tn
from tests.machinery.steps import assert_same, batch, by_layers, chain, deep, graph, step
from tinynet.layers import LAYERS, Layer
from tinynet.machinery import blas, recording
from tinynet.machinery.recording import Recorder, Recording

STEPS = [5, 5, 5, 2, 5, 2, 2, 7, 5]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", [*(lambda dtype, kind=kind: chain(kind, dtype) for kind in LAYERS), deep, graph])
def test_replayed_steps_are_the_layers_steps(make, dtype):
    ours, plain = make(dtype), by_layers(make(dtype))
    one, other = tn.SGD(0.1, momentum=0.9), tn.SGD(0.1, momentum=0.9)
    for k, rows in enumerate(STEPS):
        assert_same(step(ours, rows, k, one), step(plain, rows, k, other))
        assert_same(step(ours, rows + k % 2, k, training=False), step(plain, rows + k % 2, k, training=False))


def test_every_layer_that_calls_kernels_is_replayed():
    calling = {name: layer for name, layer in LAYERS.items() if "self.call(" in inspect.getsource(layer.forward)}
    assert len(calling) >= 14
    assert [name for name, layer in calling.items() if not layer.replayable] == []


def test_without_a_blas_to_call_numpy_multiplies(monkeypatch):
    expected = [step(chain(), 5, k) for k in range(3)]
    monkeypatch.setattr(blas, "library", lambda: None)
    ours, plain = chain(), by_layers(chain())
    for k in range(3):  # Python's calls have their turn among the compiled ones
        assert_same(step(ours, 5, k), step(plain, 5, k))
    for found, one in zip(step(chain(), 5, 0), expected[0], strict=True):
        np.testing.assert_allclose(found, one, rtol=1e-5, atol=1e-6)


def test_a_setting_that_is_changed_counts_from_the_next_step_on():
    ours, plain = chain(), by_layers(chain())
    for k in range(6):
        if k == 3:
            for net in (ours, plain):
                net.layers["batch_norm_1"].decay = 0.1
                net.layers["batch_norm_2"].eps = 1.0
        assert_same(step(ours, 5, k), step(plain, 5, k))
        assert_same(step(ours, 5, k, training=False), step(plain, 5, k, training=False))


def test_arrays_that_are_assigned_are_read():
    ours, plain = chain(), by_layers(chain())
    for k in range(6):
        if k == 3:
            for net in (ours, plain):
                net.params["dense_1.weight"] = 2 * net.params["dense_1.weight"]
                net.layers["batch_norm_1"].params["gamma"] = np.full(5, 3)
                net.state["batch_norm_1.running_var"] = np.full(5, 7)
        assert_same(step(ours, 5, k), step(plain, 5, k))


def test_a_layer_called_alone_in_between_does_not_upset_the_network():
    ours, plain = chain(), by_layers(chain())
    for k in range(7):
        for net in (ours, plain):
            x, dy = batch(net, 5, k)
            net.forward(x, training=True)
            if k in (2, 4):
                layer = net.layers["batch_norm_1"]
                layer.forward(
                    np.random.default_rng(k).normal(size=(5 if k == 4 else 9, 5)).astype("float32"), training=True
                )
                if k == 2:  # at 4 backward goes by what the layer saw last
                    net.forward(x, training=True)
            net.backward(dy)
        assert_same(ours.grads.values(), plain.grads.values())


def test_backward_by_the_layers_own_hand_after_a_replay_finds_this_steps_arrays():
    net = chain()
    for k, rows in enumerate([5, 5, 2, 5]):
        x, dy = batch(net, rows, k)
        net.forward(x, training=True)
        net.backward(dy)
    net.layers["dense_3"].backward(dy)
    np.testing.assert_array_equal(net.layer_input("dense_1"), x)
    expected = net.layer_input("dense_3").T @ dy
    np.testing.assert_allclose(net.grads["dense_3.weight"], expected, rtol=1e-6, atol=1e-6)


def test_what_was_handed_out_is_not_written_over():
    net = chain()
    held = []
    for k in range(4):
        x, dy = batch(net, 5, k)
        y = net.forward(x, training=True)
        held += [(a, a.copy()) for a in (x, dy, y, net.backward(dy), net.forward(x))]
    for array, then in held:
        np.testing.assert_array_equal(array, then)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_goes_its_own_way(duplicate):
    net, optimizer = graph(), tn.SGD(0.1, momentum=0.9)
    for k in range(3):
        step(net, 5, k, optimizer)
    other, its_optimizer = duplicate((net, optimizer))
    before = [p.copy() for p in net.params.values()]
    theirs = [step(other, 5, k, its_optimizer) for k in range(3, 6)]
    assert_same(net.params.values(), before)
    assert_same([a for s in theirs for a in s], [a for k in range(3, 6) for a in step(net, 5, k, optimizer)])


def test_many_batch_sizes_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(recording, "MEMORY", 2**20)
    net, plain = chain(), by_layers(chain())
    for k, rows in enumerate([*range(2, 40), *range(2, 40)]):
        assert_same(step(net, rows, k), step(plain, rows, k))
        net.forward(batch(net, rows, 0)[0])
    known = net._passes.recorder.recordings
    assert 0 < len(known.training) <= 2**20 / recording.EACH
    assert 0 < len(known.predictions) <= 2**20 / recording.EACH
    assert sum(len(layer.buffers) for layer in net.layers.values()) <= 800


@pytest.mark.parametrize("training", [True, False])
def test_the_arrays_of_many_batch_sizes_take_bounded_memory(training, monkeypatch):
    net = tn.mlp(64, [256] * 8, 10, norm="batch", seed=0)
    one = 124 * 4 * (64 + 8 * 3 * 256 + 10)  # bytes of its outputs; in training layers have more
    monkeypatch.setattr(recording, "MEMORY", 3 * one)
    x = np.ones((124, 64), "float32")
    net.forward(x, training=training)
    tracemalloc.start()
    try:
        for rows in range(100, 124):
            net.forward(x[:rows], training=training)
        now = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert now <= (2 if training else 1) * recording.MEMORY


@pytest.mark.parametrize("training", [True, False])
def test_a_replayed_step_allocates_no_array(training):
    rows = units = 1000  # so no array of a step has less than 4,000 bytes, but for the outputs: they are the caller's
    net, optimizer = tn.mlp(20, [units], units, activation="relu", norm="batch", seed=0), tn.SGD(0.1, momentum=0.9)
    x, y = np.ones((rows, 20), "float32"), np.arange(rows) % units
    loss, gradient = tn.SoftmaxCrossEntropy(), np.empty((rows, units), "float32")

    def once():
        if not training:
            net.forward(x)
            return
        loss.write(net.forward(x, training=True), y, gradient)
        net.backward(gradient, input_gradient=False)
        optimizer.step(net.params, net.grads)

    for _ in range(3):
        once()
    tracer = sys.gettrace()
    sys.settrace(None)  # a coverage run's tracer allocates too
    tracemalloc.start()
    try:
        once()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for _ in range(5):
            once()
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        sys.settrace(tracer)
    assert peak - before < 4000 + gradient.nbytes  # of outputs
    assert now - before < 4000


def test_two_threads_may_ask_one_network():
    net = chain()
    xs = [batch(net, 3, k)[0] for k in range(40)]
    expected = [by_layers(chain()).forward(x) for x in xs]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            assert_same(pool.map(net.forward, xs), expected)


class Doubled(Layer):
    """A layer of the user's own, in NumPy."""

    kind = "doubled"

    def forward(self, x, *, training=False):
        y = 2 * x
        if training:
            self.save_for_backward(y)
        return y

    def backward(self, dy):
        return 2 * dy


class LoudReLU(tn.ReLU):
    """One that changes what a layer of ours does."""

    def forward(self, x, *, training=False):
        return super().forward(x, training=training) * 3


@pytest.mark.parametrize("layer", [Doubled, LoudReLU])
def test_layers_that_do_not_say_so_are_called_at_every_step(layer):
    assert not layer.replayable
    net = tn.Sequential([tn.Dense(4), layer(), tn.Dense(3)], inputs=4, seed=0)
    for k in range(3):
        x, dy = batch(net, 5, k)
        y = net.forward(x, training=True)
        hidden = x @ net.params["dense_1.weight"]
        hidden = 2 * hidden if layer is Doubled else 3 * np.maximum(hidden, 0)
        np.testing.assert_allclose(y, hidden @ net.params["dense_2.weight"], rtol=1e-5, atol=1e-6)
        net.backward(dy)


def test_a_step_that_fails_leaves_the_network_as_it_was():
    net, plain = chain(), by_layers(chain())
    for k in range(4):
        with pytest.raises(tn.InputError, match="at least 2 examples"):
            net.forward(batch(net, 1, 0)[0], training=True)
        step(net, 5, k)
        with pytest.raises(tn.ShapeError, match="backward expects dy"):
            net.backward(np.zeros((4, 3), "float32"))
        step(plain, 5, k)
    assert_same(net.params.values(), plain.params.values())


def test_passes_forgotten_in_the_middle_of_a_step_do_not_upset_the_next():
    ours, plain = chain(), by_layers(chain())
    for k in range(4):
        found = []
        for net in (ours, plain):
            x, dy = batch(net, 5, k)
            net.forward(x, training=True)
            for rows in range(1, 40 if k == 1 else 1):
                net.forward(batch(net, rows, 0)[0])
            found.append([net.backward(dy), *net.grads.values()])
        assert_same(*found)


def test_only_the_recording_threads_calls_are_noted():
    recorder, outer, inner = Recorder(), Recording([]), Recording([])
    with recorder.record(outer):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(recorder.note, print, (1,)).result()
        recorder.note(print, (2,))
        with recorder.record(inner):  # a signal's handler
            recorder.note(print, (3,))
        with recorder.record(Recording()):
            recorder.note(print, (4,))
        recorder.note(print, (5,))
    recorder.note(print, (6,))
    assert inner.calls == [(print, (3,))]
    assert outer.calls == [(print, (2,)), (print, (5,))]
