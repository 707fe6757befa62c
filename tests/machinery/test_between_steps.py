"""Whatever is done between two steps, or in the middle of one, the next is what the layers would do: bit by bit."""

import contextlib
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tinynet as tn
from tests.machinery.steps import assert_same, batch, by_layers, chain, graph, step


def own_arrays(net):
    """Arrays of the network itself that fit as an input, by what they are."""
    return {
        "statistics": net.state["batch_norm_1.running_mean"][None],
        "parameters": net.params["batch_norm_1.gamma"][None],
        "a weight": net.params["dense_1.weight"],
        "a gradient": net.grads["dense_1.weight"],
        "the batch itself": net.input_array(5),
        "an activation": net.values.get("batch_norm_1", np.zeros((5, 4))),
    }


@pytest.mark.parametrize("first", [*own_arrays(tn.Sequential([tn.BatchNorm(), tn.Dense(4)], inputs=4))])
@pytest.mark.parametrize("training", [True, False])
def test_an_input_that_is_one_of_the_networks_own_arrays_is_read_once(first, training):
    if training and first in ("statistics", "parameters"):
        pytest.skip("one example has no variance")

    def make():
        net = tn.Sequential([tn.BatchNorm(), tn.Dense(4), tn.BatchNorm()], inputs=4, seed=0)
        net.calibrate(np.random.default_rng(0).normal(size=(50, 4)).astype("float32"))
        return net

    ours, plain = make(), by_layers(make())
    for k in range(3):
        for net in (ours, plain):
            net.forward(batch(net, 5, k)[0], training=True)
            net.backward(np.ones((5, 4), "float32"))
        x, y = (own_arrays(net)[first] for net in (ours, plain))
        assert_same([ours.forward(x, training=training)], [plain.forward(y, training=training)])
        if training:
            dy = np.ones(x.shape, "float32")
            assert_same([ours.backward(dy), *ours.grads.values()], [plain.backward(dy), *plain.grads.values()])
        for rows in (1, 4, 5):
            x = batch(ours, rows, 10 * k)[0]
            assert_same([ours.forward(x)], [plain.forward(x)])


@pytest.mark.parametrize("own", ["params", "values"])
def test_a_gradient_that_is_one_of_the_networks_own_arrays_is_read_once(own):
    nets = [tn.Sequential([tn.Dense(4), tn.Tanh(), tn.Dense(4)], inputs=4, seed=0) for _ in range(2)]
    by_layers(nets[1])
    for k in range(3):
        found = []
        for net in nets:
            x = batch(net, 4, k)[0]
            net.forward(x, training=True)
            net.backward(net.params["dense_2.weight"] if own == "params" else net.values["dense_2"])
            net.params["dense_2.weight"] = -net.params["dense_2.weight"]
            net.forward(x, training=True)
            found.append([net.backward(x), *net.grads.values()])
        assert_same(*found)


NUMBERS = [float, int, np.float64, np.float32, np.float16, np.int64, np.int8, np.bool_, lambda n: np.array(n, "f4")]


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (lambda: tn.BatchNorm(), {"eps": 1, "decay": 0}),
        (lambda: tn.LayerNorm(), {"eps": 1}),
        (lambda: tn.LeakyReLU(), {"slope": 1}),
        (lambda: tn.ELU(), {"alpha": 0}),
        (lambda: tn.Dropout(0.5), {"rate": 0}),
    ],
)
def test_a_setting_of_any_kind_of_number_counts_from_the_next_call_on(make, settings, kind):
    ours, plain = (
        tn.Sequential([tn.Dense(5), make(), tn.Dense(3)], inputs=4, seed=0, dtype="float64") for _ in range(2)
    )
    by_layers(plain)
    for k in range(7):
        if k == 3:
            for net in (ours, plain):
                for name, value in settings.items():
                    setattr(list(net.layers.values())[1], name, kind(value))
        if k == 5:  # between forward and backward
            found = []
            for net in (ours, plain):
                x, dy = batch(net, 5, k)
                net.forward(x, training=True)
                for name in settings:
                    setattr(list(net.layers.values())[1], name, 0.25)
                found.append([net.backward(dy), *net.grads.values()])
            assert_same(*found)
        assert_same(step(ours, 5, k), step(plain, 5, k))
        assert_same(step(ours, 5, k, training=False), step(plain, 5, k, training=False))


class Twice:
    """Mixed in before a layer."""

    def forward(self, x, *, training=False):
        self.calls = getattr(self, "calls", 0) + 1
        return 2 * super().forward(x, training=training)


class MixedIn(Twice, tn.BatchNorm):
    pass


class Subclass(tn.BatchNorm):
    def empty(self, role, shape, **reuse):
        self.calls = getattr(self, "calls", 0) + 1
        return super().empty(role, shape, **reuse)


class Property(tn.BatchNorm):
    calls = 0

    @property
    def eps(self):
        self.__dict__["calls"] = self.calls + 1
        return 10.0 ** -(self.calls % 5)

    @eps.setter
    def eps(self, value):
        pass


@pytest.mark.parametrize("kind", [MixedIn, Subclass, Property])
def test_the_python_of_a_class_that_does_not_say_so_runs_at_every_step(kind):
    net = tn.Sequential([tn.Dense(5), kind(), tn.Dense(3)], inputs=4, seed=0)
    found = []
    for k in range(4):
        found.append(step(net, 5, 0)[0])
        assert list(net.layers.values())[1].calls >= k + 1
    if kind is Property:
        assert np.abs(found[0] - found[1]).max() > 1e-3


@pytest.mark.parametrize("of", ["the layer", "its class"])
@pytest.mark.parametrize("method", ["forward", "backward", "parameter_gradients"])
@pytest.mark.parametrize("before", [0, 2])
def test_a_method_that_is_exchanged_runs_at_every_step(monkeypatch, of, method, before):
    ours, plain, calls = chain("Tanh"), by_layers(chain("Tanh")), []
    layer = "dense_1" if method == "parameter_gradients" else "dense_2"
    for k in range(before):
        assert_same(step(ours, 5, k), step(plain, 5, k))
    with monkeypatch.context() as patch:
        for net in (ours, plain):
            one = net.layers[layer]
            was = getattr(one if of == "the layer" else tn.Dense, method)

            def exchanged(*arguments, was=was, **named):
                calls.append(arguments)
                return was(*arguments, **named)

            if of == "the layer" or net is ours:
                patch.setattr(one if of == "the layer" else tn.Dense, method, exchanged)
        for k in range(3):
            x, dy = batch(ours, 5, k)
            ours.forward(x, training=True)
            ours.backward(dy, input_gradient=False)
            assert len(calls) >= k + 1
            plain.forward(x, training=True)
            plain.backward(dy, input_gradient=False)
            assert_same(ours.grads.values(), plain.grads.values())
    calls.clear()
    step(ours, 5, 0)
    assert not calls


def test_after_a_refused_forward_there_is_nothing_to_go_back_through_until_the_next():
    ours, plain = chain(), chain()
    for k in range(3):
        x, dy = batch(ours, 5, k)
        for net in (ours, plain):
            net.forward(x, training=True)
        with pytest.raises(tn.InputError, match="at least 2 examples"):
            ours.forward(x[:1], training=True)
        with pytest.raises(tn.InputError, match="backward needs a forward"):
            ours.backward(dy)
        assert_same(step(ours, 5, k), step(plain, 5, k))


def test_predictions_in_threads_leave_the_training_as_it_is():
    data = tn.Dataset(np.random.default_rng(0).normal(size=(90, 4)), np.arange(90) % 3)

    def trained(net):
        for size in (7, 8, 9, 10, 11):  # each size is recorded anew
            tn.fit(net, data, epochs=1, batch_size=size, seed=size, optimizer=tn.SGD(0.1, momentum=0.9))
        return [a.copy() for a in (net.params | net.state).values()]

    expected = trained(graph())
    for _ in range(5):
        net, over = graph(), threading.Event()

        def predict(net=net, over=over):
            rng = np.random.default_rng(1)
            while not over.is_set():
                net.forward(data.x[: rng.integers(1, 60)])

        with ThreadPoolExecutor(3) as pool:
            asked = [pool.submit(predict) for _ in range(3)]
            try:
                assert_same(trained(net), expected)
            finally:
                over.set()
            assert not any(one.exception() for one in asked)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no timer that interrupts")
def test_a_signals_handler_may_predict_while_a_network_trains():
    data = tn.Dataset(np.random.default_rng(0).normal(size=(90, 4)), np.arange(90) % 3)
    ours, plain, answers, rows = graph(), graph(), [], np.random.default_rng(1)

    def handler(*_):
        answers.append(ours.forward(data.x[: rows.integers(1, 60)]))
        signal.setitimer(signal.ITIMER_REAL, 0.001)  # once more: two at a time would never end

    def trained(net):
        for size in range(5, 12):
            tn.fit(net, data, epochs=1, batch_size=size, seed=size)
        return (net.params | net.state).values()

    trained(graph())  # compiled
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005)
    try:
        trained(ours)
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)  # first: the handler would set the timer once more
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(answers) > 5
    assert_same((ours.params | ours.state).values(), trained(plain))


class InterruptedAt:
    """Raise KeyboardInterrupt at the n-th instruction of tinynet's own Python."""

    def __init__(self, n):
        self.left = n

    def __enter__(self):
        self.outer = sys.gettrace()
        sys.settrace(self.trace)

    def __exit__(self, kind, *_):
        sys.settrace(self.outer)
        return kind is KeyboardInterrupt

    def trace(self, frame, event, _):
        if "tinynet" not in frame.f_code.co_filename or "tests" in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self.trace


@pytest.mark.slow
@pytest.mark.parametrize("recorded", [True, False])
def test_a_step_may_be_interrupted_at_any_instruction(recorded):
    for kernel_step in range(3):  # all is compiled
        step(graph(), 5, kernel_step, tn.SGD(0.1, momentum=0.9))
    n = 0
    while True:
        n += 61 if recorded else 211  # prime: in every loop each instruction has its turn
        ours, plain = graph(), graph()
        optimizers = [tn.SGD(0.1, momentum=0.9) for _ in range(2)]
        if recorded:
            for net, optimizer in zip((ours, plain), optimizers, strict=True):
                for k in range(3):
                    step(net, 5, k, optimizer)
                    step(net, 2, k, training=False)
        with InterruptedAt(n) as _:
            step(ours, 5, 7, optimizers[0])
            step(ours, 2, 7, training=False)
            break
        for net in (ours, plain):  # what an interrupted step leaves is between two: start from the same
            net.params.update({name: w.copy() for name, w in plain.params.items()})
            net.state.update(plain.state)
            net.layers["dropout_1"].rng = np.random.default_rng(n)
        for optimizer in optimizers:
            optimizer.attach(plain.params)
            optimizer.attach(graph().params)  # another network's: it starts anew
        dy = batch(ours, 5, 8)[1]
        with contextlib.suppress(tn.InputError):  # refused, or right
            again = ours.backward(dy)
            assert_same([again], [ours.backward(dy)])
        for k in range(9, 12):
            for rows in (5, 3):
                assert_same(*(step(net, rows, k, o) for net, o in zip((ours, plain), optimizers, strict=True)))
                assert_same(*(step(net, rows, k, training=False) for net in (ours, plain)))
    assert n > 300


def test_an_assignment_may_be_interrupted_at_any_instruction():
    n, assigned = 0, False
    while not assigned:
        n += 1
        net, plain = chain(), by_layers(chain())
        for k in range(3):
            step(net, 5, k)
        with InterruptedAt(n):
            net.layers["batch_norm_1"].eps = 0.5
            assigned = True
        plain.params.update(net.params)
        plain.state.update(net.state)
        plain.layers["batch_norm_1"].eps = net.layers["batch_norm_1"].eps  # the old one or the new one
        for k in range(2):
            assert_same(step(net, 5, k), step(plain, 5, k))
    assert n > 10
