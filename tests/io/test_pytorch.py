"""Weights from and to PyTorch, against a model that PyTorch trained and saved (tests/vectors)."""

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import tinynet as tn
from tests import vectors
from tinynet.io.pytorch import to_torch_state

CLOSE = {"rtol": 1e-6, "atol": 1e-6}


@pytest.fixture(scope="module")
def torch():
    return vectors.torch_state()


def twin(dtype="float32"):
    """The model of tests/vectors/make_torch_state_vectors.py, with decay = 1 - momentum."""
    layers = [
        *(tn.Dense(5), tn.BatchNorm(), tn.Sigmoid(), tn.Dropout(0.25)),
        *(tn.Dense(8, bias=False), tn.BatchNorm(decay=0.7, eps=1e-3), tn.LeakyReLU(0.2)),
        *(tn.Dense(7), tn.LayerNorm(eps=2e-3), tn.ELU(0.7), tn.Tanh(), tn.ReLU()),
        *(tn.Dense(4), tn.SELU(), tn.GELU(), tn.Dense(3), tn.Softmax()),
    ]
    return tn.Sequential(layers, inputs=6, seed=0, dtype=dtype)


def everything(net):
    return {name: array.copy() for name, array in {**net.params, **net.state}.items()}


def assert_same(ours, theirs):
    assert list(ours) == list(theirs)
    for name, array in theirs.items():
        assert (ours[name].dtype, ours[name].shape) == (array.dtype, array.shape), name
        np.testing.assert_array_equal(ours[name], array, err_msg=name)


# -- from PyTorch ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_that_pytorch_saved_computes_the_same_here(torch, dtype):
    net = twin(dtype)
    tn.from_torch_state(net, vectors.STATE)
    np.testing.assert_allclose(net.forward(torch["x"].astype(dtype)), torch["outputs"], **CLOSE)


def test_decay_is_1_minus_momentum(torch):
    net = twin()
    tn.from_torch_state(net, str(vectors.STATE))
    ours = [tn.Sequential([layer.copy()], inputs=layer.features[0]) for layer in net.layers.values()]
    x = torch["more"]
    for layer in ours:  # one by one: dropout stands still, everything else trains
        x = layer.forward(x, training="dropout_1" not in layer.layers)
    np.testing.assert_allclose(x, torch["training_outputs"], **CLOSE)
    for k in (1, 5):
        for name in ("running_mean", "running_var"):
            np.testing.assert_allclose(
                ours[k].state[f"batch_norm_1.{name}"], torch[f"after.{k}.{name}"], **CLOSE, err_msg=f"{k}.{name}"
            )


def test_names_layout_and_values_are_pytorchs():
    net, arrays = twin(), load_file(vectors.STATE)
    tn.from_torch_state(net, vectors.STATE)
    pairs = {
        "dense_1.weight": arrays["0.weight"].T,
        "dense_1.bias": arrays["0.bias"],
        "batch_norm_1.gamma": arrays["1.weight"],
        "batch_norm_1.beta": arrays["1.bias"],
        "batch_norm_1.running_mean": arrays["1.running_mean"],
        "batch_norm_1.running_var": arrays["1.running_var"],
        "dense_2.weight": arrays["4.weight"].T,
        "batch_norm_2.gamma": arrays["5.weight"],
        "layer_norm_1.gamma": arrays["8.weight"],
        "layer_norm_1.beta": arrays["8.bias"],
        "dense_5.weight": arrays["15.weight"].T,
    }
    for name, array in pairs.items():
        np.testing.assert_array_equal(everything(net)[name], array, err_msg=name)


def test_a_state_dict_in_memory_does_as_well_and_stays_its_owners(torch):
    given, net = load_file(vectors.STATE), twin()
    before = {name: array.copy() for name, array in given.items()}
    tn.from_torch_state(net, given)
    np.testing.assert_allclose(net.forward(torch["x"]), torch["outputs"], **CLOSE)
    net.params["dense_1.bias"] += 1
    assert_same(given, before)


@pytest.mark.parametrize("rename", ["net.{}", "model.body.{}", "_orig_mod.{}"])
def test_the_sequential_may_be_part_of_a_larger_module(torch, rename):
    net = twin()
    tn.from_torch_state(net, {rename.format(name): array for name, array in load_file(vectors.STATE).items()})
    np.testing.assert_allclose(net.forward(torch["x"]), torch["outputs"], **CLOSE)


def shifted(arrays, by):
    return {f"{int(k) + by}.{rest}": a for (k, rest), a in ((n.split(".", 1), a) for n, a in arrays.items())}


def test_modules_without_arrays_may_come_first_as_flatten_does(torch):
    net = twin()
    tn.from_torch_state(net, shifted(load_file(vectors.STATE), 1))
    np.testing.assert_allclose(net.forward(torch["x"]), torch["outputs"], **CLOSE)


def test_but_a_module_too_many_in_the_middle_is_another_model():
    arrays = load_file(vectors.STATE)
    arrays["16.weight"], arrays["16.bias"] = arrays.pop("15.weight"), arrays.pop("15.bias")
    with pytest.raises(tn.FileFormatError, match=r"15\.bias, 15\.weight, 16\.bias, 16\.weight"):
        tn.from_torch_state(twin(), arrays)


def test_the_count_of_batches_is_not_needed():
    net, given = twin(), load_file(vectors.STATE)
    tn.from_torch_state(net, {name: a for name, a in given.items() if not name.endswith("tracked")})
    np.testing.assert_array_equal(net.params["dense_1.bias"], given["0.bias"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"0.weight": np.ones((5, 7), "float32")}, r"0\.weight is float32 \(5, 7\), not float32 \(5, 6\)"),
        ({"0.weight": np.ones((6, 5), "float32")}, r"0\.weight is float32 \(6, 5\), not float32 \(5, 6\)"),
        ({"0.weight": np.ones((5, 6), "int64")}, r"0\.weight is int64 \(5, 6\), not float32 \(5, 6\)"),
        ({"8.bias": np.ones((), "float32")}, r"8\.bias is float32 \(\), not float32 \(7,\)"),
        ({"15.bias": None}, r"missing or not in the architecture: 15\.bias"),
        ({"1.running_var": None}, r"missing or not in the architecture: 1\.running_var"),
        ({"2.weight": np.ones(5, "float32")}, r"missing or not in the architecture: 2\.weight"),
        ({"fc.weight": np.ones(5, "float32")}, "'fc.weight' is no name in a torch.nn.Sequential"),
        ({"01.weight": np.ones(5, "float32")}, r"'01.weight' is no name"),
        ({"b.0.weight": np.ones(5, "float32")}, r"holds several modules \(, b\.\)"),
        ({"x" * 10_000: np.ones(5, "float32")}, r"'x{100}\.\.\.' is no name"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_half_filled(tmp_path, change, message):
    net = twin()
    before = everything(net)
    arrays = {name: a for name, a in (load_file(vectors.STATE) | change).items() if a is not None}
    save_file(arrays, tmp_path / "model.safetensors")
    for source, where in ((arrays, "state dict: "), (tmp_path / "model.safetensors", r"model\.safetensors: ")):
        with pytest.raises(tn.FileFormatError, match=f"{where}.*{message}"):
            tn.from_torch_state(net, source)
    assert_same(everything(net), before)


def test_an_empty_file_is_refused(tmp_path):
    save_file({}, tmp_path / "empty.safetensors")
    with pytest.raises(tn.FileFormatError, match=r"empty\.safetensors: arrays missing"):
        tn.from_torch_state(tn.mlp(2, [3], 2), tmp_path / "empty.safetensors")


def test_a_tensor_that_numpy_cannot_have_is_named():
    class OnAnotherDevice:
        def __array__(self, *_, **__):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")

    with pytest.raises(tn.InputError, match=r"0\.weight is no array \(can't c.*value\.detach\(\)\.float\(\)\.cpu\(\)"):
        tn.from_torch_state(tn.mlp(2, [3], 2), {"0.weight": OnAnotherDevice()})


def rounded(arrays):
    """The arrays with numbers that bfloat16 and float16 have, by name."""
    return {name: np.round(a * 8) / 8 if a.dtype.kind == "f" else a for name, a in arrays.items()}


class BFloat16:
    """What a bfloat16 tensor of PyTorch is, as seen from NumPy."""

    dtype = "torch.bfloat16"

    def __init__(self, array):
        self.array = array

    def __array__(self, *_, **__):
        raise TypeError("Got unsupported ScalarType BFloat16")

    def float(self):
        return self.array.astype(np.float32)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("given", ["float16", "bfloat16", "float64"])
def test_any_float_type_will_do(dtype, given):
    arrays = rounded(load_file(vectors.STATE))
    expected, net = twin(dtype), twin(dtype)
    tn.from_torch_state(expected, arrays)
    floats = {name: a for name, a in arrays.items() if a.dtype.kind == "f"}
    tn.from_torch_state(
        net, arrays | {n: BFloat16(a) if given == "bfloat16" else a.astype(given) for n, a in floats.items()}
    )
    assert_same(everything(net), everything(expected))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_file_of_bfloat16_has_the_numbers_that_pytorch_rounded_to(dtype):
    with safe_open(vectors.BFLOAT16, "numpy") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"BF16", "I64"}  # noqa: SIM118
    net, whole = twin(dtype), twin(dtype)
    tn.from_torch_state(net, vectors.BFLOAT16)
    tn.from_torch_state(whole, vectors.STATE)
    for name, array in everything(whole).items():
        read = everything(net)[name].astype("float32")
        assert not (read.view("u4") & 0xFFFF).any(), name  # eight digits of the fraction, the first not written
        assert (abs(read - array) <= abs(array) * 2.0**-8).all(), name


def test_numbers_that_the_network_cannot_hold_are_named():
    net, given = twin(), {name: a.astype("float64") for name, a in load_file(vectors.STATE).items()}
    before = everything(net)
    given["0.weight"][2, 3] = 1e300
    with pytest.raises(tn.FileFormatError, match=r"0\.weight has numbers that float32 cannot .*dtype='float64'"):
        tn.from_torch_state(net, given)
    assert_same(everything(net), before)
    tn.from_torch_state(twin("float64"), given)


@pytest.mark.parametrize(
    ("name", "value"),
    [("running_var", -0.25), ("running_var", np.nan), ("running_var", np.inf), ("running_mean", -np.inf)],
)
def test_a_statistic_that_cannot_be_is_named_and_nothing_is_filled(tmp_path, name, value):
    net = twin()
    before, given = everything(net), load_file(vectors.STATE)
    given[f"5.{name}"][3] = value
    save_file(given, tmp_path / "model.safetensors")
    for source, where in ((given, "state dict"), (tmp_path / "model.safetensors", r"model\.safetensors")):
        with pytest.raises(tn.FileFormatError, match=rf"{where}: 5\.{name}\[3\] is {value}, and must be a finite"):
            tn.from_torch_state(net, source)
    assert_same(everything(net), before)
    net.state[f"batch_norm_2.{name}"][3] = value
    with pytest.raises(tn.InputError, match=rf"out: 5\.{name}\[3\] is {value}, .*calibrate"):
        to_torch_state(net, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_network_that_branches_has_no_sequential():
    x = tn.Input(3)
    h = tn.ReLU()(tn.Dense(3)(x))
    net = tn.Network(x, tn.Dense(2)(tn.Add()(x, h)))
    for use in (to_torch_state, tn.torch_sequential, lambda net: tn.from_torch_state(net, {})):
        with pytest.raises(tn.InputError, match=r"Add: a .* is a chain, and this network branches"):
            use(net)


def test_layers_that_pytorch_does_not_have_are_named():
    class Mine(tn.ReLU):
        pass

    for layer, name in ((Mine(), "Mine"), (tn.Concat(), "Concat")):
        with pytest.raises(tn.InputError, match=f"{name}: PyTorch has no such module"):
            to_torch_state(tn.Sequential([tn.Dense(2), layer], inputs=2))


# -- to PyTorch -----------------------------------------------------------------------------------------------


def test_what_goes_out_is_what_pytorch_had_saved(tmp_path):
    net, theirs = twin(), load_file(vectors.STATE)
    tn.from_torch_state(net, vectors.STATE)
    ours = to_torch_state(net, tmp_path / "out.safetensors")
    for name in theirs:
        if name.endswith("num_batches_tracked"):  # tinynet counts none
            theirs[name] = np.zeros_like(theirs[name])
    assert_same(dict(sorted(ours.items())), dict(sorted(theirs.items())))
    assert_same(dict(sorted(load_file(tmp_path / "out.safetensors").items())), dict(sorted(theirs.items())))


def test_the_file_says_which_model_it_belongs_to(torch, tmp_path):
    net = twin()
    to_torch_state(net, tmp_path / "out.safetensors")
    with safe_open(tmp_path / "out.safetensors", "numpy") as file:
        assert file.metadata()["format"] == "pt"
        assert file.metadata()["model"] == tn.torch_sequential(net) == str(torch["source"])
    assert tn.torch_sequential(twin("float64")) == f"{torch['source']}.double()"


def test_the_defaults_are_pytorchs_defaults():
    line = tn.torch_sequential(tn.mlp(3, [4], 2, norm="batch", activation="tanh"))
    assert "nn.BatchNorm1d(4, eps=1e-05, momentum=0.1), nn.Tanh()" in line
    assert "nn.LayerNorm(4, eps=1e-05)" in tn.torch_sequential(tn.mlp(3, [4], 2, norm="layer"))


@pytest.mark.parametrize(
    ("layer", "name", "value", "module"),
    [
        (tn.BatchNorm(), "eps", 0.5, "BatchNorm1d(6, eps=0.5, momentum=0.1)"),
        (tn.BatchNorm(), "eps", np.float32(0.25), "BatchNorm1d(6, eps=0.25, momentum=0.1)"),
        (tn.BatchNorm(), "decay", 0.7, "BatchNorm1d(6, eps=1e-05, momentum=0.3)"),
        (tn.LayerNorm(), "eps", 1, "LayerNorm(6, eps=1.0)"),
        (tn.LeakyReLU(), "slope", 0.4, "LeakyReLU(0.4)"),
        (tn.ELU(), "alpha", np.int64(2), "ELU(2.0)"),
        (tn.Dropout(), "rate", 0, "Dropout(0.0)"),
    ],
)
def test_a_setting_that_was_assigned_is_the_models(tmp_path, layer, name, value, module):
    net = tn.Sequential([layer], inputs=6)
    net.forward(np.ones((3, 6), "float32"), training=True)  # with the old setting
    setattr(layer, name, value)
    to_torch_state(net, tmp_path / "out.safetensors")
    with safe_open(tmp_path / "out.safetensors", "numpy") as file:
        assert file.metadata()["model"] == tn.torch_sequential(net) == f"nn.Sequential(nn.{module})"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_out_and_in_again_is_the_identity(tmp_path, dtype):
    net, other = twin(dtype), twin(dtype)
    data = tn.Dataset(np.random.default_rng(0).normal(size=(40, 6)), np.eye(3)[np.arange(40) % 3])
    tn.fit(net, data, loss=tn.MeanSquaredError(), steps=5, batch_size=8, seed=0)
    to_torch_state(net, tmp_path / "out.safetensors")
    tn.from_torch_state(other, tmp_path / "out.safetensors")
    assert_same(everything(other), everything(net))
    assert any((array != twin(dtype).params[name]).any() for name, array in other.params.items())


def test_what_is_handed_out_is_the_callers():
    net = twin()
    to_torch_state(net)["0.weight"][:] = 9
    assert (net.params["dense_1.weight"] != 9).all()
