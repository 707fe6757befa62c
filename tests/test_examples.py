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
    """Run an example in ``folder`` and return what it printed."""
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "MPLBACKEND": "Agg"}
    # two BLAS threads wait for each other, and on a busy machine one of them is often not running: ten times slower
    environment["OPENBLAS_NUM_THREADS"] = "1"
    done = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "examples" / name],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


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
    assert [path.name for path in tmp_path.iterdir()] == ["first_network.safetensors"]


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

    (picture,) = tmp_path.iterdir()
    assert f"drawn to {picture.name}" in printed
    content = picture.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(content[16:20], "big") >= 900  # pixels across
