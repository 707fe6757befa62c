"""ONNX models against the network they come from, run by ONNX's own evaluator and by onnxruntime."""

import sys

import numpy as np
import pytest

import tinynet as tn
from tests.layers import kinds
from tinynet import cli
from tinynet.layers import LAYERS

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

from onnx import numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

BATCHES = 1, 7, 60
WITHOUT: set[str] = set()  # kinds of layer that ONNX has no operator for, nor a formula of several
CASES = {name: make for name, make in kinds.MAKERS.items() if type(make()).__name__ not in WITHOUT}


def randomized(net, seed=0):
    """The network with numbers in all its arrays that tell one from another."""
    rng = np.random.default_rng(seed)
    for name, array in {**net.params, **net.state}.items():
        variance = name.endswith("running_var")
        array[...] = rng.uniform(0.1, 2, array.shape) if variance else rng.normal(scale=0.6, size=array.shape)
    return net


def as_onnx_computes(model, *xs):
    """What ONNX's reference evaluator and onnxruntime give for each x."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    with np.errstate(over="ignore", invalid="ignore"):  # the evaluator's operators overflow on their way
        return [tuple(run.run(None, {"input": x})[0] for run in (ReferenceEvaluator(model), session)) for x in xs]


def close(net):
    """The tolerance: the erf in a GELU is a float32's everywhere."""
    exact = net.dtype == np.float64 and not any(isinstance(layer, tn.GELU) for layer in net.layers.values())
    return {"rtol": 1e-13, "atol": 1e-13} if exact else {"rtol": 1e-5, "atol": 1e-5}


def check(net, *, batches=BATCHES, spread=2.0):
    """The model is valid by ONNX's strictest check, and computes what the network computes."""
    model = tn.to_onnx(net)
    onnx.checker.check_model(model, full_check=True)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    rng = np.random.default_rng(1)
    xs = [rng.normal(scale=spread, size=(rows, net.inputs)).astype(net.dtype) for rows in batches]
    for x, results in zip(xs, as_onnx_computes(model, *xs), strict=True):
        for result in results:
            assert result.dtype == net.dtype
            assert result.shape == (len(x), net.outputs)
            np.testing.assert_allclose(result, net.forward(x), **close(net))
    return model


# -- every layer ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LAYERS)
def test_every_kind_of_layer_has_an_operator_or_is_known_to_have_none(kind):
    try:
        tn.to_onnx(tn.Sequential([kinds.make(kind)], inputs=6))
    except tn.InputError as error:
        assert kind in WITHOUT, f"{error}, or name it in WITHOUT in tests/io/test_onnx.py"  # noqa: PT017
    else:
        assert kind not in WITHOUT, f"{kind} has an operator: take it out of WITHOUT"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_every_layer_alone(make, dtype):
    check(randomized(tn.Sequential([make()], inputs=6, dtype=dtype)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_every_layer_between_two_others(make, dtype):
    check(randomized(tn.Sequential([tn.Dense(6), make(), tn.Dense(3)], inputs=4, dtype=dtype)), batches=[7])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", [tn.ReLU, tn.LeakyReLU, tn.ELU, tn.SELU, tn.GELU, tn.Sigmoid, tn.Tanh, tn.Softmax])
def test_large_numbers_do_not_overflow(make, dtype):
    x = np.array([[-1e4, 0.0, 1e4]], dtype)
    net = tn.Sequential([make()], inputs=3, dtype=dtype)
    for result in as_onnx_computes(tn.to_onnx(net), x)[0]:
        np.testing.assert_allclose(result, net.forward(x), **close(net))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("norm", [tn.BatchNorm, tn.LayerNorm])
def test_small_variances_are_normalized_with_the_layers_own_eps(norm, dtype):
    net = tn.Sequential([norm(eps=1e-4)], inputs=6, dtype=dtype)
    if norm is tn.BatchNorm:
        net.state["batch_norm_1.running_var"] = np.full(6, 1e-9)
    check(net, spread=1e-3)


ASSIGNED = [
    (tn.BatchNorm, "eps", 0.5),
    (tn.BatchNorm, "eps", np.float32(0.3)),
    (tn.LayerNorm, "eps", 1),
    (tn.LeakyReLU, "slope", 0.4),
    (tn.ELU, "alpha", np.float64(2.5)),
    (tn.Dropout, "rate", 0.9),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("kind", "name", "value"), ASSIGNED)
def test_a_setting_that_was_assigned_is_the_models(kind, name, value, dtype):
    net = randomized(tn.Sequential([tn.Dense(6), kind(), tn.Dense(3)], inputs=4, dtype=dtype))
    made = randomized(tn.Sequential([tn.Dense(6), kind(**{name: value}), tn.Dense(3)], inputs=4, dtype=dtype))
    x = np.random.default_rng(2).normal(size=(9, 4)).astype(dtype)
    net.forward(x)  # with the old setting
    setattr(list(net.layers.values())[1], name, value)
    model = check(net)
    assert model.SerializeToString() == tn.to_onnx(made).SerializeToString()
    for result in as_onnx_computes(model, x)[0]:
        np.testing.assert_allclose(result, made.forward(x), **close(net))


# -- chains and graphs ----------------------------------------------------------------------------------------


def trained(**settings):
    data = tn.datasets.moons(200, seed=0)
    net = tn.mlp(2, [8, 8, 8], 2, **{"norm": "batch", "seed": 0} | settings)
    tn.fit(net, data, steps=30, batch_size=20, seed=0)
    return net, data


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("norm", ["batch", "layer", None])
def test_a_trained_network_predicts_the_same(norm, dtype):
    net, data = trained(norm=norm, dropout=0.2, dtype=dtype)
    running = tn.to_onnx(net)
    check(net)
    if norm == "batch":
        net.calibrate(data.x)
        assert check(net) != running
        folded = check(net.fold())
        assert "BatchNormalization" not in {node.op_type for node in folded.graph.node}
        assert len(folded.graph.node) < len(running.graph.node)


def random_graph(seed, dtype):
    """A dozen layers of any kind, each reading any before it; what nobody reads is joined at the end."""
    rng = np.random.default_rng(seed)
    makers, start = list(CASES.values()), tn.Input(5)
    nodes, read = [start], set()
    for _ in range(12):
        layer = makers[rng.integers(len(makers))]()
        parents = [nodes[k] for k in rng.integers(len(nodes), size=rng.integers(1, 4) if layer.many_inputs else 1)]
        read.update(parents)
        node = layer(*parents)
        if isinstance(layer, tn.Concat):
            node = tn.Dense(5)(node)
        nodes.append(node)
    last = tn.Concat()(*(node for node in nodes if node not in read))
    return randomized(tn.Network(start, last, dtype=dtype), seed)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(12))
def test_random_graphs(seed, dtype):
    net = random_graph(seed, dtype)
    check(net)
    check(net.fold())


def test_a_layers_output_may_have_several_readers_or_one_twice():
    x = tn.Input(3)
    h = tn.Tanh()(x)
    both = tn.Add()(h, h, x)
    check(tn.Network(x, tn.Concat()(both, h, both, x)))


def test_dropout_may_come_first_and_last():
    check(tn.Sequential([tn.Dropout(), tn.Dense(3), tn.Dropout(), tn.Dropout()], inputs=2))


def test_outputs_that_are_not_finite_come_out_alike():
    net = randomized(tn.mlp(3, [4], 2, norm="batch"))
    net.params["dense_1.weight"][0, 0] = np.nan
    x = np.ones((1, 3), "float32")
    for result in as_onnx_computes(tn.to_onnx(net), x)[0]:
        assert np.isnan(result).tolist() == np.isnan(net.forward(x)).tolist() == [[True, True]]


# -- what is in the model -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_keep_their_names_and_their_bits(dtype):
    net, _ = trained(dtype=dtype)
    stored = {array.name: numpy_helper.to_array(array) for array in tn.to_onnx(net).graph.initializer}
    live = {**net.params, **net.state}
    assert stored.keys() == live.keys()
    for name, array in live.items():
        assert stored[name].dtype == array.dtype
        np.testing.assert_array_equal(stored[name], array)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_layers_output_has_its_name(dtype):
    net = randomized(tn.mlp(3, [4, 4], 2, norm="batch", activation="elu", dtype=dtype))
    model = tn.to_onnx(net)
    names = {node.name for node in model.graph.node}
    assert len(names) == len(model.graph.node)
    assert set(net.layers) <= names
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(dtype)
    outputs = list(net.layers)[:-1]
    found = dict(zip(outputs, ReferenceEvaluator(model).run(outputs, {"input": x}), strict=True))
    for name, layer in list(net.layers.items())[:-1]:
        x = layer.forward(x)
        np.testing.assert_allclose(found[name], x, **close(net), err_msg=name)


def test_the_model_says_who_made_it_and_what_it_takes():
    model = tn.to_onnx(tn.mlp(3, [4], 2))
    assert (model.producer_name, model.producer_version) == ("tinynet", tn.__version__)
    assert [(version.domain, version.version) for version in model.opset_import] == [("", 17)]
    assert model.ir_version == 8  # the one that came with operator set 17
    for value, name, width in ((model.graph.input[0], "input", 3), (model.graph.output[0], "output", 2)):
        batch, features = value.type.tensor_type.shape.dim
        assert (value.name, batch.dim_param, features.dim_value) == (name, "batch", width)
    assert len(model.graph.input) == len(model.graph.output) == 1


def test_exporting_changes_nothing_and_the_model_is_a_copy():
    net, _ = trained()
    before = {name: array.copy() for name, array in {**net.params, **net.state}.items()}
    model = tn.to_onnx(net)
    content = model.SerializeToString()
    assert tn.to_onnx(net).SerializeToString() == content
    for name, array in {**net.params, **net.state}.items():
        np.testing.assert_array_equal(array, before[name])
        array += 1
    assert model.SerializeToString() == content != tn.to_onnx(net).SerializeToString()


# -- files and errors -----------------------------------------------------------------------------------------


def test_the_file_is_the_model_whole_or_not_at_all(tmp_path, monkeypatch):
    net = tn.mlp(3, [4], 2)
    model = tn.to_onnx(net, tmp_path / "new" / "net.onnx")
    assert onnx.load(tmp_path / "new" / "net.onnx") == model == tn.to_onnx(net)

    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", fails)
    with pytest.raises(OSError, match="No space left"):
        tn.to_onnx(tn.mlp(3, [5], 2), tmp_path / "new" / "net.onnx")
    assert onnx.load(tmp_path / "new" / "net.onnx") == model
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["net.onnx"]


def test_a_layer_of_ones_own_is_named():
    class Swish(tn.ReLU):
        pass

    with pytest.raises(tn.InputError, match=r"^relu_2: ONNX has no layer Swish; it has ELU, .*Dense"):
        tn.to_onnx(tn.Sequential([tn.ReLU(), Swish()], inputs=2))


def test_without_the_package_it_is_said_which(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(tn.InputError, match=r"pip install 'tinynet-lab\[onnx\]'"):
        tn.to_onnx(tn.mlp(3, [4], 2))


# -- tinynet export -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        (["my.net.safetensors"], "my.net.onnx"),
        (["my.net.onnx"], "my.net.onnx"),
        (["my.net.safetensors", "sub/other.onnx"], "sub/other.onnx"),
    ],
)
def test_export_writes_a_saved_network_beside_it_or_where_it_is_told(
    tmp_path, monkeypatch, capsys, arguments, written
):
    monkeypatch.chdir(tmp_path)
    net, _ = trained()
    net.save("my.net.safetensors")
    assert cli.main(["export", *arguments]) == 0
    assert onnx.load(written) == tn.to_onnx(net)
    printed = capsys.readouterr()
    assert printed.out == f"model: {written}, input (batch, 2) float32, output (batch, 2)\n"
    assert printed.err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["other.onnx"], "other.safetensors: not found; name the saved network: tinynet export FILE other.onnx"),
        (["none.safetensors"], "none.safetensors: no such file"),
        (["net.safetensors", "net.safetensors"], "net.safetensors: the name must end in .onnx"),
        (["net.safetensors", "other"], "other: the name must end in .onnx"),
        (["net.safetensors", "folder.onnx"], "folder.onnx: is a folder; name a file such as folder.onnx/net.onnx"),
        (["net.safetensors", "text.csv/net.onnx"], "text.csv: cannot write there"),
        (["text.csv"], "text.csv: not a safetensors file"),
    ],
)
def test_export_refuses_in_one_line_and_writes_nothing(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    tn.mlp(2, [3], 2).save("net.safetensors")
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "text.csv").write_text("steps\n")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert cli.main(["export", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"tinynet export: {message}")
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_export_without_the_package_says_which(tmp_path, monkeypatch, capsys):
    tn.mlp(2, [3], 2).save(tmp_path / "net.safetensors")
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert cli.main(["export", str(tmp_path / "net.safetensors")]) == 2
    assert "pip install 'tinynet-lab[onnx]'" in capsys.readouterr().err
