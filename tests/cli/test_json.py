"""With --json, standard output is one strict JSON document that has the table's own numbers."""

import argparse
import dataclasses
import json
import math
import re
import statistics
from pathlib import Path
from typing import Any

import pytest

import tinynet as tn
from tests.experiments.test_suite import toy  # noqa: F401  one small experiment, alone in the suite
from tinynet import cli
from tinynet.cli import diagnosis, parser
from tinynet.cli.output import aligned
from tinynet.experiments import compare, results
from tinynet.experiments.experiment import Finding
from tinynet.experiments.runs import RunSettings

SMALL = ["--depth", "2", "--width", "8", "--batch-size", "20"]
DIVERGING = ["--norm", "none", "--activation", "relu", "--lr", "1e20"]
PAGE = (Path(__file__).parents[2] / "docs" / "how_to" / "command_line.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([a-z]+)` \| (.*) \|$", PAGE.partition("| its document |")[2], re.MULTILINE)
DOCUMENTED = {name: re.findall(r"`([a-z_]+)`", re.sub(r"\(.*?\)", "", names)) for name, names in ROWS}
COMMANDS = next(a for a in parser.build()._actions if isinstance(a, argparse._SubParsersAction)).choices


def refused(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def strict(text: str) -> Any:
    """Read a document as a strict reader does: of numbers, finite ones only."""
    return json.loads(text, parse_constant=refused)


def document(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> Any:
    """Return what the command prints, all of it."""
    assert cli.main([*map(str, arguments), "--json"]) == code
    printed = strict(capsys.readouterr().out)
    assert list(printed) == DOCUMENTED[str(arguments[0])]
    return printed


def test_every_command_that_prints_results_has_it() -> None:
    having = {name for name, own in COMMANDS.items() if "--json" in own._option_string_actions}
    assert having == set(COMMANDS) - {"completion"}  # which prints a script
    assert having == set(DOCUMENTED)


@pytest.fixture
def compared(idx_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Finding:
    """Two whole pairs of runs, and one whose plain run diverged: what the command finds, whatever it asks."""
    base = RunSettings(depth=2, width=8, batch_size=20, steps=60, record_every=10, lr=0.3, data=str(idx_folder))
    settings = compare.arms(base, "batch", 3)
    settings[4] = dataclasses.replace(settings[4], lr=1e20, activation="relu")
    experiment = dataclasses.replace(compare.experiment(base, "batch", 3), runs=lambda quick: settings)
    made = experiment.finding({s: s.run() for s in settings})
    monkeypatch.setattr(compare, "compare", lambda *arguments: made)
    monkeypatch.setattr(
        results, "write_comparison", lambda *arguments: None
    )  # which takes seconds, and is tested elsewhere
    return made


def test_compare_prints_the_table_the_verdict_and_the_runs_they_come_from(
    compared: Finding, idx_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", "--data", str(idx_folder), "--out", str(tmp_path)]
    got = document(capsys, *command)
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    rows = [[*got["table"][0]], *([*row.values()] for row in got["table"])]
    verdict = f"{got['verdict']['outcome'].capitalize()}: {got['verdict']['sentence']}"
    assert printed.startswith(f"{aligned(rows)}\n\n{verdict}\n")
    for row in got["table"]:
        arm = [run for run in got["runs"] if run["arm"] == row["arm"]]
        finite = [run["test_accuracy"] for run in arm if not run["diverged"]]
        assert row["test accuracy"].startswith(f"{statistics.median(finite):.2%} ({min(finite):.2%} to ")
        assert row["diverged"] == f"{sum(run['diverged'] for run in arm)} of 3"
    assert [run["seed"] for run in got["runs"]] == [0, 0, 1, 1, 2, 2]
    (diverged,) = [run for run in got["runs"] if run["diverged"]]
    assert (diverged["arm"], diverged["seed"], diverged["test_accuracy"]) == ("plain", 2, "nan")
    assert not math.isfinite(float(diverged["train_loss"]))
    assert got["folder"] == str(tmp_path)
    assert [float(d) for d in got["differences"]] == compare.differences(compared.results)
    assert got["differences"][2] == "inf", "worse than any, and no number of points"


@pytest.mark.parametrize("more", [[], DIVERGING], ids=["finite", "diverging"])
def test_train_and_evaluate_print_the_numbers_they_keep(
    more: list[str], idx_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "net.safetensors"
    got = document(capsys, "train", *SMALL, *more, "--steps", 60, "--data", idx_folder, "--out", out)
    history = tn.History.from_csv(tmp_path / "net.csv")
    assert got.pop("go_on") is None
    assert (got.pop("network"), got.pop("history")) == (str(out), str(tmp_path / "net.csv"))
    assert (got.pop("diverged"), got.pop("interrupted")) == (bool(more), False)
    assert {name: float(value) for name, value in got.items()} == pytest.approx(
        {
            "steps": history.steps[-1],
            "train_loss": history.train_loss[-1],
            "test_loss": history.validation_loss[-1],
            "test_accuracy": history.validation_accuracy[-1],
        },
        nan_ok=True,
        rel=0,
    )
    if not more:
        tested = document(capsys, "evaluate", out, "--data", idx_folder)
        loss, accuracy = tn.evaluate(tn.load(out), tn.datasets.idx(idx_folder)[1])
        assert tested == {"network": str(out), "test_loss": loss, "test_accuracy": accuracy}
        assert accuracy == got["test_accuracy"]


def test_list_and_doctor(
    toy: object,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert document(capsys, "list") == {"experiments": [{"name": "toy", "claim": "Toys train."}]}
    monkeypatch.setattr(diagnosis, "examine", lambda: ([("python", "3"), ("BLAS", "none")], ["Mend it."]))
    assert document(capsys, "doctor", code=1) == {
        "facts": {"python": "3", "BLAS": "none"},
        "problems": ["Mend it."],
    }


@pytest.mark.slow
@pytest.mark.usefixtures("toy")
def test_run_and_report_print_verdicts_and_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--quick", "--jobs", "1", "--out", str(tmp_path)]
    (found,) = document(capsys, "run", "toy", *where)["experiments"]
    written = json.loads((tmp_path / "toy" / "results.json").read_text())
    assert found["verdict"] == written["verdict"] == {"outcome": "holds", "sentence": "6 runs"}
    assert found["table"] == [{"runs": "6"}]
    assert written["table"] == [["runs"], ["6"]]
    assert (found["runs"], found["failed"], found["folder"]) == (6, 0, str(tmp_path / "toy"))
    assert found
    got = document(capsys, "report", *where)
    assert got["quick"] is True
    assert got["claims"] == [{"claim": "A toy", "verdict": "holds", "measured": "6 runs"}]
    assert got["page"] == str(tmp_path / "report.html")


def test_export_and_plot_print_what_they_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnx")
    tn.mlp(5, [4], 3, activation="relu", seed=0, dtype="float64").save(tmp_path / "net.safetensors")
    model = tmp_path / "net.onnx"
    expected = {"model": str(model), "inputs": 5, "outputs": 3, "dtype": "float64"}
    assert document(capsys, "export", tmp_path / "net.safetensors") == expected
    assert model.exists()
    history, curves = tn.History(), tmp_path / "curves.png"
    history.append(1, 0.5, 0.5, 0.5, 0.1)
    history.to_csv(tmp_path / "run.csv")
    found = document(capsys, "plot", tmp_path / "run.csv", "--out", curves)
    assert (found["curves"], found["left_out"]) == (str(curves), [])
    (run,) = found["runs"]
    assert {name: run[name] for name in ("arm", "name", "program", "seed", "diverged")} == {
        "arm": "run",
        "name": str(tmp_path / "run.csv"),
        "program": "tinynet",
        "seed": None,
        "diverged": False,
    }
    assert run["metrics"]["validation_accuracy"] == {"values": 1, "last": 0.5}
    assert curves.exists()
