"""Replaying recorded kernel calls without Python in between.

At a batch of 60 and layers of 100 units, calling a kernel from Python costs about as much as what the kernel does.
A step makes the same calls on the same arrays every time, so that a network records them once and from then on hands
them to `Replayer.replay`, which does in compiled code what these two lines do::

    for kernel, arguments in calls:
        kernel(*arguments)

A compiled kernel is a function at an address, and its arguments are machine words: numbers, and for an array the
place of its data, its shape and its strides. A replayer holds both; `tinynet.machinery.native` finds them. What is not
compiled is called from Python when its turn comes.

None of this is a promise of Numba's. The first time that a compiled function is to be replayed in a process, it is
replayed on copies of its arguments, and the result compared with a plain call's. Where they differ, or something is
not found, all calls are made as the two lines above make them, and one warning says so.
"""

from __future__ import annotations

import importlib.metadata
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from tinynet.machinery import blas
from tinynet.machinery.pace import Pace
from tinynet.typing import Array, Call

if TYPE_CHECKING:
    from tinynet.machinery.native import NativeCall


class Replayer:
    """Kernel calls to be replayed.

    Parameters
    ----------
    calls : sequence of (kernel, arguments)
        In order. Their arrays are kept alive.
    source : ndarray, optional
        A C-ordered array that is read by some of the calls, itself or a view of it. A replay may read another of its
        shape and dtype in its place; so no array that is not to be exchanged may share its memory.
    """

    def __init__(self, calls: Sequence[Call], source: Array | None = None) -> None:
        self.calls, self.source = _cut(calls), source
        self._parts: list[_Program | _Python] | None = None
        # The array that the words of all programs say is read, if it is still there: of a source that was handed to
        # `replay` nothing is kept.
        self._read: Callable[[], Array | None] = _nothing

    def replay(self, source: Array | None = None) -> None:
        """Make all calls again, reading ``source`` in place of the array that was read when they were recorded."""
        if self._parts is None:
            self._parts = _parts(self.calls, self.source)
        if source is None:
            source = self.source
        if source is not None and source is not self._read():
            self._read = _nothing  # until all places are written: this may be interrupted
            if not (source.flags.c_contiguous and source.flags.aligned):
                source = source.copy()
            for part in self._parts:
                if isinstance(part, _Program):
                    part.read(source)
            self._read = weakref.ref(source)
        for part in self._parts:
            part.run(source)


def _cut(calls: Sequence[Call]) -> list[Call]:
    """Return calls with each product as the parts that it is cut into."""
    return [
        (blas.multiply, part) if kernel is blas.matmul else (kernel, part)
        for kernel, arguments in calls
        for part in (blas.parts(*arguments) if kernel is blas.matmul else [arguments])
    ]


class _Python:
    """A call that Python makes."""

    def __init__(self, kernel: Callable[..., Any], arguments: tuple[Any, ...], source: Array | None) -> None:
        self.kernel, self.arguments, self.source = kernel, arguments, source
        self.reads = source is not None and any(_offset(array, source) is not None for array in _arrays(arguments))

    def run(self, source: Array | None) -> None:
        arguments = self.arguments
        if self.reads and source is not self.source:
            arguments = tuple(_exchanged(argument, self.source, source) for argument in arguments)
        self.kernel(*arguments)


def _arrays(argument: Any) -> Iterator[Array]:
    """Yield an argument that is an array, or the arrays in a list or tuple."""
    if isinstance(argument, np.ndarray):
        yield argument
    elif isinstance(argument, list | tuple):
        for one in argument:
            yield from _arrays(one)


def _exchanged(argument: Any, old: Any, new: Any) -> Any:
    """Return the same view of the new source as the argument, or the arrays in it, are of the old one."""
    if isinstance(argument, list | tuple):
        return [_exchanged(one, old, new) for one in argument]
    offset = _offset(argument, old) if isinstance(argument, np.ndarray) else None
    return argument if offset is None else np.ndarray(argument.shape, argument.dtype, new, offset, argument.strides)


def _offset(array: Array, source: Array) -> int | None:
    """Return at which byte of the source an array begins, None if it is not there."""
    offset = blas.address(array) - blas.address(source)
    return offset if array.size and 0 <= offset < source.nbytes else None


class _Program:
    """Calls of compiled functions in a row, their arguments all in one array of words."""

    def __init__(self, calls: Sequence[tuple[Call, NativeCall]], source: Array | None = None) -> None:
        from tinynet.machinery import native

        self.calls, natives = [call for call, _ in calls], [one for _, one in calls]
        found = blas.library()
        self.library = None  # whose number of threads is set to one at the first step and set back at the last
        if found is not None and found.threads > 1 and any(kernel is blas.multiply for kernel, _ in self.calls):
            self.library, ends = found, [native.set_threads(found, number) for number in (1, found.threads)]
            natives = [ends[0], *natives, ends[1]]
        words: list[int] = []
        reading: list[tuple[int, int]] = []  # which words say where the source is, and how far into it
        for one in natives:
            for k, array in one.arrays.items():
                if source is not None and (offset := _offset(array, source)) is not None:
                    reading.append((len(words) + k, offset))
            words += one.words
        self.words = np.array(words, np.int64)
        self.reading, self.offsets = (np.array([pair[k] for pair in reading], np.intp) for k in range(2))
        self.rows, self._replayer = native.rows(natives, blas.address(self.words)), native.replayer()
        steered = self.library is not None
        self.replay = self._replays(self.rows[1:-1] if steered else self.rows)
        self.steered = blas.STEERING.acquire, self._replays(self.rows), blas.STEERING.release
        large = steered and any(
            kernel is blas.multiply and blas.is_large(args[0], args[2]) for kernel, args in self.calls
        )
        self.pace = Pace(self._on_all_threads) if large else None

    def _replays(self, rows: Array) -> Callable[[], int]:
        return partial(self._replayer, blas.address(rows), len(rows))

    def _on_all_threads(self) -> bool:
        """Make the rows for large products on all threads; tell whether there are any of the same bits."""
        one, *calls, all_ = self.rows.tolist()
        rows, now = [one], one
        for (kernel, arguments), call in zip(self.calls, calls, strict=True):
            wanted = all_ if kernel is blas.multiply and _any_threads(*arguments) else one
            rows += [call] if wanted is now else [wanted, call]
            now = wanted
        self.all_rows = np.array([*rows, all_], np.int64)
        self.on_all = blas.STEERING.acquire, self._replays(self.all_rows), blas.STEERING.release
        return len(rows) > len(calls) + 1

    def read(self, source: Array) -> None:
        """Have the calls read this source."""
        self.words[self.reading] = self.offsets + blas.address(source)

    def run(self, source: Array | None) -> None:
        if self.library is None or not self.library.chosen_by_itself():
            done = self.replay()
        else:
            done = self._run_steered(self.library)
        if done < len(self.calls):  # that kernel raised an exception: in Python it says which
            kernel, arguments = self.calls[done]
            kernel(*arguments)
            raise RuntimeError(f"{kernel.__name__} failed when it was replayed")

    def _run_steered(self, library: blas.Library) -> int:
        """Replay with the number of threads set on the way and set back; return how many calls came to their end."""
        on_all = self.pace is not None and self.pace.all
        rows, steered = (self.all_rows, self.on_all) if on_all else (self.rows, self.steered)
        work = partial(library.alone, steered)
        done = (work() if self.pace is None else self.pace.timed(work))[1]
        if done == len(rows):
            return len(self.calls)
        library.set_threads(library.threads)
        return int(np.count_nonzero(rows[:done, 1] != rows[0, 1]))  # the other rows set the number of threads


def _any_threads(a: Array, b: Array, out: Array, _: float) -> bool:
    """Tell whether a product is large, and the same to the last bit on one thread and on all."""
    return blas.is_large(a, out) and blas.same_bits(out.dtype.name, *blas.gemm_arguments(a, b, out)[1:6])


def _nothing() -> None:
    return None


def _parts(calls: Sequence[Call], source: Array | None) -> list[_Program | _Python]:
    """Return native calls in a row as one program, and the others as they are."""
    parts: list[_Program | _Python] = []
    together: list[tuple[Call, NativeCall]] = []
    try:
        for call, native in zip(calls, _native_calls(calls), strict=True):
            if native is not None:
                together.append((call, native))
                continue
            if together:
                parts.append(_Program(together, source))
                together = []
            parts.append(_Python(*call, source))
        return [*parts, _Program(together, source)] if together else parts
    except MemoryError:
        raise
    except Exception as error:
        _do_without(error)
        return [_Python(*call, source) for call in calls]


# -- whether Numba is what it was -----------------------------------------------------------------------------------


@dataclass
class _Trust:
    """What was found of Numba's private parts in this process."""

    tried: set[tuple[Any, ...]]  # keys of the functions whose replay agrees with plain calls
    doubt: dict[str, Exception]  # why all calls are plain, if they are


_trust = _Trust(set(), {})


def _native_calls(calls: Sequence[Call]) -> list[NativeCall | None]:
    """Return each call as machine words, None if Python makes it; each function was tried."""
    if _trust.doubt or vars(numba.config).get("DISABLE_JIT"):
        return [None] * len(calls)
    from tinynet.machinery import native

    found = [native.native_call(*call) for call in calls]
    new = {one.key: call for call, one in zip(calls, found, strict=True) if one and one.key not in _trust.tried}
    _try(list(new.values()))
    _trust.tried.update(new)
    return found


def _try(calls: Sequence[Call]) -> None:
    """Replay calls on copies of their arguments; raise RuntimeError if that differs from calling them."""
    replayed = [(kernel, _copies(arguments)) for kernel, arguments in calls]
    plain = [(kernel, _copies(arguments)) for kernel, arguments in replayed]  # another thread may write to calls'
    from tinynet.machinery import native

    pairs = [(call, native.native_call(*call)) for call in replayed]
    if pairs:
        _Program([(call, one) for call, one in pairs if one is not None]).run(None)
    for (kernel, arguments), (_, others) in zip(plain, replayed, strict=True):
        kernel(*arguments)
        for one, other in zip(_arrays(arguments), _arrays(others), strict=True):
            if one.tobytes() != other.tobytes():
                raise RuntimeError(f"{kernel.__name__} gave other numbers when it was replayed")


def _copies(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return arguments of the same types, the same array twice where it was there twice."""
    made: dict[int, Array] = {}
    return tuple(
        made.setdefault(id(argument), _copied(argument)) if isinstance(argument, np.ndarray) else argument
        for argument in arguments
    )


def _copied(array: Array) -> Array:
    """Return a copy that lies in memory as the array does."""
    low, high = np.lib.array_utils.byte_bounds(array)
    room = np.empty(high - low + 64, np.uint8)
    skip = (low - blas.address(room)) % 64  # what vector instructions give may depend on it
    copy: Array = np.ndarray(array.shape, array.dtype, room, skip + blas.address(array) - low, array.strides)
    copy[...] = array
    copy.flags.writeable = array.flags.writeable
    return copy


def _do_without(error: Exception) -> None:
    """Have all calls made by Python from now on, and say so once."""
    if _trust.doubt.setdefault("error", error) is error:
        version = importlib.metadata.version("numba")
        warnings.warn(
            f"Numba {version} is not one that tinynet can replay steps with ({type(error).__name__}: {error}): "
            "kernels are called one by one, which is right but slower",
            RuntimeWarning,
            stacklevel=2,
        )
