"""The house: imports point down only, each library has one door, the core stays an afternoon's reading."""

import ast
import functools
import re
import tomllib
from pathlib import Path

import pytest

import tinynet
from tests import reference

ROOT = Path(tinynet.__file__).parent
HOUSE = [  # from the top to the ground: a file imports from lines below its own, or on it if that makes no circle
    "__main__ cli",
    "experiments",
    "course sklearn __init__",
    "callbacks probes convergence",
    "training evaluation arguments models",
    "network graph inference",
    "io run history plots",
    "datasets losses optimizers schedules",
    "layers initializers",
    "kernels arrays",
    "machinery settings files progress",
    "errors text typing",
]
LIBRARIES = {  # which files may import what, besides NumPy and the standard library; a package's name means all in it
    "numba": {"kernels", "machinery"},
    "llvmlite": {"machinery.native"},
    "matplotlib": {
        "plots",
        "convergence.draw",
        "convergence.arms",
        "experiments",
        "network",
    },  # the last two for types alone
    "tqdm": {"progress"},
    "shtab": {"cli.completion"},
    "safetensors": {"files"},
    "sklearn": {"sklearn"},
    "IPython": {"callbacks.live"},
    "distributed": {"experiments.executors"},
    "pooch": {"datasets.download"},
    "onnx": {"io.onnx"},
    "tensorboard": {"callbacks.tensorboard", "convergence.formats.events"},
    "threadpoolctl": {"machinery.blas", "experiments", "cli.diagnosis"},
}
CORE = [  # what a student reads to follow one training step from end to end
    *["training.py", "run.py", "datasets/dataset.py", "network.py", "arrays.py", "machinery/recording.py"],
    *["layers", "kernels", "losses.py", "optimizers.py"],
]


@functools.cache
def modules() -> dict[str, Path]:
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in ROOT.rglob("*.py")}


@functools.cache
def imported(path: Path, *, types: bool = True) -> set[str]:
    """Return every name that a file imports, inside functions too, and unless told otherwise for types only."""
    names = set()
    nodes: list[ast.AST] = [ast.parse(path.read_text())]
    while nodes:
        node = nodes.pop()
        if not types and isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "not TYPE_CHECKING"):
            nodes += node.orelse if ast.unparse(node.test) == "TYPE_CHECKING" else node.body
            continue
        nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@functools.cache
def inside(name: str) -> str:
    """Return which of our files an imported name comes from."""
    known = modules()
    parts = name.split(".")[1:]
    while parts:
        for candidate in (".".join(parts), ".".join([*parts, "__init__"])):
            if candidate in known:
                return candidate
        parts.pop()
    return "__init__"


def part(name: str) -> str:
    """Return the package that a file is in, or the file if it is in none."""
    return name.split(".")[0]


@functools.cache
def below(name: str) -> set[str]:
    """Return the files of ours that a file imports when it runs; an import for types only is none."""
    ours = {i for i in imported(modules()[name], types=False) if part(i) == "tinynet" and i != "tinynet.__version__"}
    return {inside(i) for i in ours} - {name}


def test_every_file_has_its_place_in_the_house() -> None:
    assert {part(name) for name in modules()} == {name for line in HOUSE for name in line.split()}


@pytest.mark.parametrize("name", sorted(modules()))
def test_imports_point_down(name: str) -> None:
    line = {known: -k for k, names in enumerate(HOUSE) for known in names.split()}
    for target in below(name):
        assert line[part(target)] <= line[part(name)], f"{name} imports {target}, which is not below it"


def test_no_imports_go_in_a_circle() -> None:
    left = {name: below(name) for name in modules()}
    while ground := {name for name, targets in left.items() if not targets & left.keys()}:
        left = {name: targets for name, targets in left.items() if name not in ground}
    assert not left, f"a circle is among {sorted(left)}"


@pytest.mark.parametrize("library", sorted(LIBRARIES))
def test_a_library_is_imported_only_in_its_place(library: str) -> None:
    users = {name for name, path in modules().items() if any(i.split(".")[0] == library for i in imported(path))}
    assert {name for name in users if not {name, part(name)} & LIBRARIES[library]} == set()


@pytest.mark.parametrize("name", [n for n in sorted(modules()) if n.startswith("kernels.")])
def test_a_kernel_allocates_no_array(name: str) -> None:
    makers = {"empty", "zeros", "ones", "full", "copy", "empty_like", "zeros_like", "ones_like", "full_like"}
    for function in ast.walk(ast.parse(modules()[name].read_text())):
        if isinstance(function, ast.FunctionDef) and any("jit" in ast.unparse(d) for d in function.decorator_list):
            called = {n.func.attr for n in ast.walk(function) if isinstance(n, ast.Call) and hasattr(n.func, "attr")}
            assert not called & makers, f"{name}.{function.name}"


@pytest.mark.parametrize("name", [n for n in sorted(modules()) if n.startswith("kernels.")])
def test_every_kernel_has_a_plain_twin_and_its_file_a_test_file(name: str) -> None:
    short = name.removeprefix("kernels.")
    kernels = [node for node in ast.walk(ast.parse(modules()[name].read_text())) if isinstance(node, ast.FunctionDef)]
    kernels = [node for node in kernels if any(ast.unparse(d).startswith("jit") for d in node.decorator_list)]
    tests = Path(__file__).parent / "kernels" / f"test_{short}.py"
    assert tests.exists() == bool(kernels)
    if kernels:
        own = {node.name for node in ast.parse(tests.read_text()).body if isinstance(node, ast.FunctionDef)}
        twins = own | set(vars(reference))
        assert not [kernel.name for kernel in kernels if not twins & {kernel.name, f"{short}_{kernel.name}"}]


def test_only_known_libraries_are_imported() -> None:
    import sys

    outside = {i.split(".")[0] for path in modules().values() for i in imported(path)}
    assert outside - set(sys.stdlib_module_names) == {"tinynet", "numpy", *LIBRARIES}


def test_what_is_imported_is_declared() -> None:
    """In a notebook IPython is there; all else pyproject.toml names, and what no extra brings is needed by all."""
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    extras = {name: {re.split(r"[^\w.-]", r)[0] for r in extras[name]} for name in extras if name != "test"}
    declared = {re.split(r"[^\w.-]", requirement)[0] for requirement in project["dependencies"]}
    named = {"sklearn": "scikit-learn"}
    used = {named.get(library, library) for library in LIBRARIES} - {"IPython"} | {"numpy"}
    assert used - declared <= set().union(*extras.values())
    assert declared <= used, "and nothing is declared that is not used"


def lines_of_code(path: Path) -> int:
    """Return the lines of a file that are neither empty nor of a docstring: those are the reference, and complete."""
    text = path.read_text()
    documented = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef)]
    strings = [node.body[0] for node in documented if ast.get_docstring(node) is not None]
    reference = {k for node in strings for k in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    return sum(bool(line.strip()) for k, line in enumerate(text.splitlines(), 1) if k not in reference)


def test_the_core_stays_an_afternoons_reading() -> None:
    files = [path for part in CORE for path in ([ROOT / part] if part.endswith(".py") else (ROOT / part).glob("*.py"))]
    assert sum(map(lines_of_code, files)) <= 2000
    assert sum(bool(line.strip()) for path in files for line in path.read_text().splitlines()) <= 2800
