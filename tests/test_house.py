"""The house: imports point down only, each library has one door, the core stays an afternoon's reading."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

import tinynet
from tests import reference

ROOT = Path(tinynet.__file__).parent
CLAIMS = {  # one file a claim
    f"experiments.{claim}"
    for claim in (
        "dissection",
        "figure_1",
        "initialization",
        "learning_rate",
        "prediction_cost",
        "regularization",
        "statistics_at_test_time",
        "vanishing_gradients",
    )
}
HOUSE = [  # from the top floor to the ground; files on one floor do not import each other
    {"__main__"},
    {"cli.__init__"},
    {"cli.parser"},
    {"cli.compare", "cli.completion", "cli.doctor", "cli.evaluate", "cli.export", "cli.listing", "cli.plot"}
    | {"cli.report", "cli.run", "cli.train"},
    {"cli.sweeping"},
    {"cli.arguments", "cli.command", "cli.output"},
    {"cli.interrupts"},
    {"doctor", "experiments.suite"},
    {"experiments.results"},
    {"experiments.compare", "experiments.lab", "report"} | CLAIMS,
    {"experiments.replication"},
    {"experiments.experiment", "experiments.gradients", "experiments.variants"},
    {"experiments.runner", "experiments.sweep"},
    {"experiments.executors", "experiments.runs", "experiments.store"},
    {f"course.lesson_{k}" for k in range(1, 7)} | {"course.__init__"},
    {"course.comparing"},
    {"sklearn", "course.numerical", "course.report"},
    {"__init__"},
    {"live", "probes", "resuming", "tensorboard"},
    {"training"},
    {"arguments", "models", "onnx", "run"},
    {"network"},
    {"history", "interchange"},
    {"checkpoint", "display", "inference"},
    {"plots"},
    {"drawing"},
    {"style"},
    {"datasets.__init__"},
    {"datasets.download", "datasets.mnist", "datasets.toy"},
    {"datasets.idx"},
    {"datasets.dataset", "losses", "optimizers"},
    {"files", "schedules", "layers.__init__", "progress"},
    {"layers.activations", "layers.batch_norm", "layers.dense", "layers.dropout", "layers.layer_norm"}
    | {"layers.merge", "layers.softmax"},
    {"layers.base"},
    {"arrays", "initializers", "kernels.__init__"},
    {"kernels.activations", "kernels.batch_norm", "kernels.dense", "kernels.layer_norm"}
    | {"kernels.merge", "kernels.sgd", "kernels.softmax"},
    {"kernels.jit"},
    {"machinery.passes"},
    {"machinery.recording"},
    {"machinery.tape"},
    {"machinery.native"},
    {"machinery.blas"},
    {"machinery.cache", "machinery.pace", "settings"},
    {"errors", "text", "typing", "experiments.__init__", "machinery.__init__"},
]
FLOOR = {name: -k for k, floor in enumerate(HOUSE) for name in floor}
LIBRARIES = {  # who may import what, besides NumPy and the standard library
    "numba": {"kernels.activations", "kernels.jit", "machinery.cache", "machinery.native", "machinery.tape"}
    | {"experiments.results"},
    "llvmlite": {"machinery.native"},
    # besides style, drawing and plots only for the types of what they give
    "matplotlib": {"style", "drawing", "plots", "display", "network", "experiments.compare", "experiments.experiment"}
    | CLAIMS,
    "tqdm": {"progress"},
    "shtab": {"cli.completion"},
    "safetensors": {"files"},
    "sklearn": {"sklearn"},
    "IPython": {"live"},
    "distributed": {"experiments.executors"},
    "pooch": {"datasets.download"},
    "onnx": {"onnx"},
    "tensorboard": {"tensorboard"},
    "threadpoolctl": {"doctor", "machinery.blas", "experiments.runner", "experiments.store", "experiments.sweep"},
}
CORE = ["network.py", "losses.py", "optimizers.py", "training.py", "layers", "kernels"]


def modules() -> dict[str, Path]:
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in ROOT.rglob("*.py")}


def imported(path: Path) -> set[str]:
    """Return every module that a file imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


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


def test_every_file_has_its_place_in_the_house() -> None:
    assert set(modules()) == set(FLOOR)


@pytest.mark.parametrize("name", sorted(modules()))
def test_imports_point_down(name: str) -> None:
    for target in sorted(imported(modules()[name])):
        if target.split(".")[0] != "tinynet" or target == "tinynet.__version__":
            continue
        below = inside(target)
        if name.endswith("__init__") and name.split(".")[0] == below.split(".")[0]:
            continue  # a package's face re-exports its own files
        assert FLOOR[below] < FLOOR[name], f"{name} imports {below}, which is not below it"


@pytest.mark.parametrize("library", sorted(LIBRARIES))
def test_a_library_is_imported_only_in_its_place(library: str) -> None:
    users = {name for name, path in modules().items() if any(i.split(".")[0] == library for i in imported(path))}
    assert users <= LIBRARIES[library]


@pytest.mark.parametrize("name", [n for n in sorted(modules()) if n.startswith("kernels.")])
def test_a_kernel_allocates_no_array(name: str) -> None:
    makers = {"empty", "zeros", "ones", "full", "copy", "empty_like", "zeros_like", "ones_like", "full_like"}
    for function in ast.walk(ast.parse(modules()[name].read_text())):
        if isinstance(function, ast.FunctionDef) and any("jit" in ast.unparse(d) for d in function.decorator_list):
            called = {n.func.attr for n in ast.walk(function) if isinstance(n, ast.Call) and hasattr(n.func, "attr")}
            assert not called & makers, f"{name}.{function.name}"


@pytest.mark.parametrize("name", [n for n in sorted(modules()) if n.startswith("kernels.")])
def test_every_kernel_has_a_plain_twin_and_its_file_a_test_file(name: str) -> None:
    kernels = [node for node in ast.walk(ast.parse(modules()[name].read_text())) if isinstance(node, ast.FunctionDef)]
    kernels = [node for node in kernels if any(ast.unparse(d).startswith("jit") for d in node.decorator_list)]
    twins = {f"{name.split('.')[1]}_{kernel.name}": kernel.name for kernel in kernels}
    assert not [twin for twin, short in twins.items() if not (hasattr(reference, twin) or hasattr(reference, short))]
    assert not kernels or (Path(__file__).parent / "kernels" / f"test_{name.split('.')[1]}.py").exists()


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
    assert sum(map(lines_of_code, files)) <= 1500
    assert sum(bool(line.strip()) for path in files for line in path.read_text().splitlines()) <= 2000
