import math

import numpy as np
import pytest

import tinynet as tn


def kinds(net):
    return [type(layer).__name__ for layer in net.layers.values()]


def test_a_plain_mlp_is_dense_and_activation_then_dense():
    net = tn.mlp(4, [6, 5], 3, activation="tanh", seed=0)
    assert kinds(net) == ["Dense", "Tanh", "Dense", "Tanh", "Dense"]
    assert [layer.units for layer in net.layers.values() if isinstance(layer, tn.Dense)] == [6, 5, 3]


@pytest.mark.parametrize(("norm", "layer"), [("batch", "BatchNorm"), ("layer", "LayerNorm")])
def test_normalization_stands_just_before_each_activation(norm, layer):
    assert kinds(tn.mlp(4, [6, 5], 3, norm=norm, seed=0)) == ["Dense", layer, "ReLU", "Dense", layer, "ReLU", "Dense"]


def test_dropout_stands_after_each_activation():
    net = tn.mlp(4, [6], 3, norm="batch", dropout=0.25, seed=0)
    assert kinds(net) == ["Dense", "BatchNorm", "ReLU", "Dropout", "Dense"]
    assert net.layers["dropout_1"].rate == 0.25


@pytest.mark.parametrize(("norm", "hidden_bias"), [("batch", False), ("layer", True), (None, True)])
def test_only_before_batch_norm_there_is_no_bias(norm, hidden_bias):
    net = tn.mlp(4, [6, 5], 3, norm=norm, seed=0)
    assert [f"dense_{k}.bias" in net.params for k in (1, 2, 3)] == [hidden_bias, hidden_bias, True]


def test_without_hidden_layers_it_is_one_dense_layer():
    assert kinds(tn.mlp(4, [], 3, seed=0)) == ["Dense"]


@pytest.mark.parametrize(
    ("activation", "gain"),
    [("relu", 2), ("leaky_relu", 2), ("elu", 2), ("gelu", 2), ("selu", 1), ("sigmoid", None), ("tanh", None)],
)
def test_weights_start_as_suits_the_activation(activation, gain):
    inputs, units = 400, 200
    weight = tn.mlp(inputs, [units], 3, activation=activation, seed=0).params["dense_1.weight"]
    variance = 2 / (inputs + units) if gain is None else gain / inputs  # Glorot, He and LeCun
    assert weight.var(dtype="float64") == pytest.approx(variance, rel=5 * math.sqrt(2 / weight.size))


def test_the_last_layer_starts_with_glorot():
    weight = tn.mlp(10, [400], 200, seed=0).params["dense_2.weight"]
    assert weight.var(dtype="float64") == pytest.approx(2 / 600, rel=5 * math.sqrt(2 / weight.size))


def test_a_named_initializer_is_every_weights():
    net = tn.mlp(4, [6], 3, init="constant(0.5)", seed=0)
    for name in ("dense_1.weight", "dense_2.weight"):
        assert set(net.params[name].ravel()) == {0.5}


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu"])
def test_every_activation_goes_by_its_name(activation):
    net = tn.mlp(4, [6], 3, activation=activation, seed=0, dtype="float64")
    assert f"{activation}_1" in net.layers
    assert net.forward(np.ones((2, 4))).dtype == np.float64


@pytest.mark.parametrize(("wrong", "near"), [("sigmod", "sigmoid"), ("rellu", "relu"), ("leaky", "leaky_relu")])
def test_an_unknown_activation_suggests_the_near_one(wrong, near):
    with pytest.raises(tn.InputError, match=f"unknown activation '{wrong}'; did you mean '{near}'"):
        tn.mlp(4, [6], 3, activation=wrong)


@pytest.mark.parametrize("wrong", [None, np.tanh, 7, tn.Dataset])
def test_an_activation_that_is_neither_name_nor_layer_is_refused(wrong):
    with pytest.raises(tn.InputError, match="give a name such as 'relu'"):
        tn.mlp(4, [6], 3, activation=wrong)


@pytest.mark.parametrize("wrong", ["silu", "SiLU", "swish"])
def test_an_activation_that_is_not_here_is_not_taken_for_a_slip_of_the_pen(wrong):
    with pytest.raises(tn.InputError, match=f"activation '{wrong}': tinynet has none; the nearest is 'gelu'"):
        tn.mlp(4, [6], 3, activation=wrong)


@pytest.mark.parametrize(("what", "layer"), [("activation", tn.Dense), ("norm", tn.Dense)])
def test_a_class_that_needs_settings_is_refused(what, layer):
    with pytest.raises(tn.InputError, match=rf"{what}: Dense needs its settings; give Dense\(\.\.\.\)"):
        tn.mlp(4, [6], 3, **{what: layer})


def same(ours, theirs):
    assert str(ours) == str(theirs)
    for name, array in theirs.params.items():
        np.testing.assert_array_equal(ours.params[name], array)


@pytest.mark.parametrize(
    "hidden",
    [6, np.int64(6), 6.0, np.array(6), (6,), np.array([6]), range(6, 7), iter([6]), {6: "units"}, [np.uint8(6)]],
)
def test_units_may_be_a_number_or_anything_that_can_be_gone_through(hidden):
    same(tn.mlp(4, hidden, 3, seed=1), tn.mlp(4, [6], 3, seed=1))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"activation": tn.Tanh}, {"activation": "tanh"}),
        ({"activation": tn.Tanh()}, {"activation": "tanh"}),
        ({"activation": "Tanh"}, {"activation": "tanh"}),
        ({"activation": "ReLU"}, {"activation": "relu"}),
        ({"activation": "LeakyReLU"}, {"activation": "leaky_relu"}),
        ({"norm": tn.BatchNorm}, {"norm": "batch"}),
        ({"norm": tn.BatchNorm()}, {"norm": "batch"}),
        ({"norm": tn.LayerNorm}, {"norm": "layer"}),
        ({"norm": False}, {"norm": None}),
        ({"dropout": None}, {}),
        ({"init": None}, {}),
    ],
)
def test_a_layer_is_known_by_its_class_its_settings_or_its_name(given, meant):
    same(tn.mlp(4, [6, 5], 3, seed=1, **given), tn.mlp(4, [6, 5], 3, seed=1, **meant))


def test_each_place_gets_a_layer_of_its_own_with_the_settings_given():
    norm, activation = tn.BatchNorm(eps=0.5), tn.LeakyReLU(0.2)
    net = tn.mlp(4, [6, 5], 3, norm=norm, activation=activation, seed=0)
    layers = list(net.layers.values())
    assert [layer.eps for layer in layers if isinstance(layer, tn.BatchNorm)] == [0.5, 0.5]
    assert [layer.slope for layer in layers if isinstance(layer, tn.LeakyReLU)] == [0.2, 0.2]
    assert not {id(layer) for layer in layers} & {id(norm), id(activation)}


def test_a_layer_of_ones_own_may_be_the_activation():
    class Square(tn.Layer):
        kind = "square"

        def forward(self, x, *, training=False):
            return np.square(self.checked(x))

    net = tn.mlp(4, [6], 3, activation=Square, seed=0)
    x = np.ones((2, 4), "float32")
    hidden = np.square(x @ net.params["dense_1.weight"])
    np.testing.assert_allclose(net.forward(x), hidden @ net.params["dense_2.weight"], rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": "100"}, "mlp: hidden must be a number, not '100'"),
        ({"hidden": None}, "mlp: hidden must be a number, not None"),
        ({"hidden": 6.5}, "mlp: hidden must be a whole number, not 6.5"),
        ({"hidden": ["100"]}, "mlp: hidden must be a number, not '100'"),
        ({"hidden": [[6, 5]]}, r"mlp: hidden must be a number, not \[6, 5\]"),
        ({"inputs": (4,)}, r"mlp: inputs must be a number, not \(4,\)"),
        ({"inputs": 4.5}, "mlp: inputs must be a whole number, not 4.5"),
        ({"outputs": None}, "mlp: outputs must be a number, not None"),
        ({"norm": True}, "unknown norm .*'True'; known: batch, layer"),
        ({"dropout": "half"}, "Dropout: rate must be a number, not 'half'"),
    ],
)
def test_what_is_no_size_or_setting_is_named(settings, message):
    with pytest.raises(tn.InputError, match=message):
        tn.mlp(**{"inputs": 4, "hidden": [6], "outputs": 3} | settings)


@pytest.mark.parametrize(
    ("wrong", "message"), [("batchnorm", "did you mean 'batch'"), ("none", "known: batch, layer")]
)
def test_an_unknown_norm_suggests_the_near_one(wrong, message):
    with pytest.raises(tn.InputError, match=rf"unknown norm \(None for none\) '{wrong}'; {message}"):
        tn.mlp(4, [6], 3, norm=wrong)


def test_an_unknown_initializer_suggests_the_near_one():
    with pytest.raises(tn.InputError, match="did you mean 'he_normal'"):
        tn.mlp(4, [6], 3, init="he_norm")


@pytest.mark.parametrize("settings", [{"hidden": [0]}, {"outputs": 0}, {"inputs": 0}, {"dropout": 1.0}])
def test_sizes_below_one_and_impossible_rates_are_refused(settings):
    with pytest.raises(tn.InputError, match=r"not (0|1\.0)"):
        tn.mlp(**{"inputs": 4, "hidden": [6], "outputs": 3} | settings)


@pytest.mark.parametrize("settings", [{"norm": "batchnorm"}, {"activation": "sigmod"}])
def test_what_no_layer_uses_is_looked_at_too(settings):
    with pytest.raises(tn.InputError, match="did you mean"):
        tn.mlp(4, [], 3, **settings)


def test_absurd_depths_are_refused_at_once():
    with pytest.raises(tn.InputError, match="at most 100,000 hidden layers can be built, not 100,001"):
        tn.mlp(4, [1] * 100_001, 3)
