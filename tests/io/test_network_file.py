import json
import math
import time
import tracemalloc

import numpy as np
import pytest
from safetensors.numpy import save_file

import tinynet as tn
from tests.layers import kinds
from tinynet import files, initializers
from tinynet.io import network_file
from tinynet.io.network_file import MOST_LAYERS


def every_kind_of_layer(dtype="float32"):
    """A branching network with each layer that a file can name, its settings not the defaults."""
    x = tn.Input(4)
    a = tn.LeakyReLU(slope=0.2)(tn.BatchNorm(decay=0.7, eps=1e-3)(tn.Dense(6, bias=False, init="orthogonal")(x)))
    b = tn.ELU(alpha=0.5)(tn.LayerNorm(eps=1e-2)(tn.Dense(6, init="normal(0.3)")(x)))
    h = tn.Dropout(0.3)(tn.Concat()(tn.Add()(a, b, a), tn.Sigmoid()(a), x))
    for make in kinds.MAKERS.values():
        h = make()(tn.BatchNorm()(h))
    return tn.Network(x, tn.Softmax()(tn.Dense(3)(h)), seed=1, dtype=dtype)


def trained(net):
    targets = np.eye(net.outputs)[np.arange(40) % net.outputs]
    data = tn.Dataset(np.random.default_rng(0).normal(size=(40, net.inputs)), targets)
    tn.fit(net, data, loss=tn.MeanSquaredError(), steps=10, batch_size=8, seed=0)
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


def test_the_same_network_is_the_same_file_byte_by_byte(tmp_path):
    for name in ("a", "b"):
        every_kind_of_layer().save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_layer_of_ones_own_cannot_be_saved_and_no_file_is_left(tmp_path):
    class Mine(tn.ReLU):
        pass

    with pytest.raises(tn.InputError, match="Mine: a file can only name tinynet's own layers"):
        tn.Sequential([Mine()], inputs=2).save(tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(tn.InputError, match=f"{tmp_path / 'nowhere'}: no such file"):
        tn.load(tmp_path / "nowhere")


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


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}, {"format": "tinynet", "version": "1"}])
def test_safetensors_of_other_software_are_refused_by_name(tmp_path, metadata):
    save_file({"w": np.ones(2)}, tmp_path / "other", metadata)  # without our checksum
    with pytest.raises(tn.FileFormatError, match="other: not a tinynet network"):
        tn.load(tmp_path / "other")


@pytest.mark.parametrize("version", ["2", "0", "", "9" * 10_000])
def test_a_network_of_another_version_is_refused_with_both(saved, version):
    arrays, metadata = files.read_arrays(saved)
    files.write_arrays(saved, arrays, metadata | {"version": version})
    with pytest.raises(tn.FileFormatError, match=r"of format version 9*\d?(\.\.\.)?; this tinynet reads version 1"):
        tn.load(saved)


def test_a_bit_that_changed_in_a_weight_is_noticed(saved):
    content = bytearray(saved.read_bytes())
    content[-1] ^= 1
    saved.write_bytes(content)
    with pytest.raises(
        tn.FileFormatError, match=r"net\.safetensors: damaged: what it holds does not fit its checksum"
    ):
        tn.load(saved)


def tampered(path, name, value):
    """Write the file again with another number in an array."""
    arrays, metadata = files.read_arrays(path)
    arrays[name] = arrays[name].copy()
    arrays[name][1] = value
    files.write_arrays(path, arrays, metadata)


@pytest.mark.parametrize(
    ("name", "value"),
    [("running_var", -0.25), ("running_var", np.nan), ("running_var", np.inf), ("running_mean", np.nan)],
)
def test_a_statistic_that_cannot_be_is_refused_by_name(saved, name, value):
    tampered(saved, f"batch_norm_1.{name}", value)
    message = rf"net\.safetensors: batch_norm_1\.{name}\[1\] is {value}, and must be a finite number"
    with pytest.raises(tn.FileFormatError, match=message):
        tn.load(saved)


def test_a_variance_of_0_is_one(saved):
    tampered(saved, "batch_norm_1.running_var", 0)
    assert tn.load(saved).state["batch_norm_1.running_var"][1] == 0


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_what_could_not_be_loaded_again_is_not_saved(saved, value):
    before, net = saved.read_bytes(), tn.load(saved)
    net.state["batch_norm_1.running_var"][2] = value
    with pytest.raises(tn.InputError, match=rf"running_var\[2\] is {value}, .*; net\.calibrate\(x\) sets it"):
        net.save(saved)
    assert saved.read_bytes() == before
    net.calibrate(np.eye(4, dtype="float32"))
    net.save(saved)
    assert (
        tn.load(saved).state["batch_norm_1.running_var"].tobytes() == net.state["batch_norm_1.running_var"].tobytes()
    )


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_weight_may_be_anything_as_a_diverged_run_left_it(saved, value):
    net = tn.load(saved)
    net.params["dense_1.weight"][0, 0] = value
    net.save(saved)
    assert tn.load(saved).params["dense_1.weight"].tobytes() == net.params["dense_1.weight"].tobytes()


@pytest.mark.parametrize("norm", [None, "batch", "layer"])
def test_a_network_that_diverged_in_fit_is_saved_and_loaded(tmp_path, norm):
    net = tn.mlp(2, [8, 8], 2, norm=norm, seed=0)
    assert tn.fit(net, tn.datasets.moons(61, seed=0), optimizer=tn.SGD(1e25), steps=200).diverged
    net.save(tmp_path / "net")
    for name, array in {**(back := tn.load(tmp_path / "net")).params, **back.state}.items():
        np.testing.assert_array_equal(array, {**net.params, **net.state}[name])


def test_a_setting_that_was_written_as_a_whole_number_is_the_same_number(tmp_path):
    graph = [
        {"layer": "BatchNorm", "config": {"decay": 0, "eps": 1}, "reads": [0]},
        {"layer": "Dropout", "config": {"rate": 0}, "reads": [1]},
    ]
    net = tn.Sequential([tn.BatchNorm(decay=0, eps=1), tn.Dropout(0)], inputs=2)
    net.save(tmp_path / "net")
    arrays, metadata = files.read_arrays(tmp_path / "net")
    files.write_arrays(tmp_path / "net", arrays, metadata | {"graph": json.dumps(graph)})
    assert str(tn.load(tmp_path / "net")) == str(net)


DENSE = {"layer": "Dense", "config": {"units": 2}, "reads": [0]}


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": "many"},
        {"inputs": "0"},
        {"dtype": "float16"},
        {"dtype": "nonsense"},
        {"dtype": ",float32"},  # a SyntaxError to NumPy
        {"dtype": "f4"},
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
        {"graph": json.dumps([DENSE | {"config": {"units": 2, "init": "x" * 10**6}}])},
        {"graph": '[{"layer": "Dense", "config": {"units": Infinity}, "reads": [0]}]'},
        {"graph": json.dumps([DENSE | {"reads": [1]}])},  # itself
        {"graph": json.dumps([DENSE | {"reads": [-1]}])},  # Python's last, so far
        {"graph": json.dumps([DENSE | {"reads": [False]}])},
        {"graph": json.dumps([DENSE | {"reads": [0.0]}])},
        {"graph": json.dumps([DENSE | {"reads": {"0": 0}}])},
        {"graph": json.dumps([DENSE | {"reads": [0, 0]}])},
        {"graph": json.dumps([{"layer": "ReLU", "config": {}, "reads": [0]}, DENSE])},  # goes nowhere
        {"graph": json.dumps([DENSE | {"reads": [2]}, {"layer": "ReLU", "config": {}, "reads": [1]}])},  # a cycle
        {"graph": json.dumps([DENSE | {"config": {"units": 2.5}}])},
        {"graph": json.dumps([DENSE | {"config": {"units": 2.0}}])},
        {"graph": json.dumps([DENSE | {"config": {"units": True}}])},
        {"graph": json.dumps([DENSE | {"config": {"units": 2, "bias": "no"}}])},
        {"graph": json.dumps([DENSE, {"layer": "LeakyReLU", "config": {"slope": "0.2"}, "reads": [1]}])},
        {"graph": json.dumps([DENSE, {"layer": "LeakyReLU", "config": {"slope": math.nan}, "reads": [1]}])},
        {"graph": json.dumps([DENSE, {"layer": "LeakyReLU", "config": {"slope": math.inf}, "reads": [1]}])},
        {
            "graph": json.dumps([DENSE, {"layer": "ELU", "config": {"alpha": "1e999"}, "reads": [1]}]).replace(
                '"1e', "1e"
            )
        },
        {"graph": json.dumps([DENSE, {"layer": "BatchNorm", "config": {"eps": -1.0}, "reads": [1]}])},
        {"graph": json.dumps([DENSE, {"layer": "BatchNorm", "config": {"eps": math.nan}, "reads": [1]}])},
        {"graph": json.dumps([DENSE, {"layer": "BatchNorm", "config": {"decay": 1.0}, "reads": [1]}])},
        {"graph": json.dumps([DENSE, {"layer": "BatchNorm", "config": {"decay": True}, "reads": [1]}])},
        {"graph": json.dumps([DENSE, {"layer": "LayerNorm", "config": {"eps": -1e-9}, "reads": [1]}])},
        {"graph": json.dumps([DENSE, {"layer": "Dropout", "config": {"rate": 1.5}, "reads": [1]}])},
        {"graph": json.dumps([DENSE, {"layer": "Dropout", "config": {"rate": False}, "reads": [1]}])},
        {"inputs": "9" * 4000},
        {"inputs": "-3"},
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
    with pytest.raises(tn.FileFormatError, match="crafted: ") as error:
        tn.load(path)
    assert len(str(error.value)) < len(str(path)) + 300


@pytest.mark.parametrize(
    ("kind", "times", "reads", "reason"),
    [
        ("ReLU", 5000, 1, "a list of at most 2,500 layers"),
        ("Concat", 2000, 9, "concat_10 is wider than 2147483648 features"),  # in the end 9^2000
    ],
)
def test_a_graph_without_arrays_cannot_be_without_bounds(tmp_path, kind, times, reads, reason):
    graph = json.dumps([{"layer": kind, "config": {}, "reads": [k] * reads} for k in range(times)])
    metadata = {"format": "tinynet", "version": "1", "dtype": "float32", "inputs": "3", "graph": graph}
    files.write_arrays(tmp_path / "crafted", {}, metadata)
    with pytest.raises(tn.FileFormatError, match=f"crafted: .*{reason}"):
        tn.load(tmp_path / "crafted")


def test_a_network_of_more_layers_than_can_be_loaded_is_not_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(network_file, "MOST_LAYERS", 3)
    with pytest.raises(tn.InputError, match="a file can hold 3 layers, and this network has 4"):
        tn.mlp(2, [2], 2, norm="batch").save(tmp_path / "net")
    assert list(tmp_path.iterdir()) == []
    tn.mlp(2, [2], 2).save(tmp_path / "net")
    assert len(tn.load(tmp_path / "net").layers) == 3


@pytest.mark.slow
def test_as_many_layers_as_a_file_may_have_are_loaded_soon(tmp_path):
    graph = json.dumps([{"layer": "ReLU", "config": {}, "reads": [k]} for k in range(MOST_LAYERS)])
    metadata = {"format": "tinynet", "version": "1", "dtype": "float32", "inputs": "3", "graph": graph}
    files.write_arrays(tmp_path / "deep", {}, metadata)
    start = time.process_time()
    assert len(tn.load(tmp_path / "deep").layers) == MOST_LAYERS
    assert time.process_time() - start < 5


@pytest.mark.parametrize("missing", ["inputs", "dtype", "graph", "format", "version"])
def test_metadata_that_is_missing_is_named(saved, missing):
    arrays, metadata = files.read_arrays(saved)
    del metadata[missing]
    files.write_arrays(saved, arrays, metadata)
    with pytest.raises(tn.FileFormatError, match=rf"net\.safetensors: .*({missing}|not a tinynet network)"):
        tn.load(saved)


def huge(**change):
    """A network whose second layer claims 2^30 units, in a file of 600 bytes."""
    wide = {"layer": "Dense", "config": {"units": 2**30} | change, "reads": [0]}
    return [wide, {"layer": "BatchNorm", "config": {}, "reads": [1]}, DENSE | {"reads": [2]}]


@pytest.mark.parametrize(
    "graph",
    [
        huge(),
        huge(init="orthogonal"),
        [{"layer": "Concat", "config": {}, "reads": [0] * 100_000}, DENSE | {"reads": [1]}],
        [
            {"layer": "Concat", "config": {}, "reads": [0] * 100_000},
            {"layer": "BatchNorm", "config": {}, "reads": [1]},
        ],
        [
            {"layer": "Concat", "config": {}, "reads": [0] * 100_000},
            {"layer": "LayerNorm", "config": {}, "reads": [1]},
        ],
    ],
)
def test_a_layer_that_claims_to_be_huge_is_never_made(tmp_path, graph):
    arrays = {"dense_1.weight": np.zeros((3000, 2), "float32"), "dense_1.bias": np.zeros(2, "float32")}
    metadata = {"format": "tinynet", "version": "1", "dtype": "float32", "inputs": "3000", "graph": json.dumps(graph)}
    files.write_arrays(tmp_path / "huge", arrays, metadata)
    tracemalloc.start()
    with pytest.raises(tn.FileFormatError, match=r"huge: (arrays missing|dense_1\.weight is)"):
        tn.load(tmp_path / "huge")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * (tmp_path / "huge").stat().st_size + 2**20


def test_loading_draws_no_weights(tmp_path, monkeypatch):
    net = tn.mlp(5, [6, 6], 3, init="orthogonal", norm="batch", seed=3)
    net.save(tmp_path / "net")

    def draw(*_):
        raise AssertionError("drawn in vain")

    monkeypatch.setitem(initializers.NAMED, "orthogonal", draw)
    back = tn.load(tmp_path / "net")
    assert str(back) == str(net)
    np.testing.assert_array_equal(back.params["dense_2.weight"], net.params["dense_2.weight"])


@pytest.mark.parametrize(
    ("init", "named"),
    [
        (initializers.normal(0.05), "normal(0.05)"),
        (initializers.he_normal, "he_normal"),
        (np.str_("normal(0.5)"), "normal(0.5)"),
        (lambda rng, fan_in, fan_out: rng.uniform(-1, 1, (fan_in, fan_out)), "custom"),
    ],
)
def test_a_network_whose_initializer_was_a_function_comes_back(tmp_path, init, named):
    net = tn.mlp(4, [5], 3, init=init, norm="batch", seed=0)
    net.save(tmp_path / "net")
    back = tn.load(tmp_path / "net")
    assert [layer.init for layer in back.layers.values() if isinstance(layer, tn.Dense)] == [named] * 2
    assert repr(back.layers["dense_1"]) == f"Dense(units=5, bias=False, init={named!r})"
    for name, array in net.params.items():
        np.testing.assert_array_equal(back.params[name], array)
    back.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "net").read_bytes()
    np.testing.assert_array_equal(back.fold().forward(np.eye(4)), net.fold().forward(np.eye(4)))


def test_so_does_a_run_of_it(tmp_path):
    data = tn.datasets.moons(40, seed=0)
    made = {"init": lambda rng, fan_in, fan_out: rng.uniform(-1, 1, (fan_in, fan_out)), "seed": 0}
    straight, stopped = tn.mlp(2, [5], 2, **made), tn.mlp(2, [5], 2, **made)
    tn.fit(straight, data, epochs=4)
    tn.fit(stopped, data, epochs=4, checkpoint=tmp_path / "run", callbacks=[StopAfter(2)])
    resumed, _ = tn.resume(tmp_path / "run", data)
    for name, array in straight.params.items():
        np.testing.assert_array_equal(resumed.params[name], array)


class StopAfter(tn.Callback):
    def __init__(self, steps):
        self.steps = steps

    def on_step(self, run):
        run.stop = run.step == self.steps


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
