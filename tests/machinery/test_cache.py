"""What a compiled kernel depends on is in its stamp: with other source or options it is compiled anew."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tinynet
from tinynet.machinery import cache

CODE = """
import json
import numpy as np
from tinynet import kernels
update, arrays = kernels.batch_norm.update_running, [np.ones(1) for _ in range(5)]
try:
    update(*arrays[:3], 1, 0.5, *arrays[3:])  # a batch of one: m / (m - 1) divides by zero
    found = str(arrays[4][0])
except ZeroDivisionError:
    found = "ZeroDivisionError"
print(json.dumps([found, len(update.stats.cache_hits)]))
"""


@pytest.mark.slow
def test_a_kernel_is_compiled_anew_for_other_options_and_for_other_source(tmp_path):
    source = Path(tinynet.__file__).parent
    copy = shutil.copytree(source, tmp_path / "tinynet", ignore=shutil.ignore_patterns("data", "__pycache__"))
    kernels = copy / "kernels"

    def computed():
        environment = os.environ | {"PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        command = [sys.executable, "-B", "-c", CODE]
        run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return json.loads(run.stdout)

    assert [computed(), computed()] == [["inf", 0], ["inf", 1]]  # compiled, and then loaded
    jit = (kernels / "jit.py").read_text()
    (kernels / "jit.py").write_text(jit.replace('"error_model": "numpy"', '"error_model": "python"'))
    assert computed() == ["ZeroDivisionError", 0]
    (kernels / "jit.py").write_text(jit)
    with (kernels / "activations.py").open("a") as file:  # whose functions another file's kernel may include
        file.write("# changed\n")
    assert computed() == ["inf", 0]


def test_a_file_in_which_one_bit_differs_is_not_believed(tmp_path):
    files = cache.CheckedFiles(str(tmp_path), "kernel", "stamp")
    files._save_data("kernel.nbc", {"code": b"x" * 100})
    assert files._load_data("kernel.nbc") == {"code": b"x" * 100}
    path = tmp_path / "kernel.nbc"
    content = bytearray(path.read_bytes())
    content[content.index(b"x" * 100) + 50] ^= 1  # what it holds could still be read
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        files._load_data("kernel.nbc")
