import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import tinynet as tn


def in_a_new_process(code):
    """What the code prints as JSON; warnings are errors there too."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return json.loads(result.stdout)


def test_importing_loads_neither_numba_nor_matplotlib_nor_safetensors():
    loaded = in_a_new_process(
        "import json, sys, tinynet; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    assert "tinynet" in loaded
    assert not {"numba", "llvmlite", "matplotlib", "safetensors", "onnx", "tensorboard"} & set(loaded)


def test_importing_leaves_numpys_settings_and_the_random_state_alone():
    code = (
        "import json, warnings; import numpy as np; state = lambda: (np.geterr(), np.get_printoptions(),"
        " repr(np.random.get_state()), len(warnings.filters)); before = state(); import tinynet;"
        " print(json.dumps(before == state()))"
    )
    assert in_a_new_process(code)


def test_a_first_prediction_and_training_step_warn_of_nothing():
    code = (
        "import json; import tinynet as tn; data = tn.datasets.moons(20, seed=0);"
        " history = tn.fit(tn.mlp(2, [4], 2, norm='batch', seed=0), data, steps=2, batch_size=10, seed=0);"
        " print(json.dumps(history.steps))"
    )
    assert in_a_new_process(code) == [1, 2]


@pytest.mark.parametrize("module", [tn, tn.datasets, tn.layers])
def test_every_public_name_exists_and_is_listed_once(module):
    for name in module.__all__:
        assert hasattr(module, name), name
    assert len(set(module.__all__)) == len(module.__all__)


def test_every_public_name_says_what_it_is():
    for name in tn.__all__:
        assert getattr(tn, name).__doc__, name


def test_errors_are_value_errors_so_that_one_except_catches_all():
    for error in (tn.ShapeError, tn.DataError, tn.FileFormatError):
        assert issubclass(error, tn.InputError)
    assert issubclass(tn.InputError, ValueError)


def test_a_part_of_the_api_is_loaded_when_it_is_asked_for():
    code = (
        "import json, sys, tinynet as tn; before = 'numpy' in sys.modules; tn.SGD(0.1);"
        " print(json.dumps([before, 'numpy' in sys.modules, 'tinynet.network' in sys.modules]))"
    )
    assert in_a_new_process(code) == [False, True, False]


def test_every_name_is_loaded_from_where_the_imports_for_type_checkers_have_it():
    tree = ast.parse(Path(tn.__file__).read_text(encoding="utf-8"))
    (typed,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for node in typed.body if isinstance(node, ast.ImportFrom) and node.module != "typing"]
    places = {
        node.module.removeprefix("tinynet."): {alias.name for alias in node.names}
        for node in imports
        if node.module != "tinynet"
    }
    layers = places.pop("layers")
    assert {module: set(names.split()) for module, names in tn._PLACES.items()} == places
    elsewhere = {name for names in places.values() for name in names}
    assert {name for name in tn.__all__ if name[0].isupper()} - elsewhere == layers
    files = {alias.name for node in imports if node.module == "tinynet" for alias in node.names}
    assert elsewhere | layers | files | {"load"} == set(tn.__all__)
    assert set(tn.__all__) <= set(dir(tn))


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'tinynet' has no attribute 'Adam'"):
        tn.Adam  # noqa: B018
    assert not hasattr(tn, "_private")
    assert tn.plots.curves, "a file of the package is there without an import of its own"


def test_a_library_that_a_kernel_needs_is_named_when_it_is_missing_and_an_unknown_kernel_is_no_attribute() -> None:
    code = (
        "import sys; sys.modules['numba'] = None\nfrom tinynet import kernels\n"
        "for name in ('dense', 'no_such'):\n"
        "    try: getattr(kernels, name)\n"
        "    except Exception as error: print(type(error).__name__, error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    missing, unknown = run.stdout.splitlines()
    assert missing.startswith("ModuleNotFoundError import of numba halted")
    assert unknown == "AttributeError module 'tinynet.kernels' has no attribute 'no_such'"
