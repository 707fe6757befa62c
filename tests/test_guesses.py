"""Whatever a public name is handed works, or one sentence refuses it: no error of Python's comes from inside."""

import numpy as np
import pytest

import tinynet as tn

MOONS = tn.datasets.moons(20, seed=0)
X, Y = MOONS.x, MOONS.y
NONSENSE = [
    *("100", "", None, [1], (4,), {}, {"a": 1}, set(), b"x", 2.5, -1, 0, True, float("nan"), float("inf"), 10**30, 1j),
    *(
        np.float32(3),
        np.array(3),
        np.ones(3),
        np.array(["a"]),
        [[1, 2], [3]],
        object(),
        print,
        int,
        tn.Dense,
        tn.ReLU(),
    ),
    MOONS,
]


def network():
    return tn.mlp(2, [2], 2, norm="batch", seed=0)


def fitted(**given):
    return tn.fit(network(), **{"train": MOONS, "steps": 1} | given)


def mlp(**given):
    return tn.mlp(**{"inputs": 2, "hidden": [2], "outputs": 2} | {name: small(value) for name, value in given.items()})


def of(function, *names, others=()):
    """Calls of a function with one argument at a time replaced."""
    return {f"{function.__name__}({k}=)": lambda v, k=k: function(**{**dict(others), k: v}) for k in names}


def small(value):
    """The value, unless it is a size that memory may not hold, which is no guess."""
    return 2 if isinstance(value, int | float) and abs(value) > 10**6 else value


USES = {
    **of(tn.BatchNorm, "decay", "eps"),
    **of(tn.LayerNorm, "eps"),
    **of(tn.Dropout, "rate"),
    **of(tn.LeakyReLU, "slope"),
    **of(tn.ELU, "alpha"),
    **of(tn.Dense, "units"),
    **of(tn.SGD, "lr", "momentum", "weight_decay", "clip_norm"),
    **of(tn.Probe, "every"),
    **of(tn.LiveCurves, "seconds"),
    **of(tn.Constant, "lr"),
    **of(tn.Cosine, "lr", "steps", "final", others={"lr": 0.1, "steps": 5}),
    **of(tn.StepDecay, "lr", "every", "factor", others={"lr": 0.1, "every": 5}),
    **of(tn.Warmup, "then", "steps", others={"then": 0.1, "steps": 5}),
    "Dense(init=)": lambda v: tn.Dense(2, init=v).build(3),
    "Dense.build()": lambda v: tn.Dense(2).build(small(v)),
    "Dense.build(seed=)": lambda v: tn.Dense(2).build(3, seed=v),
    "Dense.build(dtype=)": lambda v: tn.Dense(2).build(3, dtype=v),
    "Dense()": lambda v: tn.Dense(2)(v),
    "Dense.forward": lambda v: tn.Dense(2).forward(v),
    "Add.forward": lambda v: tn.Add().forward(v, v),
    "Input": lambda v: tn.Input(v),
    "Network": lambda v: tn.Network(v, v),
    "Network(outputs=)": lambda v: tn.Network(tn.Input(2), v),
    "Sequential": lambda v: tn.Sequential(v, inputs=2) if not isinstance(v, np.ndarray) else None,
    "Sequential([...])": lambda v: tn.Sequential([v], inputs=2),
    "Sequential(inputs=)": lambda v: tn.Sequential([tn.Dense(2)], inputs=small(v)),
    "Sequential(seed=)": lambda v: tn.Sequential([tn.Dense(2)], inputs=2, seed=v),
    "Sequential(dtype=)": lambda v: tn.Sequential([tn.Dense(2)], inputs=2, dtype=v),
    **of(mlp, "inputs", "hidden", "outputs", "activation", "norm", "init", "dropout", "seed", "dtype"),
    **of(fitted, "train", "y", "validation", "loss", "optimizer", "steps", "batch_size", "seed", "validate_every"),
    **of(fitted, "callbacks", "history", "checkpoint_every"),
    "fit(net=)": lambda v: tn.fit(v, MOONS, steps=1),
    "evaluate(net=)": lambda v: tn.evaluate(v, MOONS),
    "evaluate(data=)": lambda v: tn.evaluate(network(), v),
    "evaluate(loss=)": lambda v: tn.evaluate(network(), MOONS, v),
    "net.forward": lambda v: network().forward(v),
    "net.backward": lambda v: network().backward(v),
    "net.calibrate": lambda v: network().calibrate(v),
    "net.calibrate(method=)": lambda v: network().calibrate(X, method=v),
    "net.calibrate(batch_size=)": lambda v: network().calibrate(X, method="minibatch", batch_size=v),
    "SoftmaxCrossEntropy(outputs)": lambda v: tn.SoftmaxCrossEntropy()(v, Y),
    "SoftmaxCrossEntropy(targets)": lambda v: tn.SoftmaxCrossEntropy()(X, v),
    "MeanSquaredError(outputs)": lambda v: tn.MeanSquaredError()(v, X),
    "MeanSquaredError(targets)": lambda v: tn.MeanSquaredError()(X, v),
    "torch_sequential": tn.torch_sequential,
    "from_torch_state(net=)": lambda v: tn.from_torch_state(v, {}),
    "from_torch_state(source=)": lambda v: tn.from_torch_state(network(), v),
    "from_torch_state({...})": lambda v: tn.from_torch_state(network(), {"0.weight": v}),
    "initializers.get": tn.initializers.get,
    "initializers.normal": tn.initializers.normal,
    "initializers.constant": tn.initializers.constant,
    "probes.gradient_by_layer": tn.probes.gradient_by_layer,
    "probes.activation_by_layer": tn.probes.activation_by_layer,
    "Probe().table": lambda v: tn.Probe().table(v),
    "History().final": lambda v: tn.History().final(v),
    "spirals": lambda v: tn.datasets.spirals(small(v)),
    "moons(seed=)": lambda v: tn.datasets.moons(10, seed=v),
    "moons(noise=)": lambda v: tn.datasets.moons(10, noise=v),
}


def attempt(use, value):
    """Say what is wrong with the way in which a value is refused, if it is; "" for none."""
    try:
        with np.errstate(all="ignore"):
            use(value)
    except tn.InputError as error:
        text = str(error)
        return f"{len(text)} characters: {text}" if "\n" in text or len(text) > 400 else ""
    except OSError:  # a name of a file that is not there
        return ""
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", USES)
def test_it_works_or_one_sentence_says_why_not(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = {repr(value)[:60]: wrong for value in NONSENSE if (wrong := attempt(USES[name], value))}
    assert not found


PATHS = {
    "load": tn.load,
    "resume": lambda path: tn.resume(path, MOONS),
    "net.save": lambda path: network().save(path),
    "net.to_torch_state": lambda path: tn.Network.to_torch_state(network(), path),
    "from_torch_state": lambda path: tn.from_torch_state(network(), path),
    "fit(checkpoint=)": lambda path: fitted(checkpoint=path),
    "History.to_csv": lambda path: tn.History().to_csv(path),
    "History.to_json": lambda path: tn.History().to_json(path),
    "History.from_csv": tn.History.from_csv,
    "History.from_json": tn.History.from_json,
    "Probe.to_csv": lambda path: tn.Probe().to_csv(path),
    "datasets.idx": tn.datasets.idx,
    "datasets.read_idx": tn.datasets.read_idx,
}


@pytest.mark.parametrize("name", PATHS)
def test_what_is_no_path_is_refused(name):
    for value in (5, [1], object(), 2.5, tn.Dense):
        with pytest.raises(
            tn.InputError, match=r"(a path is a str or a pathlib\.Path|or model\.state_dict\(\)), not "
        ):
            PATHS[name](value)


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_path_may_be_a_str(tmp_path, kind):
    net, history, probe = network(), tn.History(), tn.Probe(every=1)
    tn.fit(net, MOONS, steps=2, history=history, callbacks=probe, checkpoint=kind(tmp_path / "run"))
    tn.resume(kind(tmp_path / "run"), MOONS)
    net.save(kind(tmp_path / "net"))
    net.to_torch_state(kind(tmp_path / "torch"))
    tn.from_torch_state(tn.load(kind(tmp_path / "net")), kind(tmp_path / "torch"))
    history.to_csv(kind(tmp_path / "h.csv"))
    history.to_json(kind(tmp_path / "h.json"))
    probe.to_csv(kind(tmp_path / "p.csv"))
    assert tn.History.from_csv(kind(tmp_path / "h.csv")).steps == [1, 2]
    assert tn.History.from_json(kind(tmp_path / "h.json")).steps == [1, 2]


@pytest.mark.parametrize(
    "make",
    [
        lambda: tn.Sequential(tn.Dense(3), tn.ReLU(), tn.Dense(2), inputs=4, seed=1),
        lambda: tn.Sequential(iter([tn.Dense(3), tn.ReLU(), tn.Dense(2)]), inputs=4.0, seed=np.int64(1)),
        lambda: tn.Sequential(layers=(tn.Dense(3.0), tn.ReLU(), tn.Dense(np.uint8(2))), inputs=np.array(4), seed=1),
    ],
)
def test_layers_may_come_in_a_row_or_one_by_one(make):
    meant = tn.Sequential([tn.Dense(3), tn.ReLU(), tn.Dense(2)], inputs=4, seed=1)
    assert str(make()) == str(meant)
    for name, array in meant.params.items():
        np.testing.assert_array_equal(make().params[name], array)


def test_one_layer_is_a_network_too():
    assert str(tn.Sequential(tn.Dense(3), inputs=4)) == str(tn.Sequential([tn.Dense(3)], inputs=4))


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: tn.Sequential([tn.Dense], inputs=4), r"is not a layer; give Dense\(\.\.\.\)"),
        (lambda: network().forward(MOONS), "input: no array can be made of this Dataset: give its x"),
        (lambda: network().calibrate(MOONS), "input: no array can be made of this Dataset: give its x"),
        (lambda: network().forward([[1.0, 2.0], [3.0]]), "input: .* of this list, which needs rows of one length"),
        (
            lambda: tn.Dataset([[1.0, 2.0], [3.0]], [0, 1]),
            "Dataset: x: .* of this list, which needs rows of one length",
        ),
        (lambda: tn.from_torch_state(network(), "model.pt"), r"model\.pt: a pickle .*safetensors\.torch\.save_file\("),
        (
            lambda: tn.from_torch_state(network(), None),
            r"give a safetensors file, or model\.state_dict\(\), not NoneType",
        ),
        (
            lambda: tn.History([1], [1.0], [1.0], [0.9], [0.1]).steps_to(95),
            "a share from 0 to 1, such as 0.95, not 95",
        ),
        (lambda: tn.History().final("accuracy"), "unknown column 'accuracy'; known: steps, .*validation_accuracy"),
        (lambda: fitted(seed="today"), "seed must be a whole number of at least 0, or a NumPy Generator, not 'today'"),
    ],
)
def test_the_sentence_says_what_to_write(use, message):
    with pytest.raises(tn.InputError, match=message):
        use()


def test_whole_numbers_with_a_point_are_whole_numbers():
    assert repr(tn.datasets.moons(10.0, seed=0)) == repr(tn.datasets.moons(10, seed=0))
    assert tn.Probe(every=10.0) == tn.Probe(every=10)
    assert tn.Input(4.0).input_features == 4


def test_to_onnx_needs_a_network():
    with pytest.raises(tn.InputError, match="to_onnx: the first argument is the network"):
        tn.to_onnx([tn.Dense(2)])
