"""Every lesson runs as it is printed, with its exercises unfilled, and shows what its text says.

Lesson 1 does so as a notebook, in test_notebooks.
"""

import ast
import re
import runpy
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from tests.course.test_checks import EXERCISES
from tinynet.machinery import blas

FOLDER = Path(__file__).parents[2] / "docs" / "course"
FILES = sorted(FOLDER.glob("lesson_*.py"))


def test_there_are_six():
    assert [path.name[:8] for path in FILES] == [f"lesson_{k}" for k in EXERCISES]
    assert sorted(path.name for path in (FOLDER / "solutions").glob("*.py")) == [f"lesson_{k}.py" for k in EXERCISES]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_cell_ends_in_a_value_that_a_notebook_would_show(path):
    silent = ("check.", "print(", "prediction(", "plt.show(", "net.summary(")
    for cell in path.read_text(encoding="utf-8").split("\n# %%"):
        body = ast.parse(cell).body
        if body and isinstance(body[-1], ast.Expr) and not isinstance(body[-1].value, ast.Constant):
            assert ast.unparse(body[-1]).startswith(silent)


@pytest.fixture
def lesson(request, tmp_path, monkeypatch, capsys):
    """Run lesson number ``request.param`` as a student does; return its names at the end and what it printed."""
    monkeypatch.chdir(tmp_path)
    plt.switch_backend("agg")
    library = blas.library()
    if library is not None:
        library.set_threads(1)  # two would wait for each other while other tests run
    start = time.process_time()
    names = runpy.run_path(str(FILES[request.param - 1]), run_name="__main__")
    assert time.process_time() - start < 60  # of one core
    assert plt.get_fignums()
    plt.close("all")
    printed = capsys.readouterr().out
    todo = re.findall(r"^exercise (\d\.\d): not done yet: ", printed, re.MULTILINE)
    assert sorted(todo) == [f"{request.param}.{k + 1}" for k in range(EXERCISES[request.param])]
    assert printed.count("exercise ") == len(todo)
    assert "you wrote down no prediction" in printed
    assert not list(tmp_path.iterdir())
    return names, printed


@pytest.mark.slow
@pytest.mark.parametrize("lesson", [2], indirect=True)
def test_2_a_wrong_derivative_still_learns_and_the_check_finds_it(lesson):
    names, printed = lesson
    reached = {name: np.median(values) for name, values in names["reached"].items()}
    assert reached["wrong sign"] < 0.3
    assert 0.3 < reached["a quarter"] < reached["right"]
    assert reached["no slope"] > reached["right"] - 0.1
    assert reached["right"] > 0.75
    assert re.findall(r"(\S+)  (passes|DOES NOT PASS)$", printed, re.MULTILINE)[0][1] == "passes"
    assert printed.count("DOES NOT PASS") == 3
    assert 1e-7 < names["steps"][names["best"]] < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("lesson", [3], indirect=True)
def test_3_the_gradient_vanishes_at_the_rate_of_theory(lesson):
    names, _ = lesson
    assert names["accuracy"][:, 0].min() > 0.8
    assert names["accuracy"][:, -1].max() < 0.2
    np.testing.assert_allclose(names["measured"], 0.056, rtol=0.1)  # Glorot and Bengio 2010
    assert names["ratio"] < 1e-4
    assert 0.1 < np.median(names["with_norm"][:, 0] / names["with_norm"][:, -1]) < 10


@pytest.mark.slow
@pytest.mark.parametrize("lesson", [4], indirect=True)
def test_4_batch_norm_learns_and_must_not_use_the_test_batch(lesson):
    names, printed = lesson
    assert min(names["gain"]) > 0.5
    ways = {way: np.median(values) for way, values in names["ways"].items()}
    assert ways["whole training set"] > 0.8
    assert ways["own batch, sorted"] < 0.4
    assert "a training batch needs at least 2 examples" in printed


@pytest.mark.slow
@pytest.mark.parametrize("lesson", [5], indirect=True)
def test_5_batch_norm_takes_larger_rates_and_other_scales(lesson):
    names, _ = lesson
    assert names["largest"]["batch norm"] / names["largest"]["plain"] >= 3
    works = {arm: (np.median(rows, axis=0) >= 0.8).sum() for arm, rows in names["by_scale"].items()}
    assert works["batch norm"] > works["plain"]
    assert np.isnan(names["by_rate"]["plain"]).any()
    assert not np.isnan(names["by_scale"]["batch norm"]).any()


@pytest.mark.slow
@pytest.mark.parametrize("lesson", [6], indirect=True)
def test_6_gradients_explode_as_in_theory_and_small_batches_hurt(lesson):
    names, _ = lesson
    assert names["rate"] == pytest.approx(1.522, abs=1e-3)  # Yang et al. 2019, for batches of 32
    np.testing.assert_allclose(names["measured"], names["rate"], rtol=0.05)
    assert names["by_depth"][:, 0].min() > 0.8
    assert names["by_depth"][:, -1].max() < 0.4
    by_size = {arm: np.median(rows, axis=0) for arm, rows in names["by_size"].items()}
    assert np.isnan(by_size["batch norm"][0])
    assert by_size["batch norm"][1] < by_size["layer norm"][1] - 0.1  # batches of two
    reached = {kind: np.median(values) for kind, values in names["reached"].items()}
    assert reached["batch norm, noise"] - reached["plain"] > 0.8 * (reached["batch norm"] - reached["plain"])
