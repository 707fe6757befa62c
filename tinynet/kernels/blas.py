"""Matrix products, by the BLAS that NumPy brought.

`matmul` calls ``cblas_sgemm`` itself, so that a `tinynet.kernels.tape` can call the same function at the same
address. Where none is found (Accelerate, or a BLAS that threadpoolctl does not know), NumPy does it.

Two threads on a small product cost more than they give, and on a busy machine they wait for each other by turning
in circles. Products below `SMALL` therefore run on one thread, unless someone chose the number of threads: in the
environment, or with threadpoolctl.
"""

from __future__ import annotations

import ctypes
import functools
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from tinynet.typing import Array

SMALL = 2**22
"""Multiplications (batch x inputs x units) up to which one thread is as fast as two; docs/performance.md has the
measurement."""

THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
ROW_MAJOR, AS_IT_IS, TRANSPOSED = 101, 111, 112  # as cblas.h numbers them


@dataclass(frozen=True)
class Library:
    """A BLAS in this process: ``cblas_sgemm`` and ``cblas_dgemm``, and how many threads they use."""

    path: str
    gemm: dict[str, Any]  # by dtype name: ctypes functions
    integer: Any  # ctypes type of the sizes
    get_threads: Any = None
    set_threads: Any = None
    threads: int = 1  # those it starts with, if nobody chose another number

    @property
    def addresses(self) -> dict[str, int]:
        """Where the functions are, by dtype name."""
        return {dtype: ctypes.cast(function, ctypes.c_void_p).value or 0 for dtype, function in self.gemm.items()}

    def chosen_by_itself(self) -> bool:
        """Tell whether the number of threads is the library's own default, not someone's choice."""
        return self.threads > 1 and int(self.get_threads()) == self.threads


def matmul(a: Array, b: Array, out: Array) -> None:
    """Write ``out = a b``; ``a`` and ``b`` are C-ordered arrays or transposes of such, ``out`` is C-ordered."""
    found = library()
    if found is None or out.size == 0:
        np.matmul(a, b, out=out)
        return
    gemm = found.gemm[out.dtype.name]
    if is_small(a, out) and found.chosen_by_itself():
        found.set_threads(1)
        gemm(*gemm_arguments(a, b, out))
        found.set_threads(found.threads)
    else:
        gemm(*gemm_arguments(a, b, out))


def is_small(a: Array, out: Array) -> bool:
    """Tell whether one thread is best for the product of ``a`` with something that gives ``out``."""
    return out.size * a.shape[1] <= SMALL


def gemm_arguments(a: Array, b: Array, out: Array) -> tuple[Any, ...]:
    """Return the arguments of ``cblas_sgemm`` or ``cblas_dgemm`` for ``out = a b``."""
    (a_order, a_row), (b_order, b_row) = _order(a), _order(b)
    (m, n), k = out.shape, a.shape[1]
    a_place, b_place, place = (x.__array_interface__["data"][0] for x in (a, b, out))
    return ROW_MAJOR, a_order, b_order, m, n, k, 1.0, a_place, a_row, b_place, b_row, 0.0, place, n


def gemm_types(integer: Any, number: Any, address: Any, enumeration: Any) -> list[Any]:
    """Return the types of those arguments, in the caller's own words for them."""
    sizes, scale = [integer] * 3, number
    return [*[enumeration] * 3, *sizes, scale, address, integer, address, integer, scale, address, integer]


def _order(x: Array) -> tuple[int, int]:
    """Return how a matrix lies in memory, and how many numbers from one row (or column) to the next."""
    if x.flags.c_contiguous:
        return AS_IT_IS, max(1, x.shape[1])
    return TRANSPOSED, max(1, x.shape[0])


@functools.cache
def library() -> Library | None:
    """Return the BLAS to call, found among the libraries in this process and tried on a small product."""
    np.matmul(np.ones((1, 1)), np.ones((1, 1)))
    for pool in threadpool_info():
        if pool["user_api"] == "blas":
            found = _library(pool["filepath"])
            if found is not None:
                return found
    return None


def _library(path: str) -> Library | None:
    loaded = ctypes.CDLL(path)
    # NumPy's wheels have 64-bit sizes and a prefix and suffix of their own, distributions the plain names
    for prefix, suffix, integer in (
        ("scipy_", "64_", ctypes.c_int64),
        ("", "64_", ctypes.c_int64),
        ("scipy_", "", ctypes.c_int32),
        ("", "", ctypes.c_int32),
    ):
        try:
            gemm = {
                dtype: getattr(loaded, f"{prefix}cblas_{letter}gemm{suffix}")
                for dtype, letter in (("float32", "s"), ("float64", "d"))
            }
        except AttributeError:
            continue
        for function, number in zip(gemm.values(), (ctypes.c_float, ctypes.c_double), strict=True):
            function.argtypes = gemm_types(integer, number, ctypes.c_void_p, ctypes.c_int)
            function.restype = None
        get_threads = getattr(loaded, f"{prefix}openblas_get_num_threads{suffix}", None)
        set_threads = getattr(loaded, f"{prefix}openblas_set_num_threads{suffix}", None)
        chosen = any(os.environ.get(name) for name in THREAD_VARIABLES)
        known = not chosen and get_threads is not None and set_threads is not None
        threads = get_threads() if known else 1  # type: ignore[misc]
        found = Library(path, gemm, integer, get_threads, set_threads, threads)
        return found if _works(found) else None
    return None


def _works(found: Library) -> bool:
    """Multiply two small matrices in every order and compare with NumPy: sizes of another width would not fit."""
    for dtype, gemm in found.gemm.items():
        a, b = (np.arange(n, dtype=dtype).reshape(shape) for n, shape in ((6, (2, 3)), (12, (3, 4))))
        for left in (a, np.ascontiguousarray(a.T).T):
            for right in (b, np.ascontiguousarray(b.T).T):
                out = np.full((2, 4), -1, dtype)
                gemm(*gemm_arguments(left, right, out))
                if not np.array_equal(out, left @ right):
                    return False
    return True
