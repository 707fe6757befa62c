"""A tape: the kernel calls of one step, noted once and replayed without Python in between.

At a batch of 60 and layers of 100 units, calling a kernel from Python costs about as much as what the kernel does.
A step makes the same calls on the same arrays every time, so that a network notes them once and from then on hands
them to `Tape.replay`, which does in compiled code what these two lines do::

    for kernel, arguments in calls:
        kernel(*arguments)

A compiled kernel is a function at an address, and its arguments are machine words: numbers, and for an array the
place of its data, its shape and its strides. The tape holds both. For each signature a thunk, a few instructions,
loads the words and calls the address. What is not compiled is called from Python when its turn comes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from tinynet.machinery import blas
from tinynet.typing import Array, Call


class Tape:
    """Kernel calls to be replayed.

    Parameters
    ----------
    calls : sequence of (kernel, arguments)
        In order. Their arrays are kept alive.
    source : ndarray, optional
        An array among the arguments, as it is or transposed, that a replay may replace by another of its shape.
    """

    def __init__(self, calls: Sequence[Call], source: Array | None = None) -> None:
        self.calls, self.source = list(calls), source
        self._parts: list[_Program | _Python] | None = None

    def replay(self, source: Array | None = None) -> None:
        """Make all calls again, reading ``source`` in place of the array that was read before."""
        if self._parts is None:
            self._parts = _parts(self.calls)
        if source is not None and source is not self.source:
            assert self.source is not None
            for part in self._parts:
                part.replace(self.source, source)
            self.source = source
        for part in self._parts:
            part.run()


@dataclass
class _Python:
    """A call that Python makes."""

    kernel: Callable[..., Any]
    arguments: tuple[Any, ...]

    def run(self) -> None:
        self.kernel(*self.arguments)

    def replace(self, old: Array, new: Array) -> None:
        self.arguments = tuple(
            np.ndarray(argument.shape, argument.dtype, new, strides=argument.strides)
            if isinstance(argument, np.ndarray) and _place(argument) == _place(old)
            else argument
            for argument in self.arguments
        )


@dataclass
class _Native:
    """A call of a compiled function: its address, its type, and its arguments as words."""

    address: int
    type: Any
    words: list[int]
    one_thread: bool = False  # a small matrix product


class _Program:
    """Native calls in a row. Each is a step of three words: thunk, function, and where its arguments' words are."""

    def __init__(self, calls: Sequence[_Native]) -> None:
        self.words = np.array([word for call in calls for word in call.words], np.int64)
        self.steps = self.steered = self._steps(calls)
        found = blas.library()
        self.blas = None  # whose number of threads matters here
        if found is not None and found.threads > 1 and any(call.address in found.addresses.values() for call in calls):
            self.blas, self.steered = found, self._steered(calls, found)
        self._replay = _replayer()
        self._run, self._run_steered = ((_place(steps), len(steps)) for steps in (self.steps, self.steered))

    def _steps(self, calls: Sequence[_Native]) -> Array:
        thunks = _thunks(call.type for call in calls)
        place, steps = _place(self.words), []
        for call in calls:
            steps.append((thunks[str(call.type)], call.address, place))
            place += self.words.itemsize * len(call.words)
        return np.array(steps, np.int64)

    def _steered(self, calls: Sequence[_Native], library: blas.Library) -> Array:
        """Return the steps with others among them that set the number of BLAS threads for the products that follow."""
        self.numbers = np.array([1, library.threads], np.int64)  # what these steps' arguments point to
        function = ir.FunctionType(NOTHING, [ir.IntType(32)])
        set_threads = _thunks([function])[str(function)], ctypes.cast(library.set_threads, ctypes.c_void_p).value
        one, all_ = ((*set_threads, _place(self.numbers[k:])) for k in range(2))
        products, steps, now = library.addresses.values(), [], all_
        for call, step in zip(calls, self.steps.tolist(), strict=True):
            wanted = now if call.address not in products else one if call.one_thread else all_
            steps += [step] if wanted is now else [wanted, step]
            now = wanted
        return np.array(steps if now is all_ else [*steps, all_], np.int64)

    def run(self) -> None:
        if self.blas is not None:
            with blas.STEERING:
                if self.blas.chosen_by_itself():
                    self._replay(*self._run_steered)
                    return
        self._replay(*self._run)

    def replace(self, old: Array, new: Array) -> None:
        self.words[self.words == _place(old)] = _place(new)


def _parts(calls: Iterable[Call]) -> list[_Program | _Python]:
    """Return native calls in a row as one program, and the others as they are."""
    parts: list[_Program | _Python] = []
    together: list[_Native] = []
    for kernel, arguments in calls:
        native = _native(kernel, arguments)
        if native is not None:
            together.append(native)
            continue
        if together:
            parts.append(_Program(together))
            together = []
        parts.append(_Python(kernel, arguments))
    return [*parts, _Program(together)] if together else parts


# -- from Python's calls to words ---------------------------------------------------------------------------------

WORD = ir.IntType(64)
WORDS = WORD.as_pointer()
NOTHING = ir.VoidType()


def _native(kernel: Callable[..., Any], arguments: tuple[Any, ...]) -> _Native | None:
    """Return a call as machine words, or None if Python has to make it."""
    if kernel is blas.matmul:
        return _product(*arguments)
    overloads = getattr(kernel, "overloads", {})  # compiled forms by argument types: a Numba function has them
    compiled = overloads.get(tuple(map(numba.typeof, arguments))) if overloads else None
    if compiled is None:
        return None
    # Numba's own convention: where to put the result and an exception, then the arguments, flattened. Kernels give
    # neither.
    words = [_place(NOWHERE), _place(NOWHERE) + 8]
    words += [word for argument in arguments for word in _flat(argument)]
    description = compiled.fndesc
    function = cpu_target.target_context.call_conv.get_function_type(description.restype, description.argtypes)
    if len(words) != len(function.args):
        return None
    return _Native(compiled.library.get_pointer_to_function(description.llvm_func_name), function, words)


def _product(a: Array, b: Array, out: Array) -> _Native | None:
    found = blas.library()
    if found is None or out.size == 0:
        return None
    number = ir.FloatType() if out.dtype == np.float32 else ir.DoubleType()
    as_words = np.float32 if out.dtype == np.float32 else np.float64
    integer = ir.IntType(8 * ctypes.sizeof(found.integer))
    function = ir.FunctionType(NOTHING, blas.gemm_types(integer, number, WORDS, ir.IntType(32)))
    words = [_bits(as_words(v)) if isinstance(v, float) else int(v) for v in blas.gemm_arguments(a, b, out)]
    return _Native(found.addresses[out.dtype.name], function, words, blas.is_small(a, out))


NOWHERE = np.zeros(2, np.int64)


def _flat(argument: Any) -> list[int]:
    """Return an argument's words; an array has owner, object, size, item size, data, shape and strides."""
    if isinstance(argument, np.ndarray):
        return [0, 0, argument.size, argument.itemsize, _place(argument), *argument.shape, *argument.strides]
    return [_bits(np.float64(argument)) if isinstance(argument, float) else int(argument)]


def _place(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


def _bits(number: Any) -> int:
    return int(number.view(f"int{8 * number.itemsize}"))


# -- thunks, and the loop over the steps --------------------------------------------------------------------------

_made: dict[str, tuple[int, Any]] = {}  # address and owner of what was compiled in this process, by name
_replay: Any = None


def _thunks(types: Iterable[Any]) -> dict[str, int]:
    """Return, by function type, addresses of code that calls such a function with arguments from an array of words."""
    named = {str(function): function for function in types}
    _make({name: ([WORD, WORDS], _write_thunk(function)) for name, function in named.items()})
    return {name: _made[name][0] for name in named}


def _write_thunk(function: Any) -> Callable[..., None]:
    def write(block: ir.IRBuilder, address: Any, words: Any) -> None:
        arguments = []
        for k, type_ in enumerate(function.args):
            word = block.load(block.gep(words, [WORD(k)]))
            if isinstance(type_, ir.PointerType):
                word = block.inttoptr(word, type_)
            elif isinstance(type_, ir.DoubleType):
                word = block.bitcast(word, type_)
            elif isinstance(type_, ir.FloatType):
                word = block.bitcast(block.trunc(word, ir.IntType(32)), type_)
            elif type_.width < WORD.width:
                word = block.trunc(word, type_)
            arguments.append(word)
        block.call(block.inttoptr(address, function.as_pointer()), arguments)
        block.ret_void()

    return write


def _replayer() -> Any:
    """Return the compiled loop: for each of n steps, thunk(function, words)."""
    global _replay
    if _replay is None:
        _make({"replay": ([WORDS, WORD], _write_replayer)})
        _replay = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(_made["replay"][0])
    return _replay


def _write_replayer(block: ir.IRBuilder, steps: Any, n: Any) -> None:
    before, function = block.block, block.function
    loop, done = function.append_basic_block(), function.append_basic_block()
    block.branch(loop)
    block.position_at_end(loop)
    i = block.phi(WORD)
    i.add_incoming(WORD(0), before)
    first = block.mul(i, WORD(3))
    thunk, address, words = (block.load(block.gep(steps, [block.add(first, WORD(k))])) for k in range(3))
    call = block.inttoptr(thunk, ir.FunctionType(NOTHING, [WORD, WORDS]).as_pointer())
    block.call(call, [address, block.inttoptr(words, WORDS)])
    following = block.add(i, WORD(1))
    i.add_incoming(following, loop)
    block.cbranch(block.icmp_signed("<", following, n), loop, done)
    block.position_at_end(done)
    block.ret_void()


@global_compiler_lock  # type: ignore[untyped-decorator]
def _make(functions: dict[str, tuple[list[Any], Callable[..., None]]]) -> None:
    """Compile functions, each written by its own ``write(block, *arguments)``, once a process and all in one go."""
    missing = {name: how for name, how in functions.items() if name not in _made}
    if not missing:
        return
    symbols = {name: f"tinynet_tape_{len(_made) + k}" for k, name in enumerate(missing)}
    library = cpu_target.target_context.codegen().create_library(f"tinynet_tape_{len(_made)}")
    module = ir.Module(library.name)
    for name, (arguments, write) in missing.items():
        function = ir.Function(module, ir.FunctionType(NOTHING, arguments), symbols[name])
        write(ir.IRBuilder(function.append_basic_block()), *function.args)
    library.add_ir_module(module)
    library.finalize()
    for name, symbol in symbols.items():
        _made[name] = library.get_pointer_to_function(symbol), library
