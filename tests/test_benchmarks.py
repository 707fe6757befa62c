"""The benchmark: what it times beside tinynet is the same work, and it says what it found. Nothing is timed."""

import importlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

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
    return part("peers").load(name)


def differences(part, other, dtype="float64", steps=1, **settings):
    return part("spec").differences(tiny(part, **settings), peer(part, "tinynet"), other, dtype, steps)


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
    check, spec = part("spec"), tiny(part)
    found = check.compare(spec, peer(part, "tinynet"), broken(peer(part, "numpy"), how), dtype)
    assert not found[kind] <= check.TOLERANCE[dtype]
    assert not check.Agreement(spec.title, "numpy", dtype, found).agrees


def test_a_loss_that_only_relu_gets_wrong_is_noticed_in_float32(part):
    check = part("spec")
    other = broken(peer(part, "numpy"), lambda it: 1.001 if it.spec.activation == "relu" else 1)
    found = check.compare(tiny(part), peer(part, "tinynet"), other, "float32")
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
    spec = tiny(part)

    class Other(peer(part, "numpy")):
        def predict(self, x):
            return super().predict(x) * 1.1

    one = peer(part, "tinynet")(spec, part("spec").draw_weights(spec))
    peers = {"tinynet": type(one), "numpy": Other}
    with pytest.raises(ValueError, match="numpy: the plain network predicts something else"):
        part("parts").prediction_runs(spec, peers, one.arrays(), one.folded())


def test_the_limit_is_exactly_the_products_of_a_step_or_of_a_prediction(part):
    ours, m = part("peers.tinynet"), 9
    shapes = [tuple(array.shape for array in product) for product in ours.products(tiny(part))]
    assert shapes == [
        ((m, 7), (7, 6), (m, 6)), ((m, 6), (6, 5), (m, 5)), ((m, 5), (5, 4), (m, 4)),  # x W
        ((m, 4), (4, 5), (m, 5)), ((5, m), (m, 4), (5, 4)),  # dy W^T, x^T dy
        ((m, 5), (5, 6), (m, 6)), ((6, m), (m, 5), (6, 5)),
        ((7, m), (m, 6), (7, 6)),  # the data need no gradient
    ]  # fmt: skip
    assert [tuple(array.shape for array in product) for product in ours.products(tiny(part), False)] == shapes[:3]


def test_the_limit_is_timed_on_one_thread_and_on_all_and_the_fastest_counts(part):
    ours, calls = part("peers.tinynet"), []
    (a, b, out), *_ = products = ours.products(tiny(part))
    library = ours.blas.library()
    before = library and library.get_threads and library.get_threads()
    for run in ours.on_threads(products).values():
        out[...] = 0
        run(2)
        np.testing.assert_allclose(out, a @ b, rtol=1e-5)
        calls.append(1)
    assert not before or library.get_threads() == before
    assert len(calls) == (2 if library and library.threads > 1 else 1)
    times = {"tinynet": [3.0], "matrix products, one thread": [2.0], "matrix products, all threads": [1.0]}
    assert part("measure").Group("steps", "w", {}, times).limit == "matrix products, all threads"


def test_the_limit_of_an_epoch_is_that_of_as_many_steps(part, monkeypatch):
    made = []
    monkeypatch.setattr(part("peers.tinynet"), "on_threads", lambda products: {"one thread": made.append})
    part("peers.tinynet").limit(tiny(part), times=7)["matrix products, one thread"](3)
    assert made == [21]


def test_the_breakdown_has_every_call_of_a_step(part):
    ours, spec = part("peers.tinynet"), tiny(part)
    weights = part("spec").draw_weights(spec)
    calls = {name: count for name, (_, count) in ours.kernels_of_a_step(spec, weights).items()}
    assert calls == {
        "matrix products": 3 + 3 + 2,  # three layers; the first needs no gradient of the data
        "batch_norm.forward": 2, "batch_norm.update_running": 2, "batch_norm.backward": 2,
        "activations.relu_forward": 2, "activations.relu_backward": 2,
        "dense.add_bias": 1, "dense.bias_gradient": 1, "sgd.update_momentum": 3 + 1 + 4, "loss": 1,
    }  # fmt: skip


def test_shares_of_a_step_add_up(part):
    tables, group = part("tables"), part("measure").Group
    times = {"tinynet": [8.0, 10.0, 30.0], "loss": [1.0, 1.0, 1.0], "matrix products": [5.0, 6.0, 7.0]}
    one = group("breakdown", "paper", {"calls": {"loss": 1, "matrix products": 9}}, times)
    assert tables.shares(one) == {"matrix products": 0.6, "loss": 0.1, "all else": pytest.approx(0.3)}
    assert [row[-1] for row in tables.breakdown([one])[1:]] == ["100.0%", "60.0%", "10.0%", "30.0%"]
    assert part("draw").kinds(one) == tables.shares(one)


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
    group = part("measure").Group("steps", "w", {}, {"tinynet": [1.0, 2.0, 6.0], "torch": [4.0, 8.0, 12.0]})
    assert group.ratio("torch") == 4
    assert group.ratio("tinynet", of="torch") == 0.25
    assert group.spread("torch") == pytest.approx((3, 4))
    assert group.quartiles("tinynet") == (1.5, 4.0)
    assert np.isnan(group.ratio("jax"))


def test_exponent_is_of_the_upper_half(part):
    exponent, sizes = part("tables").exponent, [1, 2, 5, 10, 20, 50, 100]
    assert exponent(sizes, [3e-6 * n**1.7 for n in sizes]) == (pytest.approx(1.7), 10)
    flat_at_first = [1e-3 if n < 10 else 1e-3 * (n / 10) ** 2 for n in sizes]
    assert exponent(sizes, flat_at_first) == (pytest.approx(2), 10)


def test_goals_are_judged_against_the_limit(part):
    tables, group = part("tables"), part("measure").Group
    times = {"tinynet": [3.0], "torch": [1.0], "matrix products": [2.0]}
    verdicts = {row[0]: row[2:] for row in tables.goals([group("steps", "paper", {}, times)])}
    assert verdicts["One training step: paper"] == ["matrix products", "1.20", "1.50", "not met"]
    assert verdicts["One training step: deep"] == ["", "1.10", "", "not measured"]
    met = group("steps", "paper", {}, {**times, "tinynet": [2.4]})
    assert tables.goals([met])[1][-1] == "met"


def test_the_overview_has_the_fastest_way_of_each_and_marks_who_is_faster(part):
    tables, group = part("tables"), part("measure").Group
    epoch = {
        "tinynet": [2.0], "tinynet (steps alone)": [1.0], "torch (DataLoader)": [8.0], "torch (arrays)": [6.0],
        "jax (arrays)": [1.0], "matrix products, one thread": [0.5], "matrix products, all threads": [0.8],
    }  # fmt: skip
    predicted = {"tinynet, plain": [1.0], "torch, plain": [9.0], "tinynet, folded": [2.0], "torch, folded": [5.0]}
    groups = [
        group("epoch", "paper", {}, epoch),
        group("inference", "batch 60", {"batch": 60}, predicted),
        group("kernels", "relu", {}, {"tinynet": [1.0], "torch": [0.5], "copy": [0.1]}),  # no user does it alone
        group("start", "first step, cold", {}, {"tinynet": [1.0]}),
    ]
    memory = [
        {"work": "paper", "peer": "tinynet", "peak_memory": 2e8},
        {"work": "paper", "peer": "jax", "peak_memory": 5e8},
    ]
    assert tables.overview(groups, memory) == [
        ["", "tinynet", "the machine's limit", "PyTorch eager", "JAX jit"],
        ["paper: an epoch", "2.00 s", "0.25", "3.00", "**0.50**"],
        ["paper + batch norm, folded: a prediction of 60", "2.00 s", "", "2.50", ""],
        ["paper: memory at its peak", "200 MB", "", "", "2.50"],
    ]


def test_every_goal_is_something_that_is_measured(part, monkeypatch):
    """A goal that names a work or peer differently from the part that times it would stay unmeasured for ever."""
    parts = part("parts")
    monkeypatch.setattr(parts, "in_turns", lambda runs, pace: {run: [1.0] for run in runs})
    monkeypatch.setattr(parts, "kernel_runs", lambda *_: ({}, dict.fromkeys(("tinynet", "torch", "copy"))))
    monkeypatch.setattr(parts, "training", lambda one: None)
    monkeypatch.setattr(parts.ours, "on_threads", lambda products: {"one thread": None})
    monkeypatch.setattr(parts.ours, "products", lambda spec, training: None)

    class Stand(peer(part, "numpy")):
        pipelines = ("fit", "fit, probe and bar", "steps alone", "arrays")

    groups = []
    for name in ("steps", "epoch", "inference", "kernels"):
        groups += parts.PARTS[name].measure({"tinynet": Stand}, part("measure").FULL)
    assert {row[-1] for row in part("tables").goals(groups)[1:]} <= {"met", "not met"}


@pytest.mark.parametrize(
    ("seconds", "shown"), [(1.234, "1.23 s"), (0.0123, "12.3 ms"), (4.56e-6, "4.56 µs"), (3e-8, "0.03 µs")]
)
def test_durations_have_three_digits(part, seconds, shown):
    assert part("tables").duration(seconds) == shown


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
    found = part("processes").allocations(tiny(part), Allocating(size, kept))
    assert size <= found["step_peak"] <= size + kept + 2000
    assert kept <= found["step_kept"] <= kept * 1.1


def test_what_only_the_first_steps_allocate_is_not_counted(part):
    class Buffered(Allocating):
        steps = 0

        def step(self, x, y):
            self.steps += 1
            np.empty(1_000_000 if self.steps <= 3 else 0, np.uint8)

    found = part("processes").allocations(tiny(part), Buffered(0, 0))
    assert found["step_peak"] <= 2000
    assert found["step_kept"] == 0


def test_a_process_of_its_own_tells_its_memory(part):
    found = part("processes").child("numpy", part("spec").PAPER[1], ["--trace"], {})
    assert 1e7 < found["peak_memory"] < 1e9
    assert found["step_kept"] == 0
    assert found["step_peak"] > 60 * 784 * 4 / 2  # plain NumPy makes new arrays


def test_peers_processes_do_not_load_tinynet(part):
    """Its memory and its import would be counted as theirs."""
    code = "import sys, benchmarks.processes, benchmarks.peers.numpy; print('tinynet' in sys.modules)"
    assert part("processes").python(["-c", code]).strip() == "False"


# -- the command ----------------------------------------------------------------------------------------------


@pytest.fixture
def small(part, main, monkeypatch):
    """Make every part so small that it takes no time."""
    arms = [tiny(part, batch_norm=norm) for norm in (False, True)]
    monkeypatch.setattr(main, "QUICK", part("measure").Pace(2, 1e-4, 0.0, quick=True))
    monkeypatch.setattr(main, "QUICK_SPECS", arms)
    parts, processes = part("parts"), part("processes")
    monkeypatch.setattr(parts, "QUICK_SPECS", arms)
    monkeypatch.setattr(parts, "QUICK_EXAMPLES", 60)
    monkeypatch.setattr(parts, "BATCHES", (1, 60))
    monkeypatch.setattr(parts, "NORMALIZED", ((6, 5),))
    monkeypatch.setattr(parts, "QUICK_SIZES", {"depth": (1, 2), "width": (3, 4), "batch": (2, 4)})
    monkeypatch.setattr(processes, "python", lambda *_: '{"first_step_at": 0, "peak_memory": 5e7}')
    monkeypatch.setattr(processes, "IMPORTS", {})
    monkeypatch.setattr(part("draw"), "DPI", 30)


@pytest.mark.slow
def test_whole_run(part, main, small, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "benchmarks.peers.torch", raising=False)
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
    steps = [group for group in written["groups"] if group["part"] == "steps"]
    assert [group["work"] for group in steps] == ["tiny", "tiny + batch norm"]
    for group in steps:
        assert [name.partition(",")[0] for name in group["times"]][:3] == ["tinynet", "numpy", "matrix products"]
        assert all(len(taken) == 3 for taken in group["times"].values())
    assert written["environment"]["versions"]["numpy"] == np.__version__
    assert str(ROOT) not in page + json.dumps(written["environment"])

    again = tmp_path / "again"
    assert main.main(["--from", str(tmp_path / "performance.json"), "--out", str(again)]) == 0
    for name in ("performance.md", "performance.json", *images):
        assert (again / name).read_bytes() == (tmp_path / name).read_bytes()


def test_only_the_parts_asked_for(main, small, monkeypatch, capsys):
    assert main.main(["--quick", "--only", "kernels"]) == 0
    printed = capsys.readouterr().out
    assert "(6, 5) relu, forward" in printed
    assert "One training step" not in printed


def test_an_interruption_keeps_the_parts_that_were_done(part, main, small, monkeypatch, tmp_path):
    def interrupted(*_):
        raise KeyboardInterrupt

    parts = part("parts")
    monkeypatch.setitem(parts.PARTS, "start", parts.Part("Start", "", interrupted))
    with pytest.raises(KeyboardInterrupt):
        main.main(["--quick", "--only", "growth,start", "--out", str(tmp_path)])
    written = json.loads((tmp_path / "performance.json").read_text(encoding="utf-8"))
    assert {group["part"] for group in written["groups"]} == {"growth"}


def test_a_peer_that_differs_is_not_timed(part, main, small, monkeypatch, capsys):
    numpy_peer = broken(peer(part, "numpy"), nan_gradient)
    load = part("peers").load
    monkeypatch.setattr(main, "load", lambda name: numpy_peer if name == "numpy" else load(name))
    monkeypatch.setattr(main, "measure", lambda *_: pytest.fail("timed"))
    assert main.main(["--quick"]) == 1
    assert "NOT THE SAME" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--against", "numpy,jaxx"], ["--only", "step"], ["--rounds", "0"], ["--out", f"{__file__}/benchmark"],
        ["--from", "docs/performance.json"], ["--from", "nothing.json", "--out", "."],
        ["--from", "other.json", "--out", "."],
    ],
)  # fmt: skip
def test_wrong_arguments_are_one_line(main, arguments, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("other.json").write_text('{"command": "another"}')
    with pytest.raises(SystemExit) as stopped:
        main.main(arguments)
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("benchmarks: ")


def test_the_page_of_the_documentation_is_what_the_program_writes_from_its_numbers(part, tmp_path, monkeypatch):
    page, docs = part("page"), ROOT / "docs"
    monkeypatch.setattr(part("draw"), "DPI", 10)
    page.write(tmp_path, page.Measurement.from_json(json.loads((docs / "performance.json").read_text("utf-8"))))
    for name in ("performance.md", "performance.json"):
        assert (tmp_path / name).read_text("utf-8") == (docs / name).read_text("utf-8")
    assert {path.name for path in (tmp_path / "images").iterdir()} == {
        path.name for path in (docs / "images").glob("performance_*")
    }
