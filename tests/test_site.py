"""The documentation site: what can be known without building it. ``.ci/run`` builds it, warnings being errors."""

import ast
import fnmatch
import importlib
import inspect
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

import tinynet as tn
from tinynet import plots as tn_plots

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MADE = (
    "_build",
    "_extensions",
    "_static",
    "_templates",
    "api",
    "gallery",
    "lessons",
    "course",
)  # made, or what it is made of
PAGES = {
    path.relative_to(DOCS).with_suffix("").as_posix(): path
    for path in [*DOCS.glob("**/*.md"), *DOCS.glob("**/*.rst")]
    if path.relative_to(DOCS).parts[0] not in MADE and path.name != "sg_execution_times.rst"
}
SCRIPTS = sorted([*ROOT.glob("examples/*.py"), *DOCS.glob("course/lesson_*.py")])
TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^][]+\]\((?!\w+:)([^)#\s]+)(?:#[^)\s]*)?\)")


def entries(page: str) -> set[str]:
    """Return the pages that a page's toctrees name."""
    found = set()
    for tree in TOCTREE.findall(PAGES[page].read_text(encoding="utf-8")):
        for line in filter(None, (line.strip() for line in tree.splitlines())):
            if not line.startswith(":"):
                target = re.sub(r".*<(.+)>$", r"\1", line)
                found |= set(fnmatch.filter(PAGES, target)) if "*" in target else {target}
    return found


def listed() -> set[str]:
    """Return every name of the API reference, with its module."""
    text = (DOCS / "api.rst").read_text(encoding="utf-8")
    return set(re.findall(r"^   ([A-Za-z][\w.]*)$", text, re.MULTILINE))


def test_every_page_is_reached_from_the_start() -> None:
    reached, waiting = set(), {"index"}
    while waiting:
        page = waiting.pop()
        reached.add(page)
        waiting |= (entries(page) if page in PAGES else set()) - reached
    assert set(PAGES) <= reached
    assert reached - set(PAGES) == {"gallery/index", "lessons/index"}  # made of the scripts


def test_every_public_name_is_in_the_reference() -> None:
    names = set(tn.__all__)
    for module in (tn.datasets, tn.initializers, tn.schedules, tn.probes):
        short = module.__name__.removeprefix("tinynet.")
        own = getattr(module, "__all__", None) or [
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and inspect.isfunction(value) and value.__module__ == module.__name__
        ]
        names |= {f"{short}.{name}" for name in own if name not in tn.__all__}
    helpers = {"probes.rms", "schedules.as_schedule"}
    assert names - helpers - listed() == set()


def test_every_plot_and_estimator_is_in_the_reference() -> None:
    plots = {name for name, value in vars(tn_plots).items() if inspect.isfunction(value) and name[0] != "_"}
    of_the_module = {"axes_or_new", "styled", "positive"}  # what the others are made with
    assert {f"plots.{name}" for name in plots - of_the_module} - listed() == set()
    tree = ast.parse((ROOT / "tinynet" / "sklearn.py").read_text(encoding="utf-8"))
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef) and node.name[0] != "_"}
    assert {f"sklearn.{name}" for name in classes} - listed() == set()
    assert {"experiments.run", "experiments.compare.compare"} <= listed()


def test_every_initializer_is_in_the_reference() -> None:
    text = (DOCS / "api.rst").read_text(encoding="utf-8")
    for name in (*tn.initializers.NAMED, *(f"{name}(" for name in tn.initializers.WITH_A_NUMBER)):
        assert f"``{name}" in text


@pytest.mark.parametrize("name", sorted(listed()))
def test_what_the_reference_lists_is_there_and_documented(name: str) -> None:
    if name.startswith("sklearn."):
        pytest.importorskip("sklearn")
    value: object = tn
    for part in name.split("."):
        if isinstance(value, types.ModuleType) and not hasattr(value, part):
            importlib.import_module(f"{value.__name__}.{part}")
        value = getattr(value, part)
    assert inspect.getdoc(value)


@pytest.mark.parametrize("page", sorted(page for page, path in PAGES.items() if path.suffix == ".md"))
def test_links_to_files_lead_somewhere(page: str) -> None:
    """Also where pages are read as files; the site names files that are no pages, and makes galleries of folders."""
    for target in LINK.findall(PAGES[page].read_text(encoding="utf-8")):
        assert (PAGES[page].parent / target).exists(), f"{page}: {target}"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_is_a_page_and_a_notebook(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(source))
    assert docstring is not None
    title, rule, *rest = docstring.splitlines()
    assert re.fullmatch(r"=+", rule)
    assert len(rule) == len(title)
    assert any(rest)  # the question
    assert source.count("\n# %%") >= 2
    assert '__name__ == "__main__"' not in source  # a notebook's cells run one after the other


def test_the_gallery_starts_with_a_first_network() -> None:
    house = (DOCS / "_extensions" / "house.py").read_text(encoding="utf-8")
    (first,) = (
        ast.literal_eval(node.value)
        for node in ast.parse(house).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FIRST"
    )
    assert first[0] == "first_network"
    assert set(first) == {path.stem for path in ROOT.glob("examples/*.py")}


def test_formulas_and_links_are_made_without_a_network(tmp_path: Path) -> None:
    for package in ("myst_parser", "latex2mathml"):
        pytest.importorskip(package, reason=f"{package} is not installed: uv sync --group docs")
    (tmp_path / "conf.py").write_text(
        f"import sys; sys.path.insert(0, {str(DOCS / '_extensions')!r})\n"
        "extensions = ['myst_parser', 'house']\n"
        "myst_enable_extensions = ['dollarmath']\nmyst_fence_as_directive = ['math']\n"
    )
    (tmp_path / "index.md").write_text("# Title\n\n$`x_1`$ and\n\n```math\ny = \\frac{1}{2} \\tag{7}\n```\n")
    subprocess.run([sys.executable, "-m", "sphinx", "-qW", tmp_path, tmp_path / "out"], check=True, timeout=120)
    html = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "<msub><mi>x</mi><mn>1</mn></msub>" in html
    assert "<mfrac>" in html
    assert "(7)</span>" in html
    assert "MathJax" not in html
