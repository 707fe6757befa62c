"""What users of Keras, PyTorch and scikit-learn write first: it works, or one sentence shows what to write."""

import math
import warnings

import numpy as np
import pytest

import tinynet as tn
from tests.timeless import timeless

MOONS, OTHERS = tn.datasets.moons(60, seed=0), tn.datasets.moons(30, seed=1)
PLAIN = {"steps": 3, "batch_size": 10, "seed": 0}


def network(**settings):
    return tn.mlp(2, [4], 2, **{"seed": 0} | settings)


def result(*arguments, make=network, **settings):
    """History and weights after a short training."""
    net = make()
    history = tn.fit(net, *(arguments or (MOONS,)), **PLAIN | settings)
    return repr(timeless(history)), {name: array.tobytes() for name, array in {**net.params, **net.state}.items()}


def one_sentence(error):
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 250
    return text


# -- what works -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("guess", "meant"),
    [
        ({"epochs": 2.0, "steps": None}, {"epochs": 2, "steps": None}),
        ({"steps": 1e1}, {"steps": 10}),
        ({"steps": np.float32(10)}, {"steps": 10}),
        ({"steps": np.int64(10)}, {"steps": 10}),
        ({"batch_size": 20.0}, {"batch_size": 20}),
        ({"validate_every": 2.0}, {"validate_every": 2}),
        ({"loss": tn.SoftmaxCrossEntropy}, {}),
        ({"callbacks": None}, {}),
        ({"callbacks": tn.Callback()}, {}),
        ({"callbacks": (tn.Callback() for _ in range(2))}, {}),
        ({"validation": (OTHERS.x, OTHERS.y)}, {"validation": OTHERS}),
        ({"validation": [OTHERS.x.tolist(), OTHERS.y.tolist()]}, {"validation": OTHERS}),
        ({"history": None, "optimizer": None, "validation": None}, {}),
    ],
)
def test_what_can_mean_one_thing_only_works(guess, meant):
    assert result(**guess) == result(**meant)


def test_examples_and_labels_are_a_data_set():
    meant = result(MOONS)
    assert result(MOONS.x, MOONS.y) == meant
    assert result((MOONS.x, MOONS.y)) == meant
    assert result(MOONS.x.tolist(), y=MOONS.y.tolist()) == meant
    net = network()
    assert tn.evaluate(net, (OTHERS.x, OTHERS.y)) == tn.evaluate(net, OTHERS)


def test_a_regressions_loss_may_be_its_class():
    train = tn.Dataset(MOONS.x, np.eye(2)[MOONS.y])
    assert result(train, loss=tn.MeanSquaredError) == result(train, loss=tn.MeanSquaredError())
    net = network()
    assert tn.evaluate(net, train, tn.MeanSquaredError)[0] == tn.evaluate(net, train, tn.MeanSquaredError())[0]


def test_one_callback_need_not_be_in_a_list():
    probe = tn.Probe(every=1)
    result(callbacks=probe)
    assert probe.steps == [0, 1, 2]


def test_a_run_is_resumed_with_the_same_guesses(tmp_path):
    class Stop(tn.Callback):
        def on_step(self, run):
            run.stop = True

    net, whole, probe = network(), network(), tn.Probe(every=1)
    tn.fit(whole, MOONS, **PLAIN)
    tn.fit(net, MOONS.x, MOONS.y, **PLAIN, callbacks=Stop(), checkpoint=str(tmp_path / "run"))
    back, _ = tn.resume(str(tmp_path / "run"), (MOONS.x, MOONS.y), callbacks=probe)
    assert probe.steps == [1, 2]
    for name, array in whole.params.items():
        np.testing.assert_array_equal(back.params[name], array)


# -- what is refused, with the line to write ------------------------------------------------------------------

ADAM = r"tinynet has SGD; write optimizer=tn\.SGD\(lr=0\.1, momentum=0\.9\)"
CLASS = r"write optimizer=tn\.SGD\(lr=0\.1\)"
MSE, ENTROPY = (rf"write loss=tn\.{name}\(\)$" for name in ("MeanSquaredError", "SoftmaxCrossEntropy"))


class Adam:
    def step(self):
        pass


@pytest.mark.parametrize(
    ("guess", "message"),
    [
        ({"optimizer": "adam"}, f"^optimizer='adam': {ADAM}$"),
        ({"optimizer": "sgd"}, f"^optimizer='sgd': {ADAM}$"),
        ({"optimizer": Adam()}, f"^optimizer=Adam: {ADAM}$"),
        ({"optimizer": Adam}, f"^optimizer=Adam: {ADAM}$"),
        ({"optimizer": tn.SGD}, f"^optimizer=SGD: {CLASS}$"),
        ({"optimizer": 0.01}, r"^optimizer=0.01: write optimizer=tn\.SGD\(lr=0\.01\)$"),
        ({"loss": "mse"}, f"^loss='mse': {MSE}"),
        ({"loss": "mean_squared_error"}, MSE),
        ({"loss": "squared_error"}, MSE),
        ({"loss": "cross_entropy"}, ENTROPY),
        ({"loss": "sparse_categorical_crossentropy"}, ENTROPY),
        ({"loss": np.square}, r"^loss: give tn\.SoftmaxCrossEntropy\(\) or tn\.MeanSquaredError\(\), not ufunc$"),
        ({"loss": tn.SGD}, r"^loss: give tn\.SoftmaxCrossEntropy\(\) or tn\.MeanSquaredError\(\), not SGD$"),
        ({"callbacks": [tn.Probe]}, r"^callbacks: Probe is a class; write callbacks=\[Probe\(\.\.\.\)\]$"),
        ({"callbacks": tn.Probe}, r"^callbacks: Probe is a class; write callbacks=\[Probe\(\.\.\.\)\]$"),
        ({"callbacks": [print]}, r"^callbacks: builtin_function_or_method is no tn\.Callback; make a class of it"),
        ({"callbacks": 7}, r"^callbacks: 7 is no tn\.Callback"),
        ({"callbacks": "probe"}, r"^callbacks: str is no tn\.Callback"),
        ({"history": []}, r"^history: give tn\.History\(\), to which the records are added, not list$"),
        ({"history": tn.History}, r"^history: give tn\.History\(\), .* not History$"),
        ({"validation": 0.2}, r"^validation: must be a tn\.Dataset, not 0.2; wrap arrays: tn\.Dataset\(x, y\)$"),
        ({"validation": OTHERS.x}, r"^validation: must be a tn\.Dataset, not ndarray; wrap arrays"),
        ({"y": OTHERS}, r"^fit: give the second data set as validation=\.\.\.$"),
        ({"y": MOONS.y}, "^fit: the data set has its labels already; leave y out$"),
    ],
)
def test_what_is_refused_shows_what_to_write(tmp_path, guess, message):
    net = network()
    before = {name: array.copy() for name, array in net.params.items()}
    with pytest.raises(tn.InputError, match=message) as error:
        tn.fit(net, MOONS, **PLAIN, **guess, checkpoint=tmp_path / "run")
    one_sentence(error)
    for name, array in net.params.items():
        np.testing.assert_array_equal(array, before[name])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("use", [lambda net: tn.fit(net, MOONS, **PLAIN), lambda net: tn.evaluate(net, MOONS)])
@pytest.mark.parametrize(
    ("net", "message"),
    [
        (MOONS, "not Dataset$"),
        (tn.Network, "not Network$"),
        (tn.Dense(2), r"not Dense; make one of layers by tn\.Sequential"),
        (None, "not NoneType$"),
    ],
)
def test_what_is_no_network_is_named(use, net, message):
    with pytest.raises(tn.InputError, match=rf"^net: the first argument is the network, .*{message}") as error:
        use(net)
    one_sentence(error)


def test_labels_in_the_place_of_a_loss_are_told_where_they_belong():
    with pytest.raises(tn.InputError, match=r"labels are given with their examples, as tn\.Dataset\(x, y\)"):
        tn.evaluate(network(), MOONS.x, MOONS.y)


# -- a softmax under a softmax --------------------------------------------------------------------------------


def ending_in_softmax(classes=10):
    return tn.Sequential([tn.Dense(classes), tn.Softmax()], inputs=2, seed=0)


TEN = tn.Dataset(np.random.default_rng(0).normal(size=(40, 2)), np.arange(40) % 10)
SENTENCE = "ends in Softmax, and SoftmaxCrossEntropy takes logits: .* never below 1.4612, .*; leave that layer out"


@pytest.mark.parametrize(
    "use",
    [lambda net: tn.fit(net, TEN, steps=1, validation=TEN, seed=0), lambda net: tn.evaluate(net, TEN)],
    ids=["fit", "evaluate"],
)
def test_a_softmax_layer_under_a_loss_that_has_its_own_is_warned_of_once_at_the_users_line(use):
    with pytest.warns(UserWarning, match=SENTENCE) as seen:
        use(ending_in_softmax())
    assert [warning.filename for warning in seen] == [__file__]


def test_the_warning_says_what_the_loss_cannot_fall_below():
    net = ending_in_softmax(3)
    net.params["dense_1.weight"][:] = 0
    net.params["dense_1.bias"][:] = [1000, 0, 0]  # as sure and right as can be
    data = tn.Dataset(TEN.x, np.zeros(len(TEN), int))
    with pytest.warns(UserWarning, match="never below 0.5514,"):
        loss, accuracy = tn.evaluate(net, data)
    assert loss == pytest.approx(math.log(math.e + 2) - 1, rel=1e-6)
    assert (round(loss, 4), accuracy) == (0.5514, 1)


def test_a_softmax_elsewhere_or_under_another_loss_is_nobodys_business():
    inside = tn.Sequential([tn.Dense(10), tn.Softmax(), tn.Dense(10)], inputs=2, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tn.fit(inside, TEN, steps=1, seed=0)
        one_hot = tn.Dataset(TEN.x, np.eye(10)[TEN.y])
        tn.fit(ending_in_softmax(), one_hot, loss=tn.MeanSquaredError(), steps=1, seed=0)
        tn.evaluate(ending_in_softmax(), one_hot, tn.MeanSquaredError())
        ending_in_softmax().forward(TEN.x)
