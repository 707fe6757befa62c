"""Compiled kernels on disk: Numba's own cache, but one that may be damaged, locked or absent.

What Numba reads back it runs as machine code, and an error in reading ends the call. Here each file carries a hash;
what cannot be read is compiled again, and what cannot be written is compiled in every process.
"""

# mypy: disable-error-code="misc,no-untyped-call"

import contextlib
import hashlib
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
    """The cache of one kernel; it never fails, it only may not have it."""

    def __init__(self, kernel: Callable[..., Any]) -> None:
        super().__init__(kernel)
        stamp = self._impl.locator.get_source_stamp()
        self._cache_file = CheckedFiles(self._cache_path, self._impl.filename_base, stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled kernel for these argument types, or None."""
        try:
            found = super().load_overload(sig, target_context)
            # two processes that compile for two dtypes at once may take the same file name
            return found if found is None or found.signature.args == sig else None
        except Exception:
            with contextlib.suppress(Exception):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write a compiled kernel, if that can be done."""
        with contextlib.suppress(Exception):
            super().save_overload(sig, data)


def keep_on_disk(dispatcher: Any, kernel: Callable[..., Any]) -> None:
    """Have Numba's compiled form of ``kernel`` kept on disk; if no folder can be written, nothing happens."""
    if hasattr(dispatcher, "enable_caching"):  # not where NUMBA_DISABLE_JIT is set
        with contextlib.suppress(RuntimeError):
            dispatcher._cache = Cache(kernel)
