"""What CONTRIBUTING.md says about adding a layer is so: the contract test takes the page's own layer and passes it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.layers import test_contract
from tests.test_docs import ROOT, blocks

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
LAYER = next(source for _, source in blocks(PAGE) if "class PReLU(Layer):" in source)
LINE = '"PReLU": Case(tn.PReLU, {"start": 0.1}),'

REGISTER = """
import tinynet as tn
from tinynet.layers import LAYERS

tn.PReLU = LAYERS["PReLU"] = PReLU
"""


def contract(layer: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a copy of the contract test with the page's line in it, on a layer made from this source."""
    cases = Path(test_contract.__file__).read_text(encoding="utf-8")
    assert cases.count("CASES = {\n") == 1
    (folder / "test_contract.py").write_text(cases.replace("CASES = {\n", f"CASES = {{\n    {LINE}\n"))
    (folder / "conftest.py").write_text(layer + REGISTER)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    options = ["-q", "-p", "no:cacheprovider", "-k", "PReLU or every_kind"]
    command = [sys.executable, "-m", "pytest", *options, str(folder)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_pages_layer_passes_the_contract_with_the_pages_line(tmp_path: Path) -> None:
    assert f"`{LINE}`" in PAGE
    process = contract(LAYER, tmp_path)
    assert process.returncode == 0, process.stdout
    assert "passed" in process.stdout
    assert "skipped" not in process.stdout


@pytest.mark.slow
def test_the_contract_notices_a_derivative_that_is_wrong(tmp_path: Path) -> None:
    wrong = LAYER.replace("dy * np.minimum(x, 0)", "dy * x")
    assert wrong != LAYER
    process = contract(wrong, tmp_path)
    assert process.returncode == 1, process.stdout
    assert "FAILED" in process.stdout
    assert "test_gradients_agree_with_central_differences[PReLU]" in process.stdout
