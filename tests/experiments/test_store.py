"""What is kept of a sweep: under which name, for how long, and what is said of what cannot be used."""

import dataclasses
import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinynet as tn
from tests.experiments.test_sweep import ROOT, Diverging, Lab, lab  # noqa: F401 (a fixture)
from tests.test_house import imported, inside, modules
from tests.timeless import timeless
from tinynet.experiments import figure_1, runs, store
from tinynet.experiments.executors import WorkerProcesses
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
        ("plots/charts.py", False),
        ("io/onnx.py", False),
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
    parts = {name.split(".")[0] for name in reached} - {"experiments"}
    left_out = {part for part in parts if {part, f"{part}.py"} & store.HARMLESS}
    assert left_out == {"errors", "files", "io", "plots", "progress", "text", "typing"}
    assert "layers.batch_norm" in reached


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


def other_labels(folder: Path) -> None:
    """Count the training labels the other way, in a file of the same name, size and date."""
    (path,) = folder.glob("train-labels*")
    content, about = path.read_bytes(), path.stat()
    path.write_bytes(content[:8] + bytes(2 - label for label in content[8:]))
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert path.stat().st_mtime_ns == about.st_mtime_ns


@pytest.mark.parametrize("workers", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_folder_that_was_rewritten_is_read_anew(idx_folder: Path, tmp_path: Path, workers: bool) -> None:
    folder = shutil.copytree(idx_folder, tmp_path / "data")
    settings = RunSettings(depth=1, width=8, norm="batch", steps=60, batch_size=20, data=str(folder), probed=False)
    with WorkerProcesses(1) if workers else ThreadPoolExecutor(1) as executor:
        before, after, elsewhere = [], [], []
        before += run_sweep([settings], store=tmp_path / "runs", executor=executor).results.values()
        other_labels(folder)
        after += run_sweep([settings], store=tmp_path / "runs", executor=executor).results.values()
        copy = dataclasses.replace(settings, data=str(shutil.copytree(folder, tmp_path / "copy")))
        elsewhere += run_sweep([copy], store=tmp_path / "other", executor=executor).results.values()
    assert timeless(after) == timeless(elsewhere)
    assert before[0]["validation_accuracy"][-1] > 0.9
    assert after[0]["validation_accuracy"][-1] < 0.5
    assert len(list((tmp_path / "runs").glob("*/*.json"))) == 2


def test_a_folder_that_stays_is_read_once_and_its_black_and_white_made_once(idx_folder: Path) -> None:
    first, again = (runs.load_data(str(idx_folder)) for _ in range(2))
    assert first[0] is again[0]
    assert figure_1._black_and_white(first[1]) is figure_1._black_and_white(again[1])


def test_figure_1_reads_a_rewritten_folder_anew_too(idx_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(idx_folder, tmp_path / "data")
    settings = figure_1.Figure1Settings(norm="batch", steps=40, record_every=40, batch_size=20, data=str(folder))
    before = settings.run()
    other_labels(folder)
    after = settings.run()
    assert after["train_loss"] != before["train_loss"]
    copy = dataclasses.replace(settings, data=str(shutil.copytree(folder, tmp_path / "copy")))
    assert timeless(after) == timeless(copy.run())


@dataclass(frozen=True)
class Rewriting:
    data: str
    seed: int = 0

    def run(self) -> dict[str, Any]:
        if self.seed == 1:
            other_labels(Path(self.data))
        return {}


def test_a_run_whose_data_changed_since_the_sweep_began_is_not_kept(idx_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(idx_folder, tmp_path / "data")
    sweep = run_sweep([Rewriting(str(folder), seed) for seed in range(3)], store=tmp_path / "store")
    assert [settings.seed for settings in sweep.results] == [0]
    assert [settings.seed for settings in sweep.failures] == [1, 2]
    for failure in sweep.failures.values():
        assert failure == f"{folder}: is not the data set that it was when this sweep began; start it again"
    assert len(list((tmp_path / "store").glob("*/*.json"))) == 1


def test_hidden_files_are_no_data(idx_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(idx_folder, tmp_path / "copy")
    for path in list(folder.iterdir()):
        (folder / f"._{path.name}").write_bytes(b"what macOS knows of it")
    assert Store(tmp_path).path(OnData(str(folder))) == Store(tmp_path).path(OnData(str(idx_folder)))


def test_a_folder_without_data_is_refused_by_what_is_missing_in_it(tmp_path: Path) -> None:
    with pytest.raises(tn.InputError, match=r"looked for a file named \*train-images\*idx\*, found no such file"):
        runs.load_data(str(tmp_path))
    with pytest.raises(tn.InputError, match=r"nowhere: no such folder$"):
        runs.load_data(str(tmp_path / "nowhere"))


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
