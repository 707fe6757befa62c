import builtins
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinynet as tn
from tinynet import datasets
from tinynet.cli import diagnosis
from tinynet.machinery import blas

AS_IT_IS = {"60x100x100": {"1 thread": 50.0, "2 threads": 55.0}, "256x1024x1024": {"1 thread": 60.0}}
PATHS = {False: "/lib/numpy.libs/blas.so", True: "/lib/scipy_openblas32/lib/blas.so"}


def examined_blas(
    monkeypatch: pytest.MonkeyPatch,
    *,
    best: str | None = "Haswell",
    kernels: str = "Haswell",
    threads: int = 1,
    extra: bool = False,
    faster: float = 1.0,  # what is measured beside the BLAS in use
    set_by_user: str | None = None,
) -> tuple[dict[str, str], list[str], list[tuple[str, dict[str, str]]]]:
    """Return facts and problems of a BLAS like this, and what was measured."""
    library = blas.Library(PATHS[extra], {}, None, lambda: threads, None, threads, kernels)
    pool = {"user_api": "blas", "internal_api": "openblas", "version": "0.3.31", "num_threads": threads}
    measured: list[tuple[str, dict[str, str]]] = []

    def measure(which: str, settings: dict[str, str]) -> diagnosis.Speeds:
        factor = faster if measured else 1.0
        measured.append((which, settings))
        return {p: {name: factor * v for name, v in speeds.items()} for p, speeds in AS_IT_IS.items()}

    monkeypatch.setattr(diagnosis, "threadpool_info", lambda: [pool | {"filepath": path} for path in PATHS.values()])
    monkeypatch.setattr(diagnosis, "_measured", measure)
    monkeypatch.setattr(blas, "library", lambda: library)
    monkeypatch.setattr(blas, "suitable_kernels", lambda: best)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True if extra else None)
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    if set_by_user:
        monkeypatch.setenv("OPENBLAS_CORETYPE", set_by_user)
    facts: list[tuple[str, str]] = []
    problems: list[str] = []
    diagnosis._blas(facts, problems)
    return dict(facts), problems, measured


@pytest.mark.slow
def test_this_machine_is_described() -> None:
    facts, problems = diagnosis.examine()
    names = dict(facts)
    assert names["numpy"] == np.__version__
    assert {"python", "machine", "BLAS threads", "kernel cache", "first training step", "MNIST"} <= names.keys()
    assert all(problem.endswith(".") for problem in problems)


def test_old_kernels_on_a_new_processor_are_named_with_the_cures_and_the_measured_gain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts, problems, measured = examined_blas(monkeypatch, best="SkylakeX", faster=1.7)
    assert facts["BLAS"] == "openblas 0.3.31 of NumPy, kernel set Haswell"
    assert measured == [("library", {}), ("library", {"OPENBLAS_CORETYPE": "SkylakeX"})]
    assert facts["OPENBLAS_CORETYPE=SkylakeX, 60x100x100"].startswith("85 GFLOP/s with 1 thread")
    (problem,) = problems
    assert "60x100x100 1.70 times and 256x1024x1024 1.70 times as fast as now" in problem
    assert "set OPENBLAS_CORETYPE=SkylakeX in the environment" in problem
    assert "or install tinynet-lab[blas]" in problem


def test_kernels_chosen_by_the_user_are_measured_too(monkeypatch: pytest.MonkeyPatch) -> None:
    _, problems, measured = examined_blas(monkeypatch, kernels="Katmai", set_by_user="Prescott", faster=3.0)
    assert measured[1] == ("library", {"OPENBLAS_CORETYPE": "Haswell"})
    assert "set OPENBLAS_CORETYPE=Haswell" in problems[0]
    assert "[blas]" not in problems[0]  # it keeps to the user's choice as well


@pytest.mark.parametrize("faster", [0.5, 1.04])
def test_kernels_that_are_not_faster_here_are_measured_but_not_recommended(
    monkeypatch: pytest.MonkeyPatch, faster: float
) -> None:
    facts, problems, _ = examined_blas(monkeypatch, best="SkylakeX", faster=faster)
    assert "OPENBLAS_CORETYPE=SkylakeX, 256x1024x1024" in facts
    assert problems == []


@pytest.mark.parametrize(
    ("best", "kernels"),
    [
        ("Haswell", "Haswell"),
        ("Haswell", "Zen"),
        ("SkylakeX", "SkylakeX"),
        ("SkylakeX", "SapphireRapids"),
        (None, "neoversev1"),
        ("Haswell", "unknown"),
    ],
)
def test_kernels_that_suit_the_processor_are_no_problem(
    monkeypatch: pytest.MonkeyPatch, best: str | None, kernels: str
) -> None:
    _, problems, measured = examined_blas(monkeypatch, best=best, kernels=kernels, faster=9.0)
    assert problems == []
    assert measured == [("library", {})]


@pytest.mark.parametrize(("faster", "advised"), [(0.7, False), (1.3, True)])
def test_the_extra_is_measured_beside_numpys_blas(
    monkeypatch: pytest.MonkeyPatch, faster: float, advised: bool
) -> None:
    facts, problems, measured = examined_blas(monkeypatch, extra=True, faster=faster)
    assert facts["BLAS"] == "openblas 0.3.31 of scipy-openblas32, kernel set Haswell"
    assert measured == [("library", {}), ("numpy_library", {})]
    assert any("uninstall scipy-openblas32" in problem for problem in problems) == advised


def test_one_thread_is_compared_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    facts, *_ = examined_blas(monkeypatch)
    assert facts["BLAS, 60x100x100"] == "50 GFLOP/s with 1 thread, 55 GFLOP/s with 2 threads (1.10 times)"
    assert facts["BLAS, 256x1024x1024"] == "60 GFLOP/s with 1 thread"


def test_a_measurement_that_fails_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert diagnosis._measured("library", {}) == {}
    facts: list[tuple[str, str]] = []
    diagnosis._add_speeds(facts, "BLAS", {})
    assert facts[0] == ("BLAS, 60x100x100", "could not be measured")


def test_an_installed_extra_that_is_not_used_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    examined_blas(monkeypatch)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    problems: list[str] = []
    diagnosis._blas([], problems)
    assert problems == ["scipy-openblas32 is installed, but its library could not be used: install it again."]


def test_more_threads_than_cores_are_named_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "available_cores", lambda: 2)
    assert "OPENBLAS_NUM_THREADS=2" in examined_blas(monkeypatch, threads=64)[1][0]


@pytest.mark.parametrize(
    "pools", [[], [{"user_api": "blas", "internal_api": "mkl", "version": "7", "filepath": "/f"}]]
)
def test_an_unknown_blas_is_said(monkeypatch: pytest.MonkeyPatch, pools: list[dict[str, str]]) -> None:
    facts: list[tuple[str, str]] = []
    problems: list[str] = []
    monkeypatch.setattr(diagnosis, "threadpool_info", lambda: pools)
    monkeypatch.setattr(blas, "library", lambda: None)
    diagnosis._blas(facts, problems)
    assert facts == [("BLAS", "mkl 7" if pools else "not known")]
    assert "not one that tinynet can call" in problems[0]


@pytest.mark.slow
@pytest.mark.skipif(blas.suitable_kernels() is None, reason="not an x86 processor with AVX2")
def test_slow_kernels_are_found_by_measuring() -> None:
    code = (
        "import json; from tinynet.cli import diagnosis; facts, problems = [], [];"
        "diagnosis._blas(facts, problems); print(json.dumps([dict(facts), problems]))"
    )
    best = blas.suitable_kernels()
    environment = os.environ | {"OPENBLAS_CORETYPE": "Nehalem", "PYTHONPATH": str(Path(__file__).parents[1])}
    printed = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True, timeout=60)
    facts, problems = json.loads(printed)
    if not facts["BLAS"].endswith("Nehalem"):
        pytest.skip("NumPy's BLAS cannot be told its kernels")
    (problem,) = [p for p in problems if f"set OPENBLAS_CORETYPE={best}" in p]
    for product in diagnosis.PRODUCTS:
        now, then = (float(facts[f"{name}, {product}"].split()[0]) for name in ("BLAS", f"OPENBLAS_CORETYPE={best}"))
        named = float(problem.split(f"{product} ")[1].split(" times")[0])
        assert named == pytest.approx(then / now, abs=0.005 + 0.01 * then / now)  # of figures rounded to three digits


def test_an_unwritable_cache_and_a_disabled_compiler_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    monkeypatch.setattr(diagnosis, "_first_step", lambda: None)
    problems: list[str] = []
    diagnosis._cache([], problems)
    assert "NUMBA_CACHE_DIR" in problems[0]
    assert "NUMBA_DISABLE_JIT" in problems[1]


def test_damaged_data_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged() -> None:
        raise tn.FileFormatError("train: not the file tinynet ships; install tinynet again")

    monkeypatch.setattr(datasets, "mnist", damaged)
    problems: list[str] = []
    diagnosis._data([], problems)
    assert problems == ["train: not the file tinynet ships; install tinynet again"]


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    for part in ("_blas", "_cache", "_data"):
        monkeypatch.setattr(diagnosis, part, lambda facts, problems: None)
    facts, problems = diagnosis.examine()
    assert dict(facts)["numba"] == "not installed"
    assert any(problem.startswith("numba is missing") for problem in problems)
    assert builtins.all(not problem.startswith("tinynet-lab") for problem in problems)
