import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinynet as tn
from tinynet import files


def every_kind_of_layer(dtype="float32"):
    """A branching network with each layer that a file can name, its settings not the defaults."""
    x = tn.Input(4)
    a = tn.LeakyReLU(slope=0.2)(tn.BatchNorm(decay=0.7, eps=1e-3)(tn.Dense(6, bias=False, init="orthogonal")(x)))
    b = tn.ELU(alpha=0.5)(tn.LayerNorm(eps=1e-2)(tn.Dense(6, init="normal(0.3)")(x)))
    h = tn.Dropout(0.3)(tn.Concat()(tn.Add()(a, b, a), tn.Sigmoid()(a), x))
    for layer in (tn.Tanh(), tn.ReLU(), tn.SELU(), tn.GELU()):
        h = layer(tn.BatchNorm()(h))
    return tn.Network(x, tn.Softmax()(tn.Dense(3)(h)), seed=1, dtype=dtype)


def trained(net):
    data = tn.Dataset(np.random.default_rng(0).normal(size=(40, net.inputs)), np.arange(40) % net.outputs)
    tn.fit(net, data, steps=10, batch_size=8, seed=0)
    return net


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "net.safetensors"
    trained(tn.mlp(4, [5], 3, norm="batch", seed=0)).save(path)
    return path


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_comes_back_with_every_bit_and_the_same_outputs(tmp_path, dtype):
    net = trained(every_kind_of_layer(dtype))
    net.save(tmp_path / "net.safetensors")
    back = tn.load(tmp_path / "net.safetensors")
    assert back.dtype == dtype
    for role in ("params", "state"):
        ours, theirs = getattr(net, role), getattr(back, role)
        assert list(ours) == list(theirs)
        for name in ours:
            assert ours[name].tobytes() == theirs[name].tobytes()
            assert ours[name].dtype == theirs[name].dtype
    assert str(back) == str(net)  # layers with their settings, what each reads, sizes
    x = np.random.default_rng(1).normal(size=(9, 4))
    np.testing.assert_array_equal(back.forward(x.astype(dtype)), net.forward(x.astype(dtype)))


def test_the_running_statistics_are_among_what_comes_back(saved):
    state = tn.load(saved).state
    assert (state["batch_norm_1.running_mean"] != 0).any()
    assert (state["batch_norm_1.running_var"] != 1).any()


def test_a_loaded_network_trains_on_and_can_be_saved_again(saved, tmp_path):
    net = tn.load(saved)
    before = net.params["dense_1.weight"].copy()
    trained(net)
    assert (net.params["dense_1.weight"] != before).any()
    net.save(tmp_path / "again.safetensors")
    assert tn.load(tmp_path / "again.safetensors").params["dense_1.weight"].tobytes() == (
        net.params["dense_1.weight"].tobytes()
    )


def test_a_folded_network_comes_back(tmp_path, saved):
    small = tn.load(saved).fold()
    small.save(tmp_path / "small.safetensors")
    x = np.ones((2, 4), "float32")
    np.testing.assert_array_equal(tn.load(tmp_path / "small.safetensors").forward(x), small.forward(x))


def test_saving_replaces_the_old_file_and_leaves_nothing_besides(saved):
    old = saved.read_bytes()
    tn.mlp(4, [5], 3, norm="batch", seed=9).save(saved)
    assert saved.read_bytes() != old
    assert [path.name for path in saved.parent.iterdir()] == ["net.safetensors"]


def test_a_layer_of_ones_own_cannot_be_saved_and_no_file_is_left(tmp_path):
    class Mine(tn.ReLU):
        pass

    with pytest.raises(tn.InputError, match="Mine: a file can only name tinynet's own layers"):
        tn.Sequential([Mine()], inputs=2).save(tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_named(tmp_path):
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(tn.InputError, match=f"{path}: no such file"):
            tn.load(path)


def test_a_truncated_file_is_refused_by_name(saved):
    content = saved.read_bytes()
    for length in [*range(0, 40), len(content) // 2, len(content) - 1]:
        saved.write_bytes(content[:length])
        with pytest.raises(tn.FileFormatError, match=r"net\.safetensors: not a safetensors file"):
            tn.load(saved)


@pytest.mark.parametrize("content", [b"PK\3\4", b"\x89PNG\r\n", b"\xff" * 100, b"{}" * 50])
def test_a_file_of_another_kind_is_refused_by_name(saved, content):
    saved.write_bytes(content)
    with pytest.raises(tn.FileFormatError, match=r"net\.safetensors: not a safetensors file"):
        tn.load(saved)


@pytest.mark.parametrize("metadata", [{}, {"format": "pt"}, {"format": "tinynet", "version": "99"}])
def test_safetensors_of_other_software_or_another_version_are_refused_by_name(tmp_path, metadata):
    files.write_arrays(tmp_path / "other", {"w": np.ones(2)}, metadata)
    with pytest.raises(tn.FileFormatError, match="other: not a tinynet network of format version 1"):
        tn.load(tmp_path / "other")


DENSE = {"layer": "Dense", "config": {"units": 2}, "reads": [0]}


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": "many"},
        {"inputs": "0"},
        {"dtype": "float16"},
        {"dtype": "nonsense"},
        {"graph": "{"},
        {"graph": "7"},
        {"graph": "[7]"},
        {"graph": "{}"},
        {"graph": "[" * 100_000},
        {"graph": json.dumps([DENSE | {"layer": "Eval"}])},
        {"graph": json.dumps([DENSE | {"layer": ["Dense"]}])},
        {"graph": json.dumps([DENSE | {"config": {"units": 0}}])},
        {"graph": json.dumps([DENSE | {"config": {"units": "2"}}])},
        {"graph": json.dumps([DENSE | {"config": {"units": 2, "more": 1}}])},
        {"graph": json.dumps([DENSE | {"config": {"units": 2, "init": "eval"}}])},
        {"graph": json.dumps([DENSE | {"config": {"units": 2, "init": []}}])},
        {"graph": json.dumps([DENSE | {"config": []}])},
        {"graph": json.dumps([DENSE | {"config": {"units": 10**18}}])},
        {"graph": json.dumps([DENSE | {"config": {"units": 10**30}}])},
        {"graph": '[{"layer": "Dense", "config": {"units": Infinity}, "reads": [0]}]'},
        {"graph": json.dumps([DENSE | {"reads": [1]}])},
        {"graph": json.dumps([DENSE | {"reads": []}])},
        {"graph": json.dumps([DENSE | {"reads": 0}])},
        {"graph": json.dumps([DENSE, {"layer": "Add", "config": {}, "reads": [0, 1]}])},
    ],
)
def test_an_architecture_that_makes_no_sense_is_refused_by_name(tmp_path, change):
    metadata = {"format": "tinynet", "version": "1", "dtype": "float32", "inputs": "3", "graph": json.dumps([DENSE])}
    arrays = {"dense_1.weight": np.zeros((3, 2), "float32"), "dense_1.bias": np.zeros(2, "float32")}
    path = tmp_path / "crafted"
    files.write_arrays(path, arrays, metadata)
    assert tn.load(path).inputs == 3  # without the change it is a network
    files.write_arrays(path, arrays, metadata | change)
    with pytest.raises(tn.FileFormatError, match="crafted: "):
        tn.load(path)


def test_arrays_that_are_missing_or_spare_are_named(saved):
    arrays, metadata = files.read_arrays(saved)
    spare = arrays | {"dense_9.weight": np.zeros(1)}
    del spare["dense_1.weight"]
    files.write_arrays(saved, spare, metadata)
    with pytest.raises(tn.FileFormatError, match=r"net\.safetensors: arrays missing or .*: dense_1.weight, dense_9"):
        tn.load(saved)


@pytest.mark.parametrize("other", [np.zeros((4, 6), "float32"), np.zeros((4, 5), "float64"), np.zeros(20, "float32")])
def test_an_array_of_another_shape_or_type_is_named(saved, other):
    arrays, metadata = files.read_arrays(saved)
    files.write_arrays(saved, arrays | {"dense_1.weight": other}, metadata)
    with pytest.raises(
        tn.FileFormatError, match=r"net\.safetensors: dense_1\.weight is float.*, not float32 \(4, 5\)"
    ):
        tn.load(saved)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(damage=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=3))
def test_a_damaged_file_is_a_network_or_a_clear_error(tmp_path_factory, damage):
    original, path = (tmp_path_factory.getbasetemp() / name for name in ("original", "net.safetensors"))
    if not original.exists():
        tn.mlp(2, [2], 2, norm="batch", dropout=0.1, seed=0).save(original)
    content = bytearray(original.read_bytes())
    for place, value in damage:
        content[place % len(content)] = value
    path.write_bytes(content)
    try:
        net = tn.load(path)
    except tn.FileFormatError:
        return
    assert net.outputs >= 1
