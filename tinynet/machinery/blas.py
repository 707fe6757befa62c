"""Matrix products, by the OpenBLAS of the package scipy-openblas32 if it is installed, else by the BLAS of NumPy.

`matmul` calls ``cblas_sgemm`` itself, so that `tinynet.machinery.replay` can call the same function at the same
address. If there is none (Accelerate, or a BLAS that threadpoolctl does not know), NumPy multiplies.

A product takes one thread, unless a user chose the number of threads in the environment or with threadpoolctl.
OpenBLAS gives each of its threads a fixed share, and a thread that is done spins until the others are: if another
process keeps a core busy, all wait for the thread on that core. Only large products may take all threads, if that
gives the same bits, and as long as it takes less time: see `tinynet.machinery.pace`.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import math
import operator
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from tinynet.machinery.pace import Pace
from tinynet.typing import Array

SMALL = 2**22
"""Multiplications (batch x inputs x units) up to which a product is left to one thread."""
BLOCKS = {"SkylakeX": {"float32": 448, "float64": 384}}
"""Terms of a sum that OpenBLAS adds up in one go, by kernel set; it cuts longer sums into such blocks."""
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
EXTRA = "scipy_openblas32"  # what the extra tinynet-lab[blas] installs
# OpenBLAS's kernel sets by the instructions they need; all wheels have the first of each
AVX512_KERNELS = ("SkylakeX", "Cooperlake", "SapphireRapids")
AVX2_KERNELS = ("Haswell", "Zen")
# The number of threads belongs to the whole process, and a product's last digits depend on it: one thread at a time
# sets it. Between taking the lock and releasing it there is no line of Python, at which a signal handler could start.
STEERING = threading.Lock()
ROW_MAJOR, AS_IT_IS, TRANSPOSED = 101, 111, 112  # as cblas.h numbers them
GEMM_ARRAYS = (7, 9, 12)  # where among gemm's arguments a, b and out are


@dataclass(frozen=True)
class Library:
    """A BLAS in this process: ``cblas_sgemm`` and ``cblas_dgemm``, their kernels, and how many threads they use."""

    path: str
    gemm: dict[str, Any]  # by dtype name: ctypes functions
    integer: Any  # ctypes type of the sizes
    get_threads: Any = None
    set_threads: Any = None
    threads: int = 1  # how many it starts with, if nobody chose another number
    kernels: str = "unknown"  # OpenBLAS's name of the kernel set

    @property
    def addresses(self) -> dict[str, int]:
        """The addresses of the functions, by dtype name."""
        return {dtype: ctypes.cast(function, ctypes.c_void_p).value or 0 for dtype, function in self.gemm.items()}

    def chosen_by_itself(self) -> bool:
        """Tell whether the number of threads is the library's own default, not someone's choice."""
        if self.threads == 1 or self.get_threads() == self.threads:
            return self.threads > 1
        # another thread may be multiplying with the number set to one: ask again when it is done
        return bool(self.alone((STEERING.acquire, self.get_threads, STEERING.release))[1] == self.threads)

    def alone(self, calls: tuple[Callable[[], Any], ...]) -> list[Any]:
        """Make calls that set the number of threads or depend on it, and return their results.

        The first is ``STEERING.acquire`` and the last ``STEERING.release``. All are compiled functions, so that no
        line of Python, such as a signal handler's, comes between.
        """
        going = iter(calls)
        try:
            return list(map(operator.call, going))
        except BaseException:
            if 0 < operator.length_hint(going) < len(calls) - 1:  # no room on the stack, or no memory
                try:
                    self.set_threads(self.threads)
                finally:
                    STEERING.release()
            raise

    def on(self, number: int, multiply: Callable[[], Any]) -> None:
        """Make a product on this number of threads, and set the usual number again."""
        first, last = (partial(self.set_threads, threads) for threads in (number, self.threads))
        self.alone((STEERING.acquire, first, multiply, last, STEERING.release))


def matmul(a: Array, b: Array, out: Array) -> None:
    """Write ``out = a b``; ``a`` and ``b`` are C-ordered arrays or transposes of such, ``out`` is C-ordered."""
    for part in parts(a, b, out):
        multiply(*part)


def parts(a: Array, b: Array, out: Array) -> Iterator[tuple[Array, Array, Array, float]]:
    """Yield the arguments of `multiply`, one call after the other, that write ``out = a b``.

    OpenBLAS cuts a sum that is longer than a block, and in other places on one thread than on several, which changes
    the last digits. So a large product is cut here, where OpenBLAS cuts it on one thread, if its kernels are of those
    that then give the same bits on any number of threads.
    """
    found, inputs, start = library(), int(a.shape[1]), 0
    blocks = BLOCKS.get(found.kernels, {}) if found is not None and is_large(a, out) else {}
    block = blocks.get(out.dtype.name, inputs)
    while start == 0 or start < inputs:
        left = inputs - start
        length = left if left <= block else block if left >= 2 * block else 16 * math.ceil(left // 2 / 16)
        terms = slice(start, start + length)
        yield a[:, terms], b[terms], out, float(start > 0)
        start += max(1, length)


def multiply(a: Array, b: Array, out: Array, beta: float = 0.0) -> None:
    """Write ``out = a b + beta out``; ``a`` and ``b`` may be parts of arrays that `matmul` takes."""
    found = library()
    if found is None or out.size == 0:
        np.matmul(a, b, out=out)  # such a product is not cut
        return
    arguments = gemm_arguments(a, b, out, beta)
    product = partial(found.gemm[out.dtype.name], *arguments)
    if not found.chosen_by_itself():
        product()
        return
    pace = _pace(out.dtype.name, *arguments[1:6]) if is_large(a, out) else None
    work = partial(found.on, found.threads if pace is not None and pace.all else 1, product)
    work() if pace is None else pace.timed(work)


def is_large(a: Array, out: Array) -> bool:
    """Tell whether a product of ``a`` that gives ``out`` is large enough for all threads."""
    return bool(out.size * a.shape[1] > SMALL)


@functools.lru_cache(256)
def _pace(dtype: str, a_order: int, b_order: int, m: int, n: int, k: int) -> Pace:
    """Return the `Pace` of those products of this kind and size that Python calls."""
    return Pace(partial(same_bits, dtype, a_order, b_order, m, n, k))


@functools.lru_cache(256)
def same_bits(dtype: str, a_order: int, b_order: int, m: int, n: int, k: int) -> bool:
    """Tell whether a product has the same bits on one thread and on all; it is tried once, on random numbers.

    The order of the additions depends on the sizes and not on the numbers; for most sizes, not on the threads either.
    """
    found = library()
    if found is None or found.threads == 1:
        return False
    rng, outs = np.random.default_rng(0), (np.empty((m, n), dtype), np.empty((m, n), dtype))
    a, b = (
        rng.standard_normal(shape, dtype) if order == AS_IT_IS else rng.standard_normal(shape[::-1], dtype).T  # type: ignore[call-overload]
        for order, shape in ((a_order, (m, k)), (b_order, (k, n)))
    )
    for number, out in zip((1, found.threads), outs, strict=True):
        found.on(number, partial(found.gemm[dtype], *gemm_arguments(a, b, out)))
    return np.array_equal(outs[0], outs[1])


def gemm_arguments(a: Array, b: Array, out: Array, beta: float = 0.0) -> tuple[Any, ...]:
    """Return the arguments of ``cblas_sgemm`` or ``cblas_dgemm`` for ``out = a b + beta out``."""
    (a_order, a_row), (b_order, b_row) = _order(a), _order(b)
    (m, n), k = out.shape, a.shape[1]
    a_start, b_start, out_start = map(address, (a, b, out))
    return ROW_MAJOR, a_order, b_order, m, n, k, 1.0, a_start, a_row, b_start, b_row, beta, out_start, n


def address(array: Array) -> int:
    """Return the address at which an array's data begins."""
    return int(array.__array_interface__["data"][0])


def gemm_types(integer: Any, number: Any, pointer: Any, enumeration: Any) -> list[Any]:
    """Return the types of `gemm_arguments`, made of four types of the caller's."""
    return [*[enumeration] * 3, *[integer] * 3, number, pointer, integer, pointer, integer, number, pointer, integer]


def _order(x: Array) -> tuple[int, int]:
    """Return a matrix's order in memory, and the distance from one row (or column) to the next, in numbers."""
    if x.flags.c_contiguous:
        return AS_IT_IS, max(1, x.shape[1])
    if x.flags.f_contiguous:
        return TRANSPOSED, max(1, x.shape[0])
    to_row, to_column = (stride // x.itemsize for stride in x.strides)  # a part of such an array
    return (AS_IT_IS, to_row) if to_column == 1 else (TRANSPOSED, to_column)


_found: list[Library | None] = []
_finding = threading.RLock()  # reentrant: a signal handler may multiply while this thread is finding


def _after_fork() -> None:
    """Free both locks in a child process: the thread that held one is not in it."""
    global _finding
    STEERING.release()
    _finding = threading.RLock()


if hasattr(os, "register_at_fork"):  # or a child that is forked while another thread holds a lock would wait for ever
    os.register_at_fork(before=STEERING.acquire, after_in_parent=STEERING.release, after_in_child=_after_fork)


def library() -> Library | None:
    """Return the BLAS to call, or None if NumPy has to multiply; each process finds and tries it once."""
    if not _found:
        with _finding:  # or a second thread could read a number of threads that `matmul` has set in the first
            if not _found:
                _found.append(extra_library() or numpy_library())
    return _found[0]


def numpy_library() -> Library | None:
    """Return the BLAS of NumPy, found among the libraries in this process."""
    paths = [Path(pool["filepath"]) for pool in _pools()]
    for path in sorted(paths, key=lambda path: all(part[:5] != "numpy" for part in path.parts[-3:])):
        found = _library(str(path))  # NumPy's own is first; SciPy may have brought another
        if found is not None:
            return found
    return None


def extra_library() -> Library | None:
    """Load the OpenBLAS of the package scipy-openblas32, if it is there, with the kernels that suit the processor."""
    package = importlib.util.find_spec(EXTRA)
    if package is None:
        return None
    # The package itself is not imported: it would load the library with no choice of kernels, and offer its symbols
    # to every library that is loaded later, such as SciPy's own OpenBLAS.
    folders = [Path(folder, "lib") for folder in package.submodule_search_locations or ()]
    paths = [path for folder in folders for path in sorted(folder.glob("libscipy_openblas*"))]
    limit = min((pool["num_threads"] for pool in _pools()), default=None)
    for path in paths:
        if path.suffix in (".so", ".dylib", ".dll"):
            with contextlib.suppress(OSError), _coretype_for_loading():
                found = _library(str(path))
                if found is not None and limit is not None and limit < found.get_threads():
                    found.set_threads(limit)  # what threadpoolctl set for NumPy's before this one was loaded
                return found
    return None


def suitable_kernels() -> str | None:
    """Return OpenBLAS's name of the best kernel set for this processor, as far as NumPy knows the processor."""
    extensions: Any = np.show_config(mode="dicts")
    simd = extensions["SIMD Extensions"]
    has = {*simd["baseline"], *simd["found"]}
    # NumPy's names, since 2.4 and before, for AVX-512 F, CD, BW, DQ and VL together
    if has & {"X86_V4", "AVX512_SKX"}:
        return AVX512_KERNELS[0]
    return AVX2_KERNELS[0] if "X86_V3" in has or {"AVX2", "FMA3"} <= has else None


def suits(kernels: str) -> bool:
    """Tell whether no other kernel set suits this processor better than the one named."""
    best = suitable_kernels()
    return best is None or kernels in AVX512_KERNELS or (best in AVX2_KERNELS and kernels in AVX2_KERNELS)


def better_coretype() -> str | None:
    """Return the OPENBLAS_CORETYPE with which this process should have started, or None.

    OpenBLAS may take a processor with AVX-512 for one without: it does so for AMD's, with the kernel sets of NumPy's
    wheels.
    """
    best = suitable_kernels()
    if os.environ.get("OPENBLAS_CORETYPE") or best not in AVX512_KERNELS:
        return None
    found = library()
    return best if found is not None and found.kernels != "unknown" and not suits(found.kernels) else None


@contextlib.contextmanager
def _coretype_for_loading() -> Iterator[None]:
    """Choose the kernels of an OpenBLAS that is loaded in the block: it reads the environment only then."""
    best, before = suitable_kernels(), os.environ.get("OPENBLAS_CORETYPE")
    if before or best not in AVX512_KERNELS:
        yield  # someone chose, or it chooses well by itself
        return
    os.environ["OPENBLAS_CORETYPE"] = best  # sets it for C too
    try:
        yield
    finally:
        del os.environ["OPENBLAS_CORETYPE"]
        if before is not None:
            os.environ["OPENBLAS_CORETYPE"] = before


def _pools() -> list[Any]:
    return [pool for pool in threadpool_info() if pool["user_api"] == "blas"]


def _library(path: str) -> Library | None:
    loaded = ctypes.CDLL(path)
    # NumPy's wheels have 64-bit sizes, and a prefix and suffix of their own; distributions have the plain names
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
        get_threads, set_threads, get_kernels = (
            getattr(loaded, f"{prefix}openblas_{name}{suffix}", None)
            for name in ("get_num_threads", "set_num_threads", "get_corename")
        )
        if set_threads is not None and get_threads is not None:
            get_threads.argtypes, set_threads.argtypes, set_threads.restype = [], [ctypes.c_int], None
        chosen = any(os.environ.get(name) for name in THREAD_VARIABLES)
        threads = 1 if chosen or get_threads is None or set_threads is None else get_threads()
        found = Library(path, gemm, integer, get_threads, set_threads, threads)
        if get_kernels is not None:
            get_kernels.restype = ctypes.c_char_p
            found = replace(found, kernels=get_kernels().decode())
        return found if _works(found) else None
    return None


def _works(found: Library) -> bool:
    """Multiply small matrices in every memory order and compare with NumPy: integers of the wrong width would show."""
    for dtype, gemm in found.gemm.items():
        a, b = (np.arange(n, dtype=dtype).reshape(shape) for n, shape in ((6, (2, 3)), (12, (3, 4))))
        for left in (a, np.ascontiguousarray(a.T).T):
            for right in (b, np.ascontiguousarray(b.T).T):
                out = np.full((2, 4), -1, dtype)
                gemm(*gemm_arguments(left, right, out))
                if not np.array_equal(out, left @ right):
                    return False
    return True
