import pytest

import tinynet as tn
from tinynet.convergence import Arms, gather


def history(path, top=0.9):
    run = tn.History()
    for k in range(1, 4):
        run.append(10 * k, 1 / k, 1 / k, top * k / 3, 0.1, 0.5 * k)
    path.parent.mkdir(exist_ok=True)
    run.to_csv(path)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("plain-seed0", "plain-seed1", "bn-seed0", "bn-seed1"):
        history(tmp_path / "runs" / f"{name}.csv")
    return tmp_path


def names(arms):
    return {label: [log.name for log in logs] for label, logs in arms.items()}


def test_an_arm_is_a_label_and_its_runs(folder):
    expected = {
        "plain": ["runs/plain-seed0.csv", "runs/plain-seed1.csv"],
        "batch norm": ["runs/bn-seed0.csv", "runs/bn-seed1.csv"],
    }
    assert names(gather("plain=runs/plain-*.csv", "batch norm=runs/bn-*.csv")) == expected
    assert names(gather({"plain": "runs/plain-*.csv", "batch norm": expected["batch norm"]})) == expected


def test_a_file_without_a_label_is_an_arm_of_its_own(folder):
    assert list(gather("runs/plain-seed0.csv", "runs/bn-*.csv")) == ["plain-seed0", "bn-seed0", "bn-seed1"]


def test_files_of_one_name_are_told_apart_by_their_paths(folder):
    history(folder / "other" / "bn-seed0.csv")
    assert list(gather("runs/bn-seed0.csv", "other/bn-seed0.csv")) == ["runs/bn-seed0.csv", "other/bn-seed0.csv"]


@pytest.mark.parametrize("name", ["lr0.1", "lr0.1.csv", "a=b.csv"])
def test_a_name_that_a_user_gave_is_kept(folder, name):
    history(folder / name)
    assert list(gather(name)) == [name.removesuffix(".csv")]


def test_runs_belong_to_the_arms_that_their_file_names(folder):
    rows = ["arm,seed,steps,train_loss,validation_loss,validation_accuracy,lr,diverged"]
    rows += [f"{arm},{seed},10,1.0,1.0,0.5,0.1,0" for arm in ("plain", "batch norm") for seed in (0, 1)]
    for name in ("curves.csv", "again.csv"):
        (folder / name).write_text("\n".join(rows) + "\n")
    arms = gather("curves.csv")
    assert {label: [log.seed for log in logs] for label, logs in arms.items()} == {
        "plain": [0, 1],
        "batch norm": [0, 1],
    }
    assert list(gather("curves.csv", "again.csv")) == [
        *("curves.csv: plain", "curves.csv: batch norm", "again.csv: plain", "again.csv: batch norm")
    ]


def test_what_cannot_be_read_is_named_and_the_rest_gathered(folder):
    (folder / "notes.csv").write_text("hello\n")
    problems = []
    assert list(gather("notes.csv", "runs/bn-*.csv", "none-*.csv", problems=problems)) == ["bn-seed0", "bn-seed1"]
    assert len(problems) == 2
    assert problems[0].startswith("notes.csv")
    assert problems[1] == "none-*.csv: no file matches this pattern"
    with pytest.raises(tn.InputError, match=r"^notes\.csv"):
        gather("notes.csv", "runs/bn-*.csv")
    with pytest.raises(tn.InputError, match=r"^notes\.csv"):
        gather("notes.csv", problems=[])


def test_in_a_notebook_arms_show_their_curves(folder):
    arms = gather("runs/bn-*.csv")
    assert isinstance(arms, Arms)
    assert arms._repr_png_()[0].startswith(b"\x89PNG")
    assert str(arms).splitlines()[0].startswith("bn-seed0: runs/bn-seed0.csv: tinynet, 30 steps, train_loss")
