"""What the commands print and leave behind."""

import contextlib
import importlib.util
import io
import json
import math
from pathlib import Path

import pytest
from matplotlib.axes import Axes

import tinynet as tn
from tinynet import cli, convergence
from tinynet.cli import plot
from tinynet.convergence import arms

SMALL = ["--depth", "2", "--width", "8", "--batch-size", "20"]


@pytest.fixture(scope="module")
def compared(idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("compare") / "new" / "folder"
    arguments = ["compare", *SMALL, "--steps", "60", "--jobs", "2", "--data", str(idx_folder), "--out", str(out)]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert cli.main(arguments) == 0
    return out, printed.getvalue()


@pytest.mark.slow
def test_compare_prints_a_table_and_a_verdict(compared: tuple[Path, str]) -> None:
    _, printed = compared
    header, plain, normalized, *rest = printed.splitlines()
    assert header.split("   ")[0] == "arm"
    assert plain.startswith("plain ")
    assert normalized.startswith("batch norm ")
    assert any(line.startswith(("Holds", "Does not hold", "Not shown")) for line in rest)


@pytest.mark.slow
def test_compare_writes_plots_data_and_page(compared: tuple[Path, str]) -> None:
    out, printed = compared
    names = {path.name for path in out.iterdir()}
    plots = {"convergence", "gradient_by_layer", "gradient_over_training", "activation_percentiles"}
    assert names == {f"{p}.{e}" for p in plots for e in ("png", "svg")} | {
        "report.html",
        "results.json",
        "curves.csv",
        "runs",
    }
    results = json.loads((out / "results.json").read_text())
    assert results["verdict"] in printed
    assert results["command"].startswith("tinynet compare --depth 2")
    assert [(r["arm"], r["settings"]["seed"]) for r in results["runs"]] == [
        (arm, seed) for seed in range(3) for arm in ("plain", "batch norm")
    ]
    for seed, arm in ((0, "plain"), (2, "batch-norm")):
        history = tn.History.from_csv(out / "runs" / f"{arm}-seed{seed}.csv")
        assert history.steps[-1] == 60
    rows = (out / "curves.csv").read_text().splitlines()
    assert len(rows) == 1 + 6 * 60
    page = (out / "report.html").read_text()
    assert results["verdict"] in page
    assert page.count("data:image/svg+xml") == 4


@pytest.mark.slow
def test_saved_runs_are_plotted_over_each_other(compared: tuple[Path, str], tmp_path: Path) -> None:
    runs = [compared[0] / "runs" / f"{arm}-seed0.csv" for arm in ("plain", "batch-norm")]
    out = tmp_path / "curves.svg"
    assert cli.main(["plot", *map(str, runs), "--out", str(out)]) == 0
    assert "plain-seed0" in out.read_text() or out.stat().st_size > 10_000


def test_train_saves_a_network_and_its_history_and_evaluate_reads_it(
    idx_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs" / "net.safetensors"
    assert cli.main(["train", *SMALL, "--epochs", "4", "--data", str(idx_folder), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "60 steps, test accuracy " in printed
    accuracy = printed.split("test accuracy ")[1].split("%")[0]
    assert cli.main(["evaluate", str(out), "--data", str(idx_folder)]) == 0
    assert f"test accuracy {accuracy}%" in capsys.readouterr().out
    assert tn.History.from_csv(tmp_path / "runs" / "net.csv").steps[-1] == 60
    assert cli.main(["plot", str(out), "--out", str(tmp_path / "CURVES.PNG")]) == 0
    assert (tmp_path / "CURVES.PNG").read_bytes().startswith(b"\x89PNG")


def test_train_says_when_a_run_diverged(idx_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--norm", "none", "--activation", "relu", "--lr", "1e20", "--steps", "50", "--data", str(idx_folder)]
    assert cli.main(["train", *SMALL, *arguments, "--out", str(tmp_path / "net.safetensors")]) == 0
    assert "diverged after" in capsys.readouterr().out
    assert tn.History.from_csv(tmp_path / "net.csv").diverged


def test_doctor_prints_facts(capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main(["doctor"])
    printed = capsys.readouterr().out
    assert "numba" in printed
    assert code == (0 if "No problem found." in printed else 1)


# -- names: what a user gave is kept ----------------------------------------------------------------------------


def trained(out: Path, idx_folder: Path, *more: str) -> int:
    return cli.main(["train", *SMALL, "--steps", "20", "--data", str(idx_folder), "--out", str(out), *more])


def test_two_names_that_differ_after_a_dot_share_no_file(
    idx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for rate in ("0.1", "0.2"):
        assert trained(Path(f"lr{rate}"), idx_folder, "--lr", rate) == 0
        assert f"network: lr{rate}, history: lr{rate}.csv" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lr0.1", "lr0.1.csv", "lr0.2", "lr0.2.csv"]
    assert [tn.History.from_csv(f"lr{rate}.csv").lr[0] for rate in ("0.1", "0.2")] == [0.1, 0.2]
    assert cli.main(["plot", "lr0.1", "lr0.2.csv", "--out", "both.svg"]) == 0
    assert "<!-- lr0.1 -->" in Path("both.svg").read_text()
    if importlib.util.find_spec("onnx"):
        assert cli.main(["export", "lr0.1"]) == cli.main(["export", "lr0.2.onnx"]) == 0
        assert sorted(path.name for path in tmp_path.glob("*.onnx")) == ["lr0.1.onnx", "lr0.2.onnx"]


def test_a_history_that_is_not_of_the_network_is_not_written_over(
    idx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert trained(Path("net.safetensors"), idx_folder) == 0
    Path("iris.csv").write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    capsys.readouterr()
    for out, csv in (("net", "net.csv"), ("iris.safetensors", "iris.csv")):
        assert trained(Path(out), idx_folder) == 2
        said = capsys.readouterr().err
        assert (
            said == f"tinynet train: {csv}: is not of this network, and its history goes there; name another --out\n"
        )
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert trained(Path("net.safetensors"), idx_folder, "--lr", "0.3") == 0, "the same name is written again"


def test_an_onnx_file_that_could_be_of_two_networks_is_asked_for_by_both_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    for name, width in (("net", 3), ("net.safetensors", 4)):
        tn.mlp(2, [width], 2, seed=0).save(name)
    for name in ("net", "net.safetensors", "net.onnx"):
        assert cli.main(["export", name]) == 2
        assert "net.onnx: could be of net.safetensors or of net; say which" in capsys.readouterr().err
    assert cli.main(["export", "net", "small.onnx"]) == 0
    assert not Path("net.onnx").exists()


# -- plot -------------------------------------------------------------------------------------------------------


def saved(path: str, accuracy: float = 0.5, **columns: list[float]) -> None:
    history = tn.History([10, 20], [2.0, 1.0], [2.0, 1.0], [accuracy] * 2, [0.1] * 2)
    for name, values in columns.items():
        setattr(history, name, values)
    history.to_json(path) if path.endswith(".json") else history.to_csv(path)


def drawn(monkeypatch: pytest.MonkeyPatch, *names: str) -> Axes:
    """Return the axes that `tinynet plot` draws, after it wrote them as PNG, SVG and PDF."""
    seen: list[Axes] = []
    draw = arms.draw
    monkeypatch.setattr(arms, "draw", lambda *given, **more: seen.append(draw(*given, **more)) or seen[-1])
    for ending in ("png", "svg", "pdf"):
        assert cli.main(["plot", *names, "--out", f"out/curves.{ending}"]) == 0
    return seen[0]


def legend(ax: Axes) -> list[str]:
    found = ax.get_legend()
    assert found is not None
    return [text.get_text().lstrip("\u200b") for text in found.get_texts()]


def test_every_run_that_is_named_is_in_the_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["same.csv", "same.json", "_shy.csv", "cost $5 and $x^.csv", "lr0.1.csv", "same.csv"]
    for name in names:
        saved(name)
    ax = drawn(monkeypatch, *names)
    # a dollar with a backslash before it is a dollar, and no formula
    assert legend(ax) == ["same.csv", "same.json", "_shy", r"cost \$5 and \$x^", "lr0.1"]


def test_where_no_run_has_an_accuracy_the_loss_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    nothing = [float("nan")] * 2
    saved("a.csv", validation_accuracy=nothing)
    saved("b.csv", validation_accuracy=nothing, validation_loss=nothing)
    ax = drawn(monkeypatch, "a.csv")
    assert (ax.get_ylabel(), ax.lines[0].get_xydata().tolist()) == ("loss (validation data)", [[10, 2], [20, 1]])
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert drawn(monkeypatch, "b.csv").get_ylabel() == "loss (training data)"
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    saved("c.csv")
    ax = drawn(monkeypatch, "a.csv", "c.csv")
    assert (ax.get_ylabel(), legend(ax)) == ("loss (validation data)", ["a", "c"])


def test_the_options_choices_are_those_of_the_library() -> None:
    assert [name.replace("-", " ") for name in plot.BANDS] == [*convergence.BANDS]
    assert plot.UNITS == convergence.UNITS


def test_what_is_no_run_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lr0.1").write_text("")
    assert cli.main(["plot", "lr0.1"]) == 2
    assert capsys.readouterr().err == "tinynet plot: lr0.1: empty\n"


def test_what_cannot_be_drawn_is_said_and_the_rest_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    saved("a.csv")
    saved("b.csv", validation_accuracy=[float("nan")] * 2)
    assert cli.main(["plot", "a.csv", "b.csv", "none.csv", "--metric", "accuracy", "--size", "5,4"]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[-2].startswith("a.csv: tinynet, 20 steps, train_loss, ")
    assert out.splitlines()[-1] == "curves: curves.png"
    assert err.splitlines() == [
        "tinynet plot: left out: none.csv: no such file",
        "tinynet plot: left out: unknown metric in b.csv 'accuracy'; known: loss, lr, train_loss, validation_loss, lr",
    ]
    assert Path("curves.png").stat().st_size > 10_000


def test_arms_of_several_runs_are_labelled_by_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a-0.csv", "a-1.csv", "b-0.json"):
        saved(name)
    ax = drawn(monkeypatch, "first=a-*.csv", "second=b-0.json", "--over", "step", "--band", "standard-error")
    assert legend(ax) == ["first (2 runs)", "second"]
    Path("net.safetensors").touch()
    saved("net.csv")
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert legend(drawn(monkeypatch, "net=net.safetensors", "net", "a-0.csv")) == ["net (2 runs)", "a-0"]


# -- a network that diverged ------------------------------------------------------------------------------------


def test_a_network_that_diverged_has_no_accuracy(
    idx_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = tn.mlp(36, [4], 3, seed=0)
    net.params["dense_2.bias"][:] = float("nan")
    net.save(tmp_path / "net")
    test = tn.datasets.idx(idx_folder)[1]
    assert all(map(math.isnan, tn.evaluate(net, test)))
    assert cli.main(["evaluate", str(tmp_path / "net"), "--data", str(idx_folder)]) == 0
    assert capsys.readouterr().out == "test loss nan: the network has diverged, and has no accuracy\n"
    assert cli.main(["evaluate", str(tmp_path / "net"), "--data", str(idx_folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["test_accuracy"] == "nan"


def test_a_run_whose_divergence_validation_finds_has_no_accuracy_in_its_last_record(idx_folder: Path) -> None:
    train, test = tn.datasets.idx(idx_folder)
    net = tn.mlp(36, [8] * 3, 3, activation="relu", seed=0)
    history = tn.fit(net, train, validation=test, optimizer=tn.SGD(1e25), steps=40, validate_every=1, batch_size=20)
    assert history.diverged
    assert math.isfinite(history.train_loss[-1]), "the batch's own loss still was"
    assert not math.isfinite(history.validation_loss[-1])
    assert math.isnan(history.validation_accuracy[-1])
