import builtins
import importlib.metadata
import os
from typing import Any

import numpy as np
import pytest

import tinynet as tn
from tinynet import datasets, doctor


def blas(monkeypatch: pytest.MonkeyPatch, *, simd: list[str], **info: Any) -> tuple[dict[str, str], list[str]]:
    known = {"user_api": "blas", "internal_api": "openblas", "version": "0.3.31", "num_threads": 1}
    monkeypatch.setattr(doctor, "threadpool_info", lambda: [known | info])
    monkeypatch.setattr(np, "show_config", lambda mode: {"SIMD Extensions": {"found": simd}})
    facts: list[tuple[str, str]] = []
    problems: list[str] = []
    doctor._blas(facts, problems)
    return dict(facts), problems


def test_this_machine_is_described() -> None:
    facts, problems = doctor.examine()
    names = dict(facts)
    assert names["numpy"] == np.__version__
    assert {"python", "machine", "BLAS threads", "kernel cache", "first training step", "MNIST"} <= names.keys()
    assert all(problem.endswith(".") for problem in problems)


def test_old_kernels_on_a_new_processor_are_named_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    facts, problems = blas(monkeypatch, simd=["AVX2", "AVX512F"], architecture="Haswell")
    assert facts["BLAS"] == "openblas 0.3.31, kernel set Haswell"
    assert "OPENBLAS_CORETYPE=SkylakeX" in problems[0]


@pytest.mark.parametrize(("simd", "kernels"), [(["AVX2"], "Haswell"), (["AVX512F"], "SkylakeX")])
def test_kernels_that_suit_the_processor_are_no_problem(
    monkeypatch: pytest.MonkeyPatch, simd: list[str], kernels: str
) -> None:
    assert blas(monkeypatch, simd=simd, architecture=kernels)[1] == []


def test_more_threads_than_cores_are_named_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "available_cores", lambda: 2)
    assert "OPENBLAS_NUM_THREADS=2" in blas(monkeypatch, simd=[], architecture="Haswell", num_threads=64)[1][0]


def test_an_unknown_blas_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    facts: list[tuple[str, str]] = []
    problems: list[str] = []
    monkeypatch.setattr(doctor, "threadpool_info", list)
    doctor._blas(facts, problems)
    assert "not recognized" in problems[0]


def test_an_unwritable_cache_and_a_disabled_compiler_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    monkeypatch.setattr(doctor, "_first_step", lambda: None)
    problems: list[str] = []
    doctor._cache([], problems)
    assert "NUMBA_CACHE_DIR" in problems[0]
    assert "NUMBA_DISABLE_JIT" in problems[1]


def test_damaged_data_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged() -> None:
        raise tn.FileFormatError("train: not the file tinynet ships; install tinynet again")

    monkeypatch.setattr(datasets, "mnist", damaged)
    problems: list[str] = []
    doctor._data([], problems)
    assert problems == ["train: not the file tinynet ships; install tinynet again"]


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    for part in ("_blas", "_cache", "_data"):
        monkeypatch.setattr(doctor, part, lambda facts, problems: None)
    facts, problems = doctor.examine()
    assert dict(facts)["numba"] == "not installed"
    assert any(problem.startswith("numba is missing") for problem in problems)
    assert builtins.all(not problem.startswith("tinynet-lab") for problem in problems)
