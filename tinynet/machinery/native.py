"""All use of the private parts of Numba and llvmlite: a kernel's machine code, its arguments as words, its calls.

These parts may change with any release, and only this file relies on them. `tinynet.machinery.replay` imports it in a
try, compares its calls with plain ones, and works without it if they differ. What a kernel takes is checked here
first, since a word in the wrong place would crash the process.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.extending import is_jitted

from tinynet.machinery import blas
from tinynet.typing import Array

WORD = ir.IntType(64)
WORDS = WORD.as_pointer()
STATUS = ir.IntType(32)  # what a compiled kernel returns: 0, or that it raised an exception
NOTHING = ir.VoidType()
IGNORED = np.zeros(4, np.int64)  # kernels write what they return, and their exception, here


@dataclass
class NativeCall:
    """A call of a compiled function: its address, its type, and its arguments as words.

    Attributes
    ----------
    arrays : dict of int to ndarray
        By the position of each word that is an address: the array whose data begins there.
    key : tuple
        Equal for calls of the same machine code with the same kinds of arguments.
    """

    address: int
    type: Any
    words: list[int]
    arrays: dict[int, Array]
    key: tuple[Any, ...]


def native_call(kernel: Any, arguments: tuple[Any, ...]) -> NativeCall | None:
    """Return a call as machine words, or None if Python has to make it.

    Raises
    ------
    RuntimeError
        If the kernel does not take its arguments in the words that are expected.
    """
    if kernel is blas.multiply:
        return _product(*arguments)
    name = getattr(kernel, "__name__", "a kernel")
    if not is_jitted(kernel):
        return None
    try:
        argument_types = tuple(map(numba.typeof, arguments))
    except ValueError:
        return None
    compiled: Any = kernel.overloads.get(argument_types)
    if compiled is None or not isinstance(compiled.signature.return_type, types.NoneType | types.Number):
        return None
    # Numba's calling convention: addresses for the result and an exception, then the arguments, flattened
    words, arrays = [blas.address(IGNORED), blas.address(IGNORED) + 16], {}
    kinds = ["pointer", "pointer"]
    for argument, type_ in zip(arguments, argument_types, strict=True):
        found = _words(argument, type_)
        if found is None:
            return None
        for kind, word in found:
            if kind == "data":
                arrays[len(words)] = argument
            kinds.append("pointer" if kind == "data" else kind)
            words.append(word)
    description = compiled.fndesc
    function = cpu_target.target_context.call_conv.get_function_type(description.restype, description.argtypes)
    taken = [_type_name(type_) for type_ in function.args]
    if taken != kinds or function.return_type != STATUS:
        raise RuntimeError(f"{name} takes its arguments as {taken}, not as {kinds}")
    address = compiled.library.get_pointer_to_function(description.llvm_func_name)
    if not address:
        raise RuntimeError(f"{name} has no address")
    return NativeCall(address, function, words, arrays, (address,))


def _words(argument: Any, type_: Any) -> list[tuple[str, int]] | None:
    """Return an argument's words, each with its kind; None for a type that is not supported."""
    model: Any = cpu_target.target_context.data_model_manager[type_]
    if isinstance(type_, types.Array):
        known = {
            "meminfo": [("pointer", 0)],
            "parent": [("pointer", 0)],
            "nitems": [("i64", argument.size)],
            "itemsize": [("i64", argument.itemsize)],
            "data": [("data", blas.address(argument))],
            "shape": [("i64", n) for n in argument.shape],
            "strides": [("i64", n) for n in argument.strides],
        }
        if {*model._fields} != {*known}:
            raise RuntimeError(f"an array consists of {', '.join(model._fields)}")
        return [word for field in model._fields for word in known[field]]
    if isinstance(type_, types.Boolean):
        return [(_type_name(model.get_argument_type()), int(argument))]
    if isinstance(type_, types.Integer):
        return [(_type_name(model.get_argument_type()), (int(argument) + 2**63) % 2**64 - 2**63)]
    if type_ in (types.float32, types.float64):
        number: Any = np.float32(argument) if type_ == types.float32 else np.float64(argument)
        return [("float" if type_ == types.float32 else "double", _bits(number))]
    return None


def _type_name(type_: Any) -> str:
    return "pointer" if isinstance(type_, ir.PointerType) else str(type_)


def _product(a: Array, b: Array, out: Array, beta: float) -> NativeCall | None:
    found = blas.library()
    if found is None or out.size == 0:
        return None
    number = ir.FloatType() if out.dtype == np.float32 else ir.DoubleType()
    as_words = np.float32 if out.dtype == np.float32 else np.float64
    integer = ir.IntType(8 * ctypes.sizeof(found.integer))
    function = ir.FunctionType(NOTHING, blas.gemm_types(integer, number, WORDS, ir.IntType(32)))
    values = blas.gemm_arguments(a, b, out, beta)
    words = [_bits(as_words(v)) if isinstance(v, float) else int(v) for v in values]
    address = found.addresses[out.dtype.name]
    arrays = dict(zip(blas.GEMM_ARRAYS, (a, b, out), strict=True))
    return NativeCall(address, function, words, arrays, (address, *values[1:3]))  # values[1:3]: the orders


def set_threads(library: blas.Library, number: int) -> NativeCall:
    """Return the call that sets the number of threads of a BLAS."""
    address = ctypes.cast(library.set_threads, ctypes.c_void_p).value or 0
    return NativeCall(address, ir.FunctionType(NOTHING, [ir.IntType(32)]), [number], {}, (address,))


def _bits(number: Any) -> int:
    return int(number.view(f"int{8 * number.itemsize}"))


# -- thunks, and the loop over the calls --------------------------------------------------------------------------

_made: dict[str, tuple[int, Any]] = {}  # address and owner of what was compiled in this process, by name
_numbers = itertools.count()


def rows(calls: Sequence[NativeCall], words: int) -> Array:
    """Return three words per call, for `replayer`: the addresses of thunk, function and the arguments' words.

    Parameters
    ----------
    calls : sequence of NativeCall
    words : int
        The address of the words of all calls, one call after the other.
    """
    named = {str(call.type): call.type for call in calls}
    _make({name: ([WORD, WORDS], _write_thunk(function)) for name, function in named.items()})
    addresses = itertools.accumulate((WORD.width // 8 * len(call.words) for call in calls), initial=words)
    found = [(_made[str(call.type)][0], call.address, at) for call, at in zip(calls, addresses, strict=False)]
    return np.array(found, np.int64)


def replayer() -> Any:
    """Return the compiled loop over n rows: it calls thunk(function, words), and returns how many calls succeeded."""
    _make({"replay": ([WORDS, WORD], _write_replayer)})
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(_made["replay"][0])


def _write_thunk(function: Any) -> Callable[..., None]:
    """Return a function that writes code: a call of such a ``function`` with arguments from an array of words."""

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
        status = block.call(block.inttoptr(address, function.as_pointer()), arguments)
        block.ret(WORD(0) if function.return_type == NOTHING else block.sext(status, WORD))

    return write


def _write_replayer(block: ir.IRBuilder, rows: Any, n: Any) -> None:
    before, function = block.block, block.function
    loop, done = function.append_basic_block(), function.append_basic_block()
    block.branch(loop)
    block.position_at_end(loop)
    i = block.phi(WORD)
    i.add_incoming(WORD(0), before)
    first = block.mul(i, WORD(3))
    thunk, address, words = (block.load(block.gep(rows, [block.add(first, WORD(k))])) for k in range(3))
    call = block.inttoptr(thunk, ir.FunctionType(WORD, [WORD, WORDS]).as_pointer())
    status = block.call(call, [address, block.inttoptr(words, WORDS)])
    succeeded = block.icmp_signed("==", status, WORD(0))
    following = block.add(i, block.zext(succeeded, WORD))
    i.add_incoming(following, loop)
    block.cbranch(block.and_(succeeded, block.icmp_signed("<", following, n)), loop, done)
    block.position_at_end(done)
    block.ret(following)


@global_compiler_lock  # type: ignore[untyped-decorator]
def _make(functions: dict[str, tuple[list[Any], Callable[..., None]]]) -> None:
    """Compile together those functions that this process has not; each is written by ``write(block, *arguments)``."""
    missing = {name: how for name, how in functions.items() if name not in _made}
    if not missing:
        return
    symbols = {name: f"tinynet_tape_{next(_numbers)}" for name in missing}
    library = cpu_target.target_context.codegen().create_library(f"tinynet_tape_{next(_numbers)}")
    module = ir.Module(library.name)
    for name, (arguments, write) in missing.items():
        function = ir.Function(module, ir.FunctionType(WORD, arguments), symbols[name])
        write(ir.IRBuilder(function.append_basic_block()), *function.args)
    library.add_ir_module(module)
    library.finalize()
    for name, symbol in symbols.items():
        _made[name] = library.get_pointer_to_function(symbol), library
