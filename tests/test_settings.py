"""An assigned setting is checked as in the constructor, and is what repr, files and other programs are told."""

import math
import re

import numpy as np
import pytest

import tinynet as tn

SETTINGS = {  # layer, setting: a number that every kind of number can hold
    ("BatchNorm", "eps"): 0.5,
    ("BatchNorm", "decay"): 0.25,
    ("LayerNorm", "eps"): 0.5,
    ("LeakyReLU", "slope"): -2.0,
    ("ELU", "alpha"): 3.0,
    ("Dropout", "rate"): 0.75,
}
REFUSED = {"eps": [-1, math.nan, math.inf], "decay": [1, -0.1, math.nan], "rate": [1.5, 1, -1]}
REFUSED |= {"slope": [math.nan, math.inf], "alpha": [math.nan, -math.inf]}


def network(kind):
    layers = [tn.Dense(5), getattr(tn, kind)(), tn.Dense(3)]
    net = tn.Sequential(layers, inputs=4, seed=0)
    net.forward(np.random.default_rng(0).normal(size=(6, 4)).astype("float32"), training=True)
    return net, layers[1]


@pytest.mark.parametrize("number", [float, np.float64, np.float32, np.float16, np.array])
@pytest.mark.parametrize(("kind", "setting"), SETTINGS)
def test_an_assigned_setting_is_kept_as_pythons_own_number_and_said_everywhere(kind, setting, number, tmp_path):
    net, layer = network(kind)
    value = SETTINGS[kind, setting]
    setattr(layer, setting, number(value))
    assert type(getattr(layer, setting)) is float
    assert layer.config()[setting] == value
    assert f"{setting}={value}" in repr(layer)
    x = np.random.default_rng(1).normal(size=(6, 4)).astype("float32")
    expected = net.forward(x)
    net.save(tmp_path / "net.safetensors")
    for same in (tn.load(tmp_path / "net.safetensors"), net.fold() if kind != "BatchNorm" else net):
        np.testing.assert_array_equal(same.forward(x), expected)
        assert getattr(same.layers[layer.name], setting) == value


@pytest.mark.parametrize("whole", [0, 1])
@pytest.mark.parametrize(("kind", "setting"), SETTINGS)
def test_a_whole_number_is_saved_and_loaded(kind, setting, whole, tmp_path):
    if whole == 1 and setting in ("decay", "rate"):
        whole = False
    net, layer = network(kind)
    setattr(layer, setting, whole)
    net.save(tmp_path / "net.safetensors")
    assert getattr(tn.load(tmp_path / "net.safetensors").layers[layer.name], setting) == whole


@pytest.mark.parametrize(("kind", "setting"), SETTINGS)
def test_what_the_constructor_refuses_an_assignment_refuses_in_the_same_words(kind, setting):
    _, layer = network(kind)
    before = getattr(layer, setting)
    for value in [*REFUSED[setting], "0.5", None, 1j, [0.5, 0.5]]:
        with pytest.raises(tn.InputError, match=f"^{kind}: {setting} must") as made:
            getattr(tn, kind)(**{setting: value})
        with pytest.raises(tn.InputError, match=re.escape(str(made.value))):
            setattr(layer, setting, value)
        assert getattr(layer, setting) == before


@pytest.mark.parametrize(("setting", "value"), [("units", 6), ("bias", False), ("init", "he_normal")])
def test_a_setting_that_arrays_were_made_by_cannot_change(setting, value):
    dense = tn.Dense(5)
    setattr(dense, setting, value)
    assert getattr(dense, setting) == value
    net, _ = network("ReLU")
    with pytest.raises(tn.InputError, match=f"dense_1: {setting} cannot change once the layer is built"):
        setattr(net.layers["dense_1"], setting, value)


def test_a_checkpoint_goes_on_with_the_settings_that_were_assigned_on_the_way(tmp_path):
    data = tn.datasets.spirals(90, seed=0)

    class Assign(tn.Callback):
        def on_step(self, run):
            if run.step == 4:
                bn, dropout = run.net.layers["batch_norm_1"], run.net.layers["dropout_1"]
                bn.eps, bn.decay, dropout.rate = 1, np.float32(0.5), 0
                run.optimizer.momentum, run.optimizer.weight_decay = np.float32(0.5), 1
                run.optimizer.nesterov, run.optimizer.lr, run.optimizer.clip_norm = True, np.float32(0.05), 5

    class Stop(tn.Callback):
        def on_step(self, run):
            run.stop = run.step == 7

    def trained(*callbacks, checkpoint=None):
        net = tn.mlp(2, [8, 8], 3, norm="batch", dropout=0.5, seed=0)
        tn.fit(net, data, steps=12, callbacks=[Assign(), *callbacks], checkpoint=checkpoint)
        return net

    trained(Stop(), checkpoint=tmp_path / "run.safetensors")
    net, history = tn.resume(tmp_path / "run.safetensors", data)
    assert history.steps[-1] == 12
    for name, array in trained().params.items():
        np.testing.assert_array_equal(net.params[name], array)
