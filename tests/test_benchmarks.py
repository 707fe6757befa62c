"""The benchmark: what it times beside tinynet is the same work, and it says what it found. Nothing is timed."""

import importlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from tinynet.machinery.replay import Replayer

ROOT = Path(__file__).parents[1]


@pytest.fixture
def part(monkeypatch):
    """Return a function that imports a file of the benchmark."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"benchmarks.{name}")


@pytest.fixture
def main(part):
    return part("__main__")


def tiny(part, activation="relu", batch_norm=True):
    return part("spec").Spec("tiny", 7, (6, 5), 4, activation, 9, batch_norm)


def peer(part, name):
    return part("peer").load_peer(name)


def differences(part, other, dtype="float64", steps=1, **settings):
    return part("check").check(tiny(part, **settings), peer(part, "tinynet"), other, dtype, steps)


# -- the same work --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
@pytest.mark.parametrize("name", ["numpy", "torch", "jax", "sklearn"])
def test_peers_do_the_same_work(part, name, activation, batch_norm, dtype):
    if name != "numpy":
        pytest.importorskip(name)
    other = peer(part, name)
    if not other.can(tiny(part, activation, batch_norm)):
        assert (name, batch_norm) == ("sklearn", True)
        return
    found = differences(part, other, dtype, 5, activation=activation, batch_norm=batch_norm)
    assert found.keys() == {"loss", "gradients", "weights and statistics"}
    for kind, value in found.items():
        assert value <= {"float32": 2e-5, "float64": 1e-12}[dtype], kind


def broken(other, how):
    class Broken(other):
        def step(self, x, y):
            loss = super().step(x, y)
            return loss * (how(self) or 1)

    return Broken


def nan_gradient(it):
    it.grads["dense_2.weight"][0, 0] = np.nan


def other_statistics(it):
    it.state["batch_norm_1.running_var"] *= 1.01


def other_weights(it):
    it.params["batch_norm_2.beta"] += 1e-3


def other_loss(it):
    return 1.001


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        (nan_gradient, "gradients"),
        (other_statistics, "weights and statistics"),
        (other_weights, "weights and statistics"),
        (other_loss, "loss"),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_other_work_is_noticed(part, how, kind, dtype):
    check, spec = part("check"), tiny(part)
    found = check.agreement(spec, peer(part, "tinynet"), broken(peer(part, "numpy"), how), dtype)
    assert not found[kind] <= check.TOLERANCE[dtype]
    assert not check.Agreement(spec.title, "numpy", dtype, found).agrees


def test_a_loss_that_only_relu_gets_wrong_is_noticed_in_float32(part):
    check = part("check")
    other = broken(peer(part, "numpy"), lambda it: 1.001 if it.spec.activation == "relu" else 1)
    found = check.agreement(tiny(part), peer(part, "tinynet"), other, "float32")
    assert found["loss"] == pytest.approx(1e-3, rel=1e-2)


def test_missing_array_is_noticed(part):
    other = broken(peer(part, "numpy"), lambda it: it.grads.pop("dense_1.weight") is None)
    with pytest.raises(ValueError, match="a peer's arrays"):
        differences(part, other)


def test_given_weights_and_statistics_are_taken_and_not_changed(part):
    spec = tiny(part)
    weights = part("spec").draw_weights(spec)
    for k, units in enumerate(spec.hidden, 1):
        weights[f"batch_norm_{k}.running_mean"] = np.full(units, 0.3, np.float32)
        weights[f"batch_norm_{k}.running_var"] = np.full(units, 2.0, np.float32)
    before = {name: value.copy() for name, value in weights.items()}
    ((x, y),) = part("spec").draw_batches(spec, 1)
    predictions = []
    for name in ("tinynet", "numpy"):
        one = peer(part, name)(spec, weights)
        predictions.append(np.array(one.predict(x)))
        one.step(x, y)
        for array, value in before.items():
            np.testing.assert_array_equal(weights[array], value)
    np.testing.assert_allclose(*predictions, rtol=1e-5, atol=1e-6)
    assert np.abs(predictions[0]).max() > 0.1


def test_inference_refuses_a_peer_that_predicts_something_else(part):
    inference, spec = part("inference"), tiny(part)

    class Other(peer(part, "numpy")):
        def predict(self, x):
            return super().predict(x) * 1.1

    one = peer(part, "tinynet")(spec, part("spec").draw_weights(spec))
    peers = {"tinynet": type(one), "numpy": Other}
    with pytest.raises(ValueError, match="numpy: the plain network predicts something else"):
        inference.runs(spec, peers, one.arrays(), one.folded())


def test_the_floor_is_exactly_the_products_of_a_step(part, monkeypatch):
    module, made = part("tinynet_peer"), []
    monkeypatch.setattr(module, "replayed", lambda products: made.extend(products) or Replayer([]))
    module.products(tiny(part))
    made = [tuple(array.shape for array in product) for product in made]
    m = 9
    assert made == [
        ((m, 7), (7, 6), (m, 6)), ((m, 6), (6, 5), (m, 5)), ((m, 5), (5, 4), (m, 4)),  # x W
        ((m, 4), (4, 5), (m, 5)), ((5, m), (m, 4), (5, 4)),  # dy W^T, x^T dy
        ((m, 5), (5, 6), (m, 6)), ((6, m), (m, 5), (6, 5)),
        ((7, m), (m, 6), (7, 6)),  # the data need no gradient
    ]  # fmt: skip


def test_the_breakdown_has_every_call_of_a_step(part):
    ours, spec = part("tinynet_peer"), tiny(part)
    weights = part("spec").draw_weights(spec)
    calls = {name: count for name, (_, count) in ours.kernels_of_a_step(spec, weights).items()}
    assert calls == {
        "matrix products": 3 + 3 + 2,  # three layers; the first needs no gradient of the data
        "batch_norm.forward": 2, "batch_norm.update_running": 2, "batch_norm.backward": 2,
        "activations.relu_forward": 2, "activations.relu_backward": 2,
        "dense.add_bias": 1, "dense.bias_gradient": 1, "sgd.update_momentum": 3 + 1 + 4, "loss": 1,
    }  # fmt: skip


def test_shares_of_a_step_add_up(part):
    breakdown, group = part("breakdown"), part("measure").Group
    times = {"tinynet": [8.0, 10.0, 30.0], "loss": [1.0, 1.0, 1.0], "matrix products": [5.0, 6.0, 7.0]}
    one = group("breakdown", "paper", times, {"calls": {"loss": 1, "matrix products": 9}})
    assert breakdown.shares(one) == {"matrix products": 0.6, "loss": 0.1, "all else": pytest.approx(0.3)}
    assert [row[-1] for row in breakdown.rows([one])[1:]] == ["", "60.0%", "10.0%", "30.0%"]
    assert part("draw").kinds(one) == breakdown.shares(one)


def test_every_epoch_takes_every_example_once(part):
    spec = tiny(part)
    x, y = np.arange(20 * 7, dtype=np.float32).reshape(20, 7), np.arange(20) % 4
    seen = []

    class Recorder(peer(part, "numpy")):
        def step(self, x, y):
            seen.append(np.column_stack([x, y]))
            return 0.0

    Recorder(spec, part("spec").draw_weights(spec)).epoch(x, y, "arrays")
    assert [len(batch) for batch in seen] == [9, 9, 2]
    rows = np.concatenate(seen)
    assert not np.array_equal(rows[:, 0], x[:, 0])
    np.testing.assert_array_equal(rows[np.argsort(rows[:, 0])], np.column_stack([x, y]))


# -- the measurement ------------------------------------------------------------------------------------------


def test_turns_are_taken_in_turn_and_give_the_time_of_a_repetition(part, monkeypatch):
    measure, now, log = part("measure"), [0.0], []  # powers of two: no rounding

    def work(name, cost):
        def run(repetitions):
            log.append(name)
            now[0] += cost * repetitions

        return run

    class Clock:
        @staticmethod
        def perf_counter():
            return now[0]

        @staticmethod
        def sleep(seconds):
            log.append("rest")
            now[0] += seconds

    monkeypatch.setattr(measure, "time", Clock)
    pace = measure.Pace(rounds=3, turn=0.25, rest=0.0625)
    times = measure.in_turns({"fast": work("fast", 2**-10), "slow": work("slow", 2.0)}, pace)
    assert times == {"fast": [2**-10] * 3, "slow": [2.0] * 3}
    a_round = ["rest"] + ["fast"] * 5 + ["rest", "slow"]  # a quarter to warm up and four timed; the slow one is warm
    assert log[log.index("rest") :] == a_round * 3


def test_ratios_are_of_medians_and_spreads_round_by_round(part):
    group = part("measure").Group("steps", "w", {"tinynet": [1.0, 2.0, 6.0], "torch": [4.0, 8.0, 12.0]}, {})
    assert group.ratio("torch") == 0.25
    assert group.spread("torch") == pytest.approx((0.25, 0.375))
    assert group.quartiles("tinynet") == (1.5, 4.0)
    assert np.isnan(group.ratio("jax"))


def test_exponent_is_of_the_upper_half(part):
    exponent, sizes = part("growth").exponent, [1, 2, 5, 10, 20, 50, 100]
    assert exponent(sizes, [3e-6 * n**1.7 for n in sizes]) == (pytest.approx(1.7), 10)
    flat_at_first = [1e-3 if n < 10 else 1e-3 * (n / 10) ** 2 for n in sizes]
    assert exponent(sizes, flat_at_first) == (pytest.approx(2), 10)


def test_targets_are_judged_from_the_measurement(part):
    targets, group = part("targets"), part("measure").Group
    work = {"paper": [{"tinynet": [3.0], "torch": [10.0], "jax": [5.0], "matrix products": [2.0]}, "steps"]}
    found = {
        (target.title, target.against): (ratio, verdict)
        for target, ratio, verdict in targets.judged([group(p, w, times, {}) for w, (times, p) in work.items()])
    }
    assert found["paper, step", "torch"] == (0.3, "met")
    assert found["paper, step", "jax"] == (0.6, "not met")
    assert found["paper, step", "matrix products"] == (1.5, "not met")
    assert found["deep, step", "torch"][1] == "not measured"
    assert len(targets.table([])) == 1 + len(targets.targets())
    step = group("steps", "deep", {"tinynet": [0.5], "torch": [1.0], "matrix products": [0.3]}, {})
    rows = {row[2]: row[3:] for row in targets.table([step], unmeasured=False)[1:]}
    assert rows["PyTorch eager"] == ["0.25", "0.50", "0.30", "not met"]
    assert rows["matrix products"] == ["1.10", "1.67", "", "not met"]
    assert "of those not met, 1 ask for less than the products alone." in part("page").reached([step])
    assert len(targets.table([], unmeasured=False)) == 1


def test_every_target_is_something_that_is_measured(part, monkeypatch):
    """A target that names a work or peer differently from the part that times it would stay unmeasured for ever."""
    for name in ("steps", "epoch", "inference", "kernels"):
        monkeypatch.setattr(part(name), "in_turns", lambda runs, pace: {run: [1.0] for run in runs})
    monkeypatch.setattr(part("tinynet_peer"), "products", lambda spec: None)
    monkeypatch.setattr(part("kernels"), "runs", lambda *_: ({}, dict.fromkeys(("tinynet", "torch", "copy"))))
    monkeypatch.setattr(part("steps"), "training", lambda one: None)
    for name in ("steps", "epoch"):
        monkeypatch.setattr(part(name), "draw_weights", lambda spec: {})

    class Stand(peer(part, "numpy")):
        pipelines = ("fit", "fit, probe and bar", "steps alone", "DataLoader", "arrays")

    class Empty(Stand):
        def __init__(self, spec, weights):
            pass

    measured = set()
    for name, one in (("steps", Empty), ("epoch", Empty), ("inference", Stand), ("kernels", Empty)):
        peers = dict.fromkeys(("tinynet", "torch", "jax"), one)
        for group in part(name).measure(peers, part("measure").FULL):
            measured |= {(name, group.work, run) for run in group.times}
    for target in part("targets").targets():
        assert {(target.part, target.work, name) for name in (target.ours, target.against)} <= measured


@pytest.mark.parametrize(
    ("seconds", "shown"), [(1.234, "1.23 s"), (0.0123, "12.3 ms"), (4.56e-6, "4.56 µs"), (3e-8, "0.03 µs")]
)
def test_durations_have_three_digits(part, seconds, shown):
    assert part("text").duration(seconds) == shown


# -- memory ---------------------------------------------------------------------------------------------------


class Allocating:
    """A peer whose step makes arrays of so many bytes, and keeps some."""

    def __init__(self, size, kept):
        self.size, self.kept, self.list = size, kept, []

    def prepare(self, x, y):
        return x, y

    def step(self, x, y):
        np.empty(self.size, np.uint8)
        if self.kept:
            self.list.append(np.empty(self.kept, np.uint8))


@pytest.mark.parametrize(("size", "kept"), [(0, 0), (1_000_000, 0), (500_000, 3000)])
def test_allocations_are_seen_though_they_are_gone_after_the_step(part, size, kept):
    found = part("child").allocations(tiny(part), Allocating(size, kept))
    assert size <= found["step_peak"] <= size + kept + 2000
    assert kept <= found["step_kept"] <= kept * 1.1


def test_what_only_the_first_steps_allocate_is_not_counted(part):
    class Buffered(Allocating):
        steps = 0

        def step(self, x, y):
            self.steps += 1
            np.empty(1_000_000 if self.steps <= 3 else 0, np.uint8)

    found = part("child").allocations(tiny(part), Buffered(0, 0))
    assert found["step_peak"] <= 2000
    assert found["step_kept"] == 0


def test_a_process_of_its_own_tells_its_memory(part):
    found = part("start").child("numpy", part("spec").PAPER[1], ["--trace"], {})
    assert 1e7 < found["peak_memory"] < 1e9
    assert found["step_kept"] == 0
    assert found["step_peak"] > 60 * 784 * 4 / 2  # plain NumPy makes new arrays


def test_peers_processes_do_not_load_tinynet(part):
    """Its memory and its import would be counted as theirs."""
    code = "import sys, benchmarks.child, benchmarks.numpy_peer; print('tinynet' in sys.modules)"
    assert part("start").python(["-c", code]).strip() == "False"


# -- the command ----------------------------------------------------------------------------------------------


@pytest.fixture
def small(part, main, monkeypatch):
    """Make every part so small that it takes no time."""
    arms = [tiny(part, batch_norm=norm) for norm in (False, True)]
    monkeypatch.setattr(main, "QUICK", part("measure").Pace(2, 1e-4, 0.0, quick=True))
    monkeypatch.setattr(main, "QUICK_SPECS", arms)
    monkeypatch.setattr(part("steps"), "QUICK_SPECS", arms)
    monkeypatch.setattr(part("breakdown"), "QUICK_SPECS", arms)
    monkeypatch.setattr(part("epoch"), "QUICK_EXAMPLES", 60)
    monkeypatch.setattr(part("inference"), "BATCHES", (1, 60))
    monkeypatch.setattr(part("kernels"), "SHAPES", ((6, 5),))
    monkeypatch.setattr(part("growth"), "QUICK_SIZES", {"depth": (1, 2), "width": (3, 4), "batch": (2, 4)})
    monkeypatch.setattr(part("start"), "python", lambda *_: '{"first_step_at": 0, "peak_memory": 5e7}')
    monkeypatch.setattr(part("start"), "MODULES", {})
    monkeypatch.setattr(part("draw"), "DPI", 30)


@pytest.mark.slow
def test_whole_run(part, main, small, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "benchmarks.torch_peer", raising=False)
    arguments = ["--quick", "--against", "numpy,torch", "--rounds", "3", "--out", str(tmp_path)]

    assert main.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "torch: left out, torch is not installed" in printed
    assert "tiny + batch norm" in printed

    page = (tmp_path / "performance.md").read_text(encoding="utf-8")
    images = re.findall(r"!\[.*?\]\((.*?)\)", page)
    assert sorted(images) == sorted(f"images/{path.name}" for path in (tmp_path / "images").iterdir())
    assert len(images) == 9
    assert f"`python -m benchmarks {' '.join(arguments)}`" in page
    assert "*PyTorch eager* was left out: torch is not installed." in page

    written = json.loads((tmp_path / "performance.json").read_text(encoding="utf-8"))
    steps = [group for group in written["timed"] if group["part"] == "steps"]
    assert [group["work"] for group in steps] == ["tiny", "tiny + batch norm"]
    for group in steps:
        assert list(group["rounds"]) == ["tinynet", "numpy", "matrix products"]
        assert all(len(taken) == 3 for taken in group["rounds"].values())
        assert group["median"] == {name: sorted(taken)[1] for name, taken in group["rounds"].items()}
    assert written["environment"]["versions"]["numpy"] == np.__version__
    assert str(ROOT) not in page + json.dumps(written["environment"])


def test_only_the_parts_asked_for(main, small, monkeypatch, capsys):
    assert main.main(["--quick", "--only", "kernels"]) == 0
    printed = capsys.readouterr().out
    assert "(6, 5) relu, forward" in printed
    assert "One training step" not in printed


def test_an_interruption_keeps_the_parts_that_were_done(part, main, small, monkeypatch, tmp_path):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(part("start"), "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        main.main(["--quick", "--only", "kernels,start", "--out", str(tmp_path)])
    written = json.loads((tmp_path / "performance.json").read_text(encoding="utf-8"))
    assert {group["part"] for group in written["timed"]} == {"kernels"}


def test_a_peer_that_differs_is_not_timed(part, main, small, monkeypatch, capsys):
    numpy_peer = broken(peer(part, "numpy"), nan_gradient)
    load = part("peer").load_peer
    monkeypatch.setattr(main, "load_peer", lambda name: numpy_peer if name == "numpy" else load(name))
    monkeypatch.setattr(main, "timed", lambda *_: pytest.fail("timed"))
    assert main.main(["--quick"]) == 1
    assert "NOT THE SAME" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [["--against", "numpy,jaxx"], ["--only", "step"], ["--rounds", "0"], ["--out", f"{__file__}/benchmark"]],
)
def test_wrong_arguments_are_one_line(main, arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main.main(arguments)
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("benchmarks: ")
