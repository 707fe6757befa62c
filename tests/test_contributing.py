"""What CONTRIBUTING.md says about adding a layer is so: the contract test takes the page's own layer and passes it."""

import os
import shutil
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


# what the page has a contributor write, and after what it is written
STEPS = {
    "tinynet/layers/__init__.py": [
        ("from tinynet.layers.merge import Add, Concat\n", "from tinynet.layers.prelu import PReLU\n"),
        ("Dropout, Add, Concat", ", PReLU"),
        ('    "Node",\n', '    "PReLU",\n'),
    ],
    "tinynet/__init__.py": [
        ("    Node,\n", "    PReLU,\n"),
        ('    "Node",\n', '    "PReLU",\n'),
        ("LeakyReLU Node ", "PReLU "),
    ],
    "tinynet/io/network_file.py": [
        ("import LAYERS, BatchNorm", ", PReLU"),
        ('of each array that a layer will have when it is built."""\n', None),
    ],
    "tests/layers/test_contract.py": [("CASES = {\n", f"    {LINE}\n")],
    "docs/api.rst": [("   Dropout\n", "   PReLU\n")],
    "tinynet/io/onnx.py": [
        ("import ELU", ", PReLU"),
        ("    match layer:\n", '        case PReLU():\n            to.op("PRelu", x, *to.own("alpha"))\n'),
    ],
    "tests/io/test_onnx.py": [("CASES = [", "  # as the page says\n    lambda: tn.PReLU(),")],
}
SHAPES = 'if isinstance(layer, PReLU): return {"alpha": (inputs,)}'


@pytest.mark.slow
def test_every_step_of_the_page_is_enough_for_every_test_that_lists_layers(tmp_path: Path) -> None:
    assert f"`{SHAPES}`" in PAGE
    assert '`case PReLU(): to.op("PRelu", x, *to.own("alpha"))`' in PAGE
    assert "`lambda: tn.PReLU(),`" in PAGE
    for name in ("tinynet", "tests", "docs", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "_build", "*.gz"))
    for name in ("pyproject.toml", "README.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "tinynet" / "layers" / "prelu.py").write_text(LAYER)
    for name, steps in STEPS.items():
        text = (tmp_path / name).read_text(encoding="utf-8")
        for place, line in steps:
            assert place in text
            text = text.replace(place, place + (f"    {SHAPES}\n" if line is None else line), 1)
        (tmp_path / name).write_text(text, encoding="utf-8")
    subprocess.run([sys.executable, "-m", "tests.architecture"], cwd=tmp_path, check=True)
    tests = ["layers/test_contract.py", "machinery/test_passes.py", "test_site.py", "test_house.py", "io/test_onnx.py"]
    chosen = "PReLU or kind or replayed or public or floor or place or point or core or architecture or own"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen]
    command += [f"tests/{test}" for test in [*tests, "test_architecture.py", "io/test_pytorch.py"]]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    process = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    assert "passed" in process.stdout
