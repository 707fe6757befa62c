"""What CONTRIBUTING.md says about adding a layer is so: its files and changes are made in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_docs import ROOT

SECTION = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("\n## Add a layer\n")[1].split("\n## ")[0]
FENCE = r"`([\w/]+\.py)`:\n\n(?:<!-- no-run -->\n)?```python\n(.*?)^```"


def new_files(section: str) -> dict[str, str]:
    """Return the files that a part of the page shows in whole."""
    return dict(re.findall(FENCE, section, re.MULTILINE | re.DOTALL))


def changed_files(section: str) -> dict[str, list[str]]:
    """Return the changes that a part of the page shows, by file."""
    return {
        file: lines.splitlines()
        for diff in re.findall(r"^```diff\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
        for file, lines in re.findall(r"^--- (.+)\n((?:[ +].*\n|-(?!-- ).*\n)+)", diff, re.MULTILINE)
    }


PLAIN, OWN_KERNELS = SECTION.split("\n**7. Kernels of its own**")
NEW, CHANGES = new_files(PLAIN), changed_files(PLAIN)
FOUND_BY = [  # where tests try every kind of layer, or look at what lists them
    *("layers/test_contract.py", "layers/test_prelu.py", "kernels/test_prelu.py", "machinery/test_recording.py"),
    *("io/test_network_file.py", "io/test_onnx.py", "io/test_pytorch.py"),
    *("test_architecture.py", "test_house.py", "test_import.py", "test_site.py"),
]
THOSE = (
    "PReLU or prelu or replayed_steps or every_bit or public or where_the_imports or circle or its_place "
    "or program_writes"
)


def changed(text: str, change: list[str]) -> str:
    """Return the text with each line that has a + after the line above it in the change, without those with -."""
    lines, k = text.splitlines(), -1
    for line in change:
        if line[0] == "+":
            k += 1
            lines.insert(k, line[1:])
        else:
            k = lines.index(line[1:], k + 1)
            if line[0] == "-":
                del lines[k]
                k -= 1
    return "\n".join(lines) + "\n"


def copy(folder: Path, new: dict[str, str], changes: dict[str, list[str]]) -> None:
    """Make a copy of the project with the page's layer in it."""
    for name in ("tinynet", "tests", "docs", "examples"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "_build", "*.gz"))
    for name in ("pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, folder)
    for name, text in new.items():
        assert not (folder / name).exists()
        (folder / name).write_text(text, encoding="utf-8")
    apply(folder, changes)


def apply(folder: Path, changes: dict[str, list[str]]) -> None:
    """Make the page's changes to files that are there."""
    for name, change in changes.items():
        path = folder / name
        path.write_text(changed(path.read_text(encoding="utf-8"), change), encoding="utf-8")


def run(folder: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-m", "not slow", *tests]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_layer_touches_as_many_files_as_the_page_says_and_no_more_than_nine() -> None:
    assert SECTION.startswith("\nSeven files; nine if ")
    assert len({*NEW, *CHANGES}) == 7
    assert len({*NEW, *CHANGES, *new_files(OWN_KERNELS), *changed_files(OWN_KERNELS)}) == 9
    assert {path.split("/")[0] for path in CHANGES} == {"tinynet", "docs", "CHANGELOG.md"}, "no test names it"


@pytest.mark.slow
def test_the_pages_steps_without_compiled_kernels_are_enough_for_the_contract(tmp_path: Path) -> None:
    copy(tmp_path, NEW, CHANGES)
    process = run(tmp_path, "-k", "PReLU or prelu", "tests/layers/test_contract.py", "tests/layers/test_prelu.py")
    assert process.returncode == 0, process.stdout[-4000:] + process.stderr
    for test in (
        "test_contract.py::test_gradients_agree_with_central_differences[PReLU(start=0.3)]",
        "test_prelu.py::test_alpha_is_the_slope_below_zero_and_learns_from_there",
    ):
        assert f"{test} PASSED" in process.stdout


@pytest.mark.slow
def test_all_of_the_pages_steps_are_enough_for_every_test_that_tries_all_layers(tmp_path: Path) -> None:
    copy(tmp_path, NEW | new_files(OWN_KERNELS), CHANGES)
    apply(tmp_path, changed_files(OWN_KERNELS))
    process = run(tmp_path, "-k", THOSE, *(f"tests/{name}" for name in FOUND_BY))
    assert process.returncode == 0, process.stdout[-4000:] + process.stderr
    for test in (
        "test_contract.py::test_gradients_agree_with_central_differences[PReLU(start=0.3)]",
        "test_onnx.py::test_every_layer_alone[PReLU(start=0.25)-float64]",
        "test_site.py::test_what_the_reference_lists_is_there_and_documented[PReLU]",
        "test_house.py::test_every_kernel_has_a_plain_twin_and_its_file_a_test_file[kernels.prelu]",
        "test_prelu.py::test_the_kernels_are_their_twins[float32-1e-06]",
        "test_prelu.py::test_alpha_is_the_slope_below_zero_and_learns_from_there",
    ):
        assert f"{test} PASSED" in process.stdout


@pytest.mark.slow
def test_a_derivative_that_is_wrong_and_an_operator_that_is_missing_are_noticed(tmp_path: Path) -> None:
    name = "tinynet/layers/prelu.py"
    wrong = NEW[name].replace("dy * np.minimum(x, 0)", "dy * x")
    assert wrong != NEW[name]
    copy(tmp_path, NEW | {name: wrong}, {name: lines for name, lines in CHANGES.items() if "onnx" not in name})
    process = run(tmp_path, "tests/layers/test_contract.py", "tests/io/test_onnx.py", "-k", "PReLU")
    assert process.returncode == 1, process.stdout[-4000:]
    wrong = "FAILED tests/layers/test_contract.py::test_gradients_agree_with_central_differences[PReLU"
    missing = "PReLU has no ONNX operator yet; give it one in tinynet/io/onnx.py, or name it in WITHOUT"
    assert wrong in process.stdout
    assert missing in process.stdout
