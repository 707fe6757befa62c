"""The only place that configures Numba, each option with its reason."""

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

OPTIONS: dict[str, Any] = {
    "nogil": True,  # two networks may train in two threads
    "error_model": "numpy",  # a division by zero gives inf or nan, as in NumPy, not an exception
    # "contract" lets a * b + c become one fused instruction; "nsz" ignores the sign of a zero. "nnan" and "ninf"
    # are left out on purpose: a kernel that assumes no NaN hides the very divergence the experiments count.
    # "reassoc" is left out because the two-pass variance relies on sums as they are written.
    "fastmath": {"contract", "nsz"},
}


def jit(kernel: Kernel) -> Kernel:
    """Compile a kernel with Numba at its first call; it is kept on disk, and the next process only loads it."""
    return _compiled(kernel, OPTIONS)


def jit_row_sums(kernel: Kernel) -> Kernel:
    """As `jit`, for kernels that sum along a row: only with "reassoc" may such a sum use vector instructions."""
    return _compiled(kernel, {**OPTIONS, "fastmath": {"contract", "nsz", "reassoc"}})


def _compiled(kernel: Kernel, options: dict[str, Any]) -> Kernel:
    dispatcher = numba.njit(**options)(kernel)
    if dispatcher is kernel:  # with NUMBA_DISABLE_JIT: NumPy warns then of what compiled code does silently
        return np.errstate(all="ignore")(kernel)
    with contextlib.suppress(Exception):  # Numba's private parts: where they changed, each process compiles
        from tinynet.machinery.cache import keep_on_disk

        keep_on_disk(dispatcher, kernel, options)
    return cast(Kernel, dispatcher)
