import csv
import json
import re
from pathlib import Path

import pytest

import tinynet as tn
from tinynet import cli, plots
from tinynet.experiments import lab, suite
from tinynet.experiments.experiment import QUICK, Experiment, Verdict
from tinynet.experiments.runs import RunSettings


@pytest.fixture
def toy(idx_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """One small experiment, alone in the suite, and a lab of one cell."""

    def runs(quick: bool) -> list[RunSettings]:
        base = {"depth": 1, "width": 4, "batch_size": 30, "data": str(idx_folder), "probed": False}
        return [RunSettings(norm=norm, seed=s, steps=10, **base) for s in range(3) for norm in (None, "batch")]  # type: ignore[arg-type]

    def draw(results):
        figure, (ax,) = plots.figure()
        ax.set(xlabel="x", ylabel="y")
        return {"figure": figure}

    experiment = Experiment(
        name="toy",
        title="A toy",
        claim="Toys train.",
        method="Six runs.",
        runs=runs,
        verdict=lambda results: Verdict("holds", f"{len(results)} runs"),
        table=lambda results: [["runs"], [str(len(results))]],
        draw=draw,
        captions={"figure": "Nothing."},
    )
    monkeypatch.setattr(suite, "EXPERIMENTS", {"toy": experiment})
    cell = lab.LabSettings(depth=1, width=4, steps=10, batch_size=30, record_every=2, data=str(idx_folder))
    monkeypatch.setattr(lab, "runs", lambda quick: [cell])
    monkeypatch.setattr(lab, "grid", lambda results, quick: {"axes": {}, "arms": [], "runs": {}, "n": len(results)})
    return experiment


def test_every_experiment_is_named_as_it_is_listed() -> None:
    assert [e.name for e in suite.EXPERIMENTS.values()] == list(suite.EXPERIMENTS)
    assert [row[0] for row in suite.listed()] == list(suite.EXPERIMENTS)


@pytest.mark.parametrize("name", sorted(suite.EXPERIMENTS))
@pytest.mark.parametrize("quick", [True, False])
def test_every_experiment_has_at_least_three_paired_seeds(name: str, quick: bool) -> None:
    seeds = [getattr(settings, "seed", None) for settings in suite.EXPERIMENTS[name].runs(quick)]
    assert len({seed for seed in seeds if seed is not None}) >= 3


def test_an_unknown_experiment_is_refused_with_the_near_one() -> None:
    with pytest.raises(tn.InputError, match="unknown experiment 'learning-rat'; did you mean 'learning-rate'"):
        suite.find(["learning-rat"])


@pytest.mark.usefixtures("toy")
def test_list_prints_names_and_claims(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list"]) == 0
    assert capsys.readouterr().out == "toy   Toys train.\n"


@pytest.mark.slow
@pytest.mark.usefixtures("toy")
def test_run_writes_results_and_keeps_the_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", "toy", "--quick", "--jobs", "1", "--out", str(tmp_path)]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr()
    assert "Holds: 6 runs" in printed.out
    assert re.search(r"^6 runs in \d+ s, \d+\.\d a second; 0 kept from before$", printed.err, re.MULTILINE)
    results = json.loads((tmp_path / "toy" / "results.json").read_text())
    assert results["verdict"] == {"outcome": "holds", "sentence": "6 runs"}
    assert len(results["runs"]) == 6
    with (tmp_path / "toy" / "table.csv").open() as file:
        assert list(csv.reader(file)) == [["runs"], ["6"]]
    assert (tmp_path / "toy" / "figure.png").exists()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.json")}
    assert len(kept) == 6
    assert cli.main(arguments) == 0
    assert "6 kept from before" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "nothing was run again"


@pytest.mark.slow
@pytest.mark.usefixtures("toy")
def test_report_writes_one_page_and_the_table_of_verdicts(tmp_path: Path) -> None:
    assert cli.main(["report", "--quick", "--out", str(tmp_path)]) == 0
    page = (tmp_path / "report.html").read_text()
    assert "Holds: 6 runs" in page
    assert 'id="lab-data">{"axes": {}' in page
    results = (tmp_path / "results.md").read_text()
    assert results.startswith("# Results\n\nWritten by `tinynet report --quick` on ")
    assert "| [A toy](#a-toy) | holds | 6 runs |" in results
    assert "## A toy\n\n**Holds.** 6 runs\n\nToys train." in results
    assert "Run it again: `tinynet run toy --quick` (6 runs; 0 failed runs)." in results
    for picture in re.findall(r"\]\((images/.+?)\)", results):
        assert (tmp_path / picture).read_bytes() == (tmp_path / "toy" / "figure.png").read_bytes()
    assert "images/results_toy_figure.png" in results


@pytest.mark.slow
def test_a_failed_run_is_said_and_the_others_are_kept(
    toy: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = toy.runs(True)
    bad = RunSettings(train_size=1, norm="batch", data=good[0].data)
    monkeypatch.setattr(suite, "EXPERIMENTS", {"toy": Experiment(**{**vars(toy), "runs": lambda quick: [*good, bad]})})
    assert cli.main(["run", "toy", "--jobs", "1", "--out", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert "Holds: 6 runs" in printed.out
    assert "failed: RunSettings(depth=10" in printed.err
    assert "the training set has 1 example, batch normalization needs 2" in printed.err


def test_the_headline_of_a_verdict_is_its_first_sentence() -> None:
    assert (
        Verdict("holds", "It is 0.5 (range 0.4 to 0.6). And more. And 3.").headline == "It is 0.5 (range 0.4 to 0.6)."
    )
    assert Verdict("holds", "It is 0.5.").headline == "It is 0.5."


def test_the_lab_has_every_cell_and_both_arms() -> None:
    runs = lab.runs(True)
    assert len(runs) == 3 * 3 * 3 * 2 * 2
    result = {"accuracy": [0.5, float("nan")], "gradient": [0.0, 1e-3], "diverged": True}
    grid = lab.grid(dict.fromkeys(runs[:-1], result), True)
    assert len(grid["runs"]) == 3 * 3 * 3 * 2 - 1, "a cell whose run failed is left out"
    drawn = {"accuracy": [0.5, None], "gradient": [None, 0.001], "diverged": True}
    assert grid["runs"]["0,0,0,0,0"] == [drawn, drawn]
    json.dumps(grid, allow_nan=False)


# -- the quick form ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("toy")
def test_the_quick_form_says_before_all_else_that_it_is_no_evidence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report", "--quick", "--jobs", "1", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith(f"{QUICK}\n\n")
    page = (tmp_path / "report.html").read_text()
    assert page.index(QUICK) < page.index("<table>")
    head = (tmp_path / "results.md").read_text().partition("| claim |")[0]
    assert f"\n\n**{QUICK}**\n\n" in head
    assert cli.main(["run", "toy", "--quick", "--jobs", "1", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith(f"{QUICK}\n\n")
    assert "no evidence" in QUICK
    assert "another verdict" in QUICK


@pytest.mark.slow
@pytest.mark.usefixtures("toy")
def test_results_of_both_forms_are_kept_apart_and_share_their_finished_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report", "--quick", "--jobs", "1", "--out", str(tmp_path)]) == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    capsys.readouterr()
    for command in (["run", "toy"], ["report"]):
        assert cli.main([*command, "--jobs", "1", "--out", str(tmp_path)]) == 0
        printed = capsys.readouterr()
        assert printed.err.startswith(f"{tmp_path} has results of the quick form, which stay; these go to ")
        assert "kept from before" in printed.err
        assert QUICK not in printed.out
    assert {path: path.read_bytes() for path in before} == before
    assert QUICK not in (tmp_path / "full" / "report.html").read_text()
    assert QUICK not in (tmp_path / "full" / "results.md").read_text()
    assert json.loads((tmp_path / "full" / "toy" / "results.json").read_text())["command"] == "tinynet run toy"
    assert cli.main(["run", "toy", "--quick", "--jobs", "1", "--out", str(tmp_path)]) == 0
    assert not (tmp_path / "quick").exists(), "it is at home"
    assert {path: path.read_bytes() for path in before if path.name == "figure.svg"} == {
        path: content for path, content in before.items() if path.name == "figure.svg"
    }


@pytest.mark.usefixtures("toy")
def test_a_comparisons_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "curves.csv").write_text("")
    for command in (["run", "toy"], ["report"]):
        assert cli.main([*command, "--out", str(tmp_path)]) == 2
        assert "has a comparison, made by tinynet compare; choose another folder" in capsys.readouterr().err


def test_a_finding_of_the_quick_form_says_so_in_a_notebook_too(toy: Experiment) -> None:
    results = {settings: {"diverged": False} for settings in toy.runs(True)}
    quick, full = toy.finding(results, quick=True), toy.finding(results)
    assert str(quick).splitlines()[:2] == ["A toy", QUICK]
    assert QUICK in quick._repr_html_()
    assert repr(quick) == "A toy (quick form): holds"
    assert QUICK not in f"{full}{full._repr_html_()}"
