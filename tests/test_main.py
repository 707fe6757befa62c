"""The program `tinynet` starts again for better kernels, once; a call of its function never does."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tinynet import cli
from tinynet.cli import diagnosis
from tinynet.machinery import blas

ROOT = Path(__file__).parents[1]
COMMAND = ["evaluate", "no-such-file.safetensors"]  # says so, and ends with 2
posix = pytest.mark.skipif(os.name != "posix", reason="Windows starts nothing again")


@pytest.fixture
def started(monkeypatch):
    """What would have been started, on a machine where other kernels are better."""
    calls = []
    monkeypatch.setattr(blas, "better_coretype", lambda: "SkylakeX")
    monkeypatch.setattr(os, "execve", lambda *call: calls.append(call))
    monkeypatch.setattr(sys, "executable", "/a/python")
    monkeypatch.setattr(sys, "orig_argv", ["python", "-X", "dev", "-m", "tinynet", *COMMAND])
    monkeypatch.setattr(sys, "argv", ["tinynet", *COMMAND])
    return calls


@posix
def test_the_program_starts_again_as_it_was_with_the_kernels_in_its_environment(started):
    before = dict(os.environ)
    cli.main()
    ((file, arguments, environment),) = started
    assert file == "/a/python"
    assert arguments == ["/a/python", "-X", "dev", "-m", "tinynet", *COMMAND]
    assert environment == before | {"OPENBLAS_CORETYPE": "SkylakeX"}
    assert dict(os.environ) == before


def test_a_call_with_arguments_does_not(started):
    assert cli.main(COMMAND) == 2
    assert started == []


def test_the_doctor_does_not_as_he_tells_what_other_programs_get(started, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tinynet", "doctor"])
    monkeypatch.setattr(diagnosis, "examine", lambda: ([("python", "3")], []))
    assert cli.main() == 0
    assert started == []


def test_nothing_starts_again_where_the_kernels_are_right(started, monkeypatch):
    monkeypatch.setattr(blas, "better_coretype", lambda: None)
    assert cli.main() == 2
    assert started == []


def test_nothing_starts_again_on_windows(started, monkeypatch):
    monkeypatch.setattr(cli, "os", SimpleNamespace(name="nt"))
    cli._restart_with_better_kernels()
    assert started == []


@posix
def test_the_program_goes_on_if_it_cannot_start_again(started, monkeypatch):
    def too_long(*call):
        raise OSError(7, "Argument list too long")

    monkeypatch.setattr(os, "execve", too_long)
    assert cli.main() == 2


# every process counts itself and, unless the variable is set, believes that Nehalem's kernels are better
SITE = """
import os
from tinynet.machinery import blas
blas.better_coretype = lambda: None if os.environ.get("OPENBLAS_CORETYPE") else "Nehalem"
found = blas.library()
print("started with", found and found.kernels)
"""


@posix
@pytest.mark.skipif(blas.suitable_kernels() is None, reason="not an x86 processor with AVX2")
@pytest.mark.parametrize("how", ["python -m tinynet", "tinynet"])
def test_a_program_started_again_has_the_kernels_and_goes_on(tmp_path, how):
    script = Path(sys.executable).with_name("tinynet")
    if how == "tinynet" and not script.exists():
        pytest.skip("the script is not installed")
    (tmp_path / "sitecustomize.py").write_text(SITE)
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    environment |= {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]), "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(
        [*([script] if how == "tinynet" else [sys.executable, "-m", "tinynet"]), *COMMAND],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    (message,) = done.stderr.splitlines()
    assert message.startswith("tinynet evaluate: no-such-file.safetensors: ")
    first, second = done.stdout.splitlines()
    if first != "started with None":
        assert first != second == "started with Nehalem"
