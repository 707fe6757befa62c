"""Compiled kernels on disk: Numba's cache, which here may be damaged, locked or absent.

Numba executes what it reads from its cache, and raises an error if it cannot read. Here each file has a hash. A kernel
that cannot be read, or was compiled from other source or with other options, is compiled again; one that cannot be
written is compiled in every process.

The base classes are private to Numba and may change: `tinynet.kernels.jit` then works without this file.
"""

# mypy: disable-error-code="misc,no-untyped-call"

import contextlib
import functools
import hashlib
import importlib.metadata
import pickle  # Numba's format: the files are this package's own, made on this machine
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile


class CheckedFiles(IndexDataCacheFile):
    """The files of one kernel, each with the SHA-256 of its content in front."""

    def _save_data(self, name: str, data: Any) -> None:
        content = self._dump(data)
        with self._open_for_write(self._data_path(name)) as file:
            file.write(hashlib.sha256(content).digest() + content)

    def _load_data(self, name: str) -> Any:
        stored = Path(self._data_path(name)).read_bytes()
        expected, content = stored[:32], stored[32:]
        if hashlib.sha256(content).digest() != expected:
            raise ValueError(f"{name} is damaged")
        return pickle.loads(content)


class Cache(FunctionCache):
    """The cache of one kernel; reading or writing it never raises an error."""

    def __init__(self, kernel: Callable[..., Any], options: dict[str, Any]) -> None:
        super().__init__(kernel)
        # Numba's stamp is of the kernel's file alone; its key has the processor and the version of Numba
        stamp = self._impl.locator.get_source_stamp(), _source(), sorted(map(repr, _plain(options)))
        self._cache_file = CheckedFiles(self._cache_path, self._impl.filename_base, repr(stamp))

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled kernel for these argument types, or None."""
        try:
            found = super().load_overload(sig, target_context)
            # two processes that compile for two dtypes at the same time may choose the same file name
            return found if found is None or found.signature.args == sig else None
        except Exception:
            with contextlib.suppress(Exception):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write a compiled kernel, if possible."""
        with contextlib.suppress(Exception):
            super().save_overload(sig, data)


def _plain(options: dict[str, Any]) -> list[Any]:
    """Return the options with sets sorted, since the order of a set differs between processes."""
    return [(name, sorted(value) if isinstance(value, set) else value) for name, value in options.items()]


@functools.cache
def _source() -> str:
    """Return a hash of all kernels' files, since kernels call those of other files, and of the compiler's version."""
    digest = hashlib.sha256(importlib.metadata.version("llvmlite").encode())
    for path in sorted((Path(__file__).parents[1] / "kernels").glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def keep_on_disk(dispatcher: Any, kernel: Callable[..., Any], options: dict[str, Any]) -> None:
    """Keep the compiled ``kernel`` on disk; if no folder can be written, do nothing.

    Parameters
    ----------
    dispatcher, kernel : function
        Numba's function, and the Python function it compiles.
    options : dict
        The options of the compilation.
    """
    if hasattr(dispatcher, "enable_caching"):  # not where NUMBA_DISABLE_JIT is set
        with contextlib.suppress(RuntimeError):
            dispatcher._cache = Cache(kernel, options)
