"""What is handed out: wheel and sdist, installed where nothing else is, and the files that describe the project."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

import tinynet as tn

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

KINDS = ("images-idx3", "labels-idx1")

# What a user does first, as a script outside the project: data, a training step in compiled code, a page.
SMOKE = """\
import importlib.metadata
import sys
from pathlib import Path

import tinynet as tn
from tinynet.experiments import page

assert Path(tn.__file__).is_relative_to(sys.prefix), tn.__file__
assert importlib.metadata.version("tinynet-lab") == tn.__version__
train, test = tn.datasets.mnist()
assert len(train) == 60_000 and len(test) == 10_000
net = tn.mlp(784, [20], 10, activation="relu", norm="batch", seed=0)
tn.fit(net, train, steps=100, batch_size=60, seed=0)
net.calibrate(train[:600].x)
loss, accuracy = tn.evaluate(net.fold(), test)
assert accuracy > 0.5, accuracy
page.write(Path("page.html"), title="A page", sections=[], lab={"axes": {}, "arms": [], "runs": {}})
assert "<h1>A page</h1>" in Path("page.html").read_text()
"""


def uv(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Call uv in a folder outside the project, where nothing of its settings or environment is found."""
    found = shutil.which("uv")
    if not found:
        pytest.skip("needs uv")
    return run(found, *arguments, folder=folder)


def run(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    ours = ("PYTHON", "VIRTUAL_ENV", "UV_PROJECT", "COV_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def done(process: subprocess.CompletedProcess[str]) -> str:
    """Return what a process printed; if it failed, so does the test, with all it said."""
    assert process.returncode == 0, f"{process.args}\n{process.stdout}{process.stderr}"
    return process.stdout


def environment(folder: Path) -> Path:
    """Make an empty virtual environment with this Python; return its Python."""
    done(uv("venv", "--python", sys.executable, folder, folder=folder.parent))
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the sdist, built once; skipped where what they need cannot be had."""
    folder = tmp_path_factory.mktemp("built")
    # a failure here is the network's; any later one is ours
    needed = ["-r", ROOT / "pyproject.toml", *PROJECT["build-system"]["requires"]]
    if uv("pip", "install", "--python", environment(folder / "probe"), *needed, folder=folder).returncode:
        pytest.skip("needs a package index, or uv's cache of it")
    done(uv("build", "--out-dir", folder / "dist", ROOT, folder=folder))
    (wheel,) = (folder / "dist").glob("*.whl")
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    return wheel, sdist


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(built: tuple[Path, Path]) -> None:
    names = set(zipfile.ZipFile(built[0]).namelist())
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tinynet").rglob("*") if path.is_file()}
    assert {name for name in names if ".dist-info/" not in name} == {n for n in package if "__pycache__" not in n}
    assert names >= {"tinynet/py.typed", "tinynet/experiments/page.template.html", "tinynet/experiments/page.lab.html"}
    data = {f"tinynet/datasets/data/{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in KINDS}
    assert names >= data


@pytest.mark.slow
def test_the_sdist_holds_what_it_takes_to_carry_on(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= {"tests/test_house.py", "docs/layers.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"}
    assert not {name for name in names if re.search(r"^\.(ci|venv|git/|hypothesis)|^uv\.lock|__pycache__", name)}


@pytest.mark.slow
def test_both_install_and_work_in_a_clean_environment(built: tuple[Path, Path], tmp_path: Path) -> None:
    wheel, sdist = built
    python = environment(tmp_path / "clean")
    command = python.with_name("tinynet")
    done(uv("pip", "install", "--python", python, wheel, folder=tmp_path))
    done(run(python, "-W", "error", "-c", SMOKE, folder=tmp_path))
    assert done(run(command, "--version", folder=tmp_path)) == f"tinynet {tn.__version__}\n"
    done(uv("pip", "uninstall", "--python", python, PROJECT["project"]["name"], folder=tmp_path))
    assert run(python, "-c", "import tinynet.cli", folder=tmp_path).returncode
    done(uv("pip", "install", "--python", python, sdist, folder=tmp_path))
    assert "learning-rate" in done(run(command, "list", folder=tmp_path))


def read_yaml(name: str) -> Any:
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_the_version_is_the_same_everywhere() -> None:
    assert PROJECT["project"]["version"] == tn.__version__
    newest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest
    assert newest[1] == tn.__version__
    assert f"\nversion: {tn.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_citation_has_what_its_format_asks_for() -> None:
    citation = read_yaml("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["title"] == "tinynet"
    assert citation["authors"] == [{"name": "The tinynet authors"}]
    assert citation["license"] == PROJECT["project"]["license"]
    assert all(isinstance(citation[key], str) and citation[key] for key in ("message", "abstract", "version", "type"))


def test_the_hooks_are_local_and_call_the_tools_of_the_environment() -> None:
    (repository,) = read_yaml(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    tools = {re.split(r"[>=\[]", requirement)[0] for requirement in PROJECT["dependency-groups"]["dev"]}
    for hook in repository["hooks"]:
        runner, subcommand, tool, *_ = shlex.split(hook["entry"])
        assert (runner, subcommand, hook["language"]) == ("uv", "run", "system")
        assert tool in tools


def test_the_changelog_keeps_its_form() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    releases = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - (unreleased|\d{4}-\d\d-\d\d)", release) for release in releases)
    assert not any("unreleased" in release for release in releases[1:])
    kinds = set(re.findall(r"^### (.*)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
