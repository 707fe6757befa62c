"""Each example runs as a user runs it, in a folder of its own, and prints what it promises."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NUMBER = r"(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|nan|inf)"


def run(name, folder):
    """Run an example in ``folder`` and return what it printed; it leaves nothing there."""
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "MPLBACKEND": "Agg", "TMPDIR": str(folder)}
    # two BLAS threads wait for each other, and on a busy machine one of them is often not running: ten times slower
    environment["OPENBLAS_NUM_THREADS"] = "1"
    # matplotlib says so when plt.show() has no screen to show on
    warnings = ["-W", "error", "-W", "ignore:FigureCanvasAgg is non-interactive:UserWarning"]
    here = folder / "here"
    here.mkdir()
    done = subprocess.run(
        [sys.executable, *warnings, ROOT / "examples" / name],
        cwd=here, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert not list(here.iterdir())
    return done.stdout


@pytest.mark.slow
def test_batch_norm_by_hand(tmp_path):
    found = re.findall(rf"^(.+?) +largest difference {NUMBER}$", run("batch_norm_by_hand.py", tmp_path), re.MULTILINE)
    assert [name for name, _ in found] == [
        "y in training", "running_mean", "running_var", "dx", "dgamma", "dbeta", "y in testing",
    ]  # fmt: skip
    for name, difference in found:
        assert float(difference) < 1e-12, name


@pytest.mark.slow
def test_first_network(tmp_path):
    printed = run("first_network.py", tmp_path)
    records = re.findall(rf"^ *(\d+) +{NUMBER} +{NUMBER}$", printed, re.MULTILINE)
    assert [int(step) for step, _, _ in records] == [1000, 2000]
    assert float(records[1][1]) < float(records[0][1])  # the training loss falls

    ((loss, accuracy),) = re.findall(rf"^test loss {NUMBER}, test accuracy {NUMBER}$", printed, re.MULTILINE)
    assert 0.94 < float(accuracy) < 0.99
    assert 0.03 < float(loss) < 0.2
    assert accuracy == records[-1][2]  # measured again, it is the same network

    assert "loaded again: same outputs: True" in printed


@pytest.mark.slow
def test_with_and_without_batch_norm(tmp_path):
    printed = run("with_and_without_batch_norm.py", tmp_path)
    pattern = rf"^(\w+) batch norm +test accuracy {NUMBER}  gradient, first / last hidden layer {NUMBER}$"
    found = {arm: (float(a), float(r)) for arm, a, r in re.findall(pattern, printed, re.MULTILINE)}
    assert found.keys() == {"without", "with"}
    (plain_accuracy, plain_ratio), (accuracy, ratio) = found["without"], found["with"]
    assert plain_accuracy < 0.2  # no better than always the same digit
    assert plain_ratio < 1e-4
    assert accuracy > 0.9
    assert 0.1 < ratio < 10


@pytest.mark.slow
def test_gradient_flow(tmp_path):
    printed = run("gradient_flow.py", tmp_path)
    pattern = rf"^(\w+) +norm=(\w+) +factor per layer {NUMBER}$"
    factor = {(activation, norm): float(f) for activation, norm, f in re.findall(pattern, printed, re.MULTILINE)}
    assert 0.2 < factor["sigmoid", "None"] < 0.26  # Glorot's weights, and a sigmoid's steepest slope is 1/4
    assert factor["sigmoid", "batch"] > 0.9
    assert abs(factor["relu", "None"] - 1) < 0.05  # what He et al. (2015) chose the weights for
    (theory,) = re.findall(rf"in theory: {NUMBER}$", printed, re.MULTILINE)
    assert abs(factor["relu", "batch"] - float(theory)) < 0.03  # Yang et al. (2019)


@pytest.mark.slow
def test_folding(tmp_path):
    printed = run("folding.py", tmp_path)
    ((largest, difference),) = re.findall(rf"^outputs up to {NUMBER}, largest difference {NUMBER}$", printed, re.M)
    assert 0 < float(difference) < 1e-5 * float(largest)
    ((accuracy, folded),) = re.findall(rf"^test accuracy {NUMBER}, folded {NUMBER}$", printed, re.MULTILINE)
    assert float(accuracy) > 0.9
    assert abs(float(folded) - float(accuracy)) <= 1e-3
    assert len(re.findall(rf"^ *\d+ images: +{NUMBER} us, folded +{NUMBER} us$", printed, re.MULTILINE)) == 3


def test_every_example_is_tested():
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} <= tested
