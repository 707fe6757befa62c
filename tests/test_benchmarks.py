"""The benchmark's own check: that what it times beside tinynet is the same work. Nothing here is timed."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module("benchmarks")


@pytest.fixture
def main(benchmarks):
    return importlib.import_module("benchmarks.__main__")


def tiny(benchmarks, activation="relu", batch_norm=True):
    return benchmarks.Spec("tiny", 7, (6, 5), 4, activation, 9, batch_norm)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_peers_do_the_same_work(benchmarks, name, activation, batch_norm, dtype):
    if name == "torch":
        pytest.importorskip("torch")
    found = benchmarks.check(tiny(benchmarks, activation, batch_norm), benchmarks.load_peer(name), dtype, steps=5)
    assert found.keys() == {"loss", "gradients", "weights and statistics"}
    for kind, value in found.items():
        assert value <= {"float32": 2e-5, "float64": 1e-12}[dtype], kind


def broken(peer, how):
    class Broken(peer):
        def step(self, x, y):
            loss = super().step(x, y)
            how(self)
            return loss

    return Broken


def nan_gradient(peer):
    peer.grads["dense_2.weight"][0, 0] = np.nan


def other_statistics(peer):
    peer.state["batch_norm_1.running_var"] *= 1.01


def other_weights(peer):
    peer.params["batch_norm_2.beta"] += 1e-3


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        (nan_gradient, "gradients"),
        (other_statistics, "weights and statistics"),
        (other_weights, "weights and statistics"),
    ],
)
def test_other_work_is_noticed(benchmarks, how, kind):
    peer = broken(benchmarks.load_peer("numpy"), how)
    found = benchmarks.check(tiny(benchmarks), peer, "float64", steps=1)
    assert not found[kind] <= benchmarks.TOLERANCE["float64"]


def test_missing_array_is_noticed(benchmarks):
    peer = broken(benchmarks.load_peer("numpy"), lambda self: self.grads.pop("dense_1.weight"))
    with pytest.raises(ValueError, match="a peer's arrays"):
        benchmarks.check(tiny(benchmarks), peer, "float64", steps=1)


def test_weights_are_not_changed(benchmarks):
    spec = tiny(benchmarks)
    weights, (x, y) = benchmarks.task(spec, 1)
    before = {name: value.copy() for name, value in weights.items()}
    for peer in (benchmarks.Tinynet, benchmarks.load_peer("numpy")):
        peer(spec, weights).step(x, y)
        for name, value in before.items():
            np.testing.assert_array_equal(weights[name], value)


def test_whole_run(benchmarks, main, monkeypatch, tmp_path, capsys):
    specs = [tiny(benchmarks, batch_norm=norm) for norm in (False, True)]
    for name, value in {"SPECS": specs, "REST": 0.0, "QUICK_TURN": 0.001}.items():
        monkeypatch.setattr(main, name, value)
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "benchmarks.torch_peer", raising=False)

    assert main.main(["--quick", "--rounds", "3", "--against", "torch,numpy", "--out", str(tmp_path / "b.json")]) == 0
    printed = capsys.readouterr().out
    assert "torch: left out, torch is not installed" in printed
    assert "tiny + batch norm" in printed

    written = json.loads((tmp_path / "b.json").read_text())
    assert [(row["batch_norm"], row["peer"]) for row in written["results"]] == [
        (False, "tinynet"), (False, "numpy"), (True, "tinynet"), (True, "numpy"),
    ]  # fmt: skip
    for row in written["results"]:
        assert len(row["rounds"]) == 3
        low, high = row["quartiles"]
        assert min(row["rounds"]) <= low <= row["median"] <= high <= max(row["rounds"])
    assert written["environment"]["versions"]["numpy"] == np.__version__


def test_a_peer_that_differs_is_not_timed(benchmarks, main, monkeypatch, capsys):
    monkeypatch.setattr(main, "SPECS", [tiny(benchmarks)])
    monkeypatch.setattr(main, "load_peer", lambda name: broken(benchmarks.load_peer(name), nan_gradient))
    monkeypatch.setattr(main, "measure", lambda *_: pytest.fail("timed"))
    assert main.main([]) == 1
    assert "NOT THE SAME" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["--against", "numpy,jaxx"], ["--rounds", "0"], ["--out", f"{__file__}/b.json"]]
)
def test_wrong_arguments_are_one_line(main, arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main.main(arguments)
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("benchmarks: ")
