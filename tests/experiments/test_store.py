"""What is kept of a sweep: under which name, for how long, and what is said of what cannot be used."""

import dataclasses
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinynet as tn
from tests.experiments.test_sweep import ROOT, Diverging, Lab, lab  # noqa: F401 (a fixture)
from tests.test_house import imported, inside, modules
from tinynet.experiments import store
from tinynet.experiments.runs import RunSettings
from tinynet.experiments.store import Store, code_version
from tinynet.experiments.sweep import run_sweep

RUNS = "tinynet.experiments.runs"


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("", "not a whole JSON file"),
        ("{", "not a whole JSON file"),
        ("half", "not a whole JSON file"),
        ("[" * 100_000, "not a whole JSON file"),
        ('{"settings": {}}', "holds no result"),
        ("[]", "holds no result"),
        ('{"result": 3}', "holds no result"),
        ("folder", "Is a directory"),
    ],
)
def test_a_damaged_file_is_named_and_made_again(
    lab: Lab,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    damage: str,
    reason: str,
) -> None:
    first = run_sweep(lab.runs(2), store=lab.store)
    path, other = lab.kept()
    whole, untouched = path.read_text(), other.stat().st_mtime_ns
    if damage == "folder":
        path.unlink()
        path.mkdir()
        with pytest.raises(tn.InputError, match="cannot keep a result there"):
            run_sweep(lab.runs(2), store=lab.store)
    else:
        path.write_text(whole[: len(whole) // 2] if damage == "half" else damage)
        again = run_sweep(lab.runs(2), store=lab.store)
        assert again.ran == 1
        assert again.results == first.results
        assert path.read_text() == whole
    assert capsys.readouterr().err == f"{path}: {reason}; this run is made again, the others are kept\n"
    assert other.stat().st_mtime_ns == untouched


# -- what made it ------------------------------------------------------------------------------------------


def test_a_kept_run_says_what_made_it(lab: Lab) -> None:  # noqa: F811
    run_sweep(lab.runs(1), store=lab.store)
    (path,) = lab.kept()
    assert path.parent.name == f"Logged-{code_version('tests.experiments.test_sweep')[:16]}"
    made = json.loads(path.read_text())["made_by"]
    assert made["tinynet"] == tn.__version__
    assert made["numpy"] == np.__version__
    assert made["python"] == sys.version.split()[0]
    assert made["blas"], "the BLAS that NumPy uses, with its kernel set"
    assert all("kernel set" in blas for blas in made["blas"])


def test_results_of_another_code_version_are_not_used_not_touched_and_said_to_be_there(
    lab: Lab,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_sweep(lab.runs(2), store=lab.store)
    run_sweep([Diverging()], store=lab.store)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(store, "code_version", lambda module: "another")
    assert run_sweep(lab.runs(3), store=lab.store).ran == 3
    said = f"{lab.store}: 2 runs kept there, made by another version of the code, not used and not touched\n"
    assert capsys.readouterr().err == said, "those of the same kind: the other's have no part in this sweep"
    assert run_sweep(lab.runs(3), store=lab.store).ran == 0
    assert capsys.readouterr().err == "", "nothing to be done, nothing to be said"
    monkeypatch.undo()
    assert run_sweep(lab.runs(2), store=lab.store).ran == 0, "those of this version are still there"


@pytest.mark.parametrize(
    ("changed", "matters"),
    [
        ("plots.py", False),
        ("report.py", False),
        ("experiments/sweep.py", False),
        ("kernels/softmax.py", True),
        ("layers/batch_norm.py", True),
        ("training.py", True),
        ("a_new_file.py", True),
        ("experiments/runs.py", True),
    ],
)
def test_a_run_is_made_again_only_if_its_numbers_may_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str, matters: bool
) -> None:
    copy = shutil.copytree(
        ROOT / "tinynet", tmp_path / "tinynet", ignore=shutil.ignore_patterns("data", "__pycache__")
    )
    before = code_version(RUNS)
    monkeypatch.setattr(tn, "__file__", str(copy / "__init__.py"))
    assert code_version(RUNS) == before, "where tinynet is does not matter"
    with (copy / changed).open("a") as file:
        file.write("# changed\n")
    assert (code_version(RUNS) != before) == matters


def test_what_a_run_imports_counts_but_for_files_and_drawing() -> None:
    reached, new = set(), {name.removesuffix(".py").replace("/", ".") for name in store.SHARED}
    while new:
        reached |= new
        new = {inside(i) for name in new for i in imported(modules()[name]) if i.startswith("tinynet.")} - reached
    left_out = {name for name in reached if f"{name}.py" in store.HARMLESS}
    drawn = {"display", "drawing", "plots", "progress", "style"}
    assert left_out <= {"__init__", "checkpoint", "errors", "files", "text", "typing"} | drawn
    assert "kernels.batch_norm" in reached


def test_the_settings_own_source_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "script.py"
    script.write_text("first")
    monkeypatch.setattr(sys.modules[__name__], "__file__", str(script))
    before = code_version(__name__)
    script.write_text("second")
    assert code_version(__name__) != before


# -- data --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OnData:
    data: str

    def run(self) -> dict[str, Any]:
        return {}


def test_a_run_on_other_data_is_another_run_wherever_they_are(idx_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(idx_folder, tmp_path / "copy")
    path = Store(tmp_path).path(OnData(str(idx_folder)))
    assert Store(tmp_path).path(OnData(str(copy))) == path
    (copy / "notes.txt").write_text("not data")
    assert Store(tmp_path).path(OnData(str(copy))) == path
    labels = next(copy.glob("train-labels*"))
    content = labels.read_bytes()
    labels.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert Store(tmp_path).path(OnData(str(copy))) != path


def test_data_that_are_not_there_are_one_error_before_anything_is_run(tmp_path: Path) -> None:
    settings = [RunSettings(data=str(tmp_path / "nowhere"), seed=seed) for seed in range(3)]
    with pytest.raises(tn.InputError, match="nowhere: no such folder, or no IDX files in it"):
        run_sweep(settings, store=tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_settings_make_the_name_and_nothing_else_does(tmp_path: Path) -> None:
    path = Store(tmp_path).path(RunSettings())
    assert Store(tmp_path).path(RunSettings()) == path
    for change in ({"lr": 0.2}, {"seed": 1}, {"norm": "batch"}):
        assert Store(tmp_path).path(dataclasses.replace(RunSettings(), **change)) != path  # type: ignore[arg-type]
