"""What the commands print and leave behind."""

import contextlib
import io
import json
from pathlib import Path

import pytest

import tinynet as tn
from tinynet import cli

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
