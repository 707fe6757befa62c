"""Compiled kernels on disk: Numba's own cache, but one that may be damaged, locked or absent.

What Numba reads back it runs as machine code, and an error in reading ends the call. Here each file carries a hash;
what cannot be read is compiled again, and what cannot be written is compiled in every process. What was compiled from
other source or with other options is compiled anew.

The classes that this is made of are Numba's own, and may change: `tinynet.kernels.jit` does without them then.
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
    """The cache of one kernel; it never fails, it only may not have it."""

    def __init__(self, kernel: Callable[..., Any], options: dict[str, Any]) -> None:
        super().__init__(kernel)
        # Numba's own stamp is of the kernel's file, and its key names the processor and the version of Numba
        stamp = self._impl.locator.get_source_stamp(), _source(), sorted(map(repr, _plain(options)))
        self._cache_file = CheckedFiles(self._cache_path, self._impl.filename_base, repr(stamp))

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


def _plain(options: dict[str, Any]) -> list[Any]:
    """Return options with their sets in order, which a set has not from process to process."""
    return [(name, sorted(value) if isinstance(value, set) else value) for name, value in options.items()]


@functools.cache
def _source() -> str:
    """Return a hash of the kernels' whole package, since one includes functions of others, and of the compiler."""
    digest = hashlib.sha256(importlib.metadata.version("llvmlite").encode())
    for path in sorted((Path(__file__).parents[1] / "kernels").glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def keep_on_disk(dispatcher: Any, kernel: Callable[..., Any], options: dict[str, Any]) -> None:
    """Have Numba's compiled form of ``kernel`` kept on disk; if no folder can be written, nothing happens.

    Parameters
    ----------
    dispatcher, kernel : function
        As Numba made it, and as it is written.
    options : dict
        With which it is compiled.
    """
    if hasattr(dispatcher, "enable_caching"):  # not where NUMBA_DISABLE_JIT is set
        with contextlib.suppress(RuntimeError):
            dispatcher._cache = Cache(kernel, options)
