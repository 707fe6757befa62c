"""A replay is what calling the kernels would do: with any source, any kind of argument, and any Numba."""

import gc
import json
import os
import subprocess
import sys
import weakref
from pathlib import Path

import numba
import numpy as np
import pytest

from tinynet import kernels
from tinynet.kernels.jit import jit
from tinynet.machinery import blas, replay
from tinynet.machinery.replay import Replayer

ROOT = Path(__file__).parents[2]


def noted(kernel, *arguments):
    """Call a kernel, which compiles it, as a layer does while its calls are noted."""
    kernel(*arguments)
    return kernel, arguments


@pytest.fixture(params=["compiled", "plain"])
def way(request, monkeypatch):
    """Both ways of replaying."""
    if request.param == "plain":
        monkeypatch.setattr(replay, "_trust", replay._Trust(set(), {"error": RuntimeError("for the test")}))


def rows(seed, shape=(4, 3), dtype="float32"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


# -- the source ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("way")
def test_all_that_reads_the_source_reads_the_new_one():
    """As it is, a view that begins inside, a transposed and a reversed one; by kernels, by BLAS and by Python."""
    source, weight = rows(0), rows(1)
    whole, below, product, doubled, joined = (np.empty(s, "float32") for s in ((4, 3), (2, 3), (3, 3), (4, 3), (8, 3)))
    calls = [
        noted(kernels.merge.copy, source, whole),
        noted(kernels.merge.copy, source[2:], below),
        noted(blas.matmul, source.T, weight, product),
        noted(np.multiply, source[::-1], 2, doubled),
        noted(np.concatenate, [source, weight], 0, joined),
    ]
    replayed = Replayer(calls, source)
    for x in (source, rows(2), rows(3), source, rows(4)):
        for out in (whole, below, product, doubled, joined):
            out[:] = np.nan
        replayed.replay(None if x is source else x)
        np.testing.assert_array_equal(whole, x)
        np.testing.assert_array_equal(below, x[2:])
        np.testing.assert_allclose(product, x.T @ weight, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(doubled, 2 * x[::-1])
        np.testing.assert_array_equal(joined, [*x, *weight])


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_product_in_parts_reads_the_new_source_in_each(dtype):
    source, weight, out = rows(0, (8, 784), dtype), rows(1, (784, 1024), dtype), np.empty((8, 1024), dtype)
    replayed = Replayer([noted(blas.matmul, source, weight, out)], source)
    for x in (source, rows(2, (8, 784), dtype)):
        expected = np.empty_like(out)
        blas.matmul(x, weight, expected)
        out[:] = np.nan
        replayed.replay(x)
        np.testing.assert_array_equal(out, expected)
        np.testing.assert_allclose(out, x @ weight, rtol=0, atol=1e-3 if dtype == "float32" else 1e-12)


@pytest.mark.usefixtures("way")
def test_what_is_no_part_of_the_source_stays_what_it_was():
    """Another array that was there first, the array read last, and numbers that happen to be the source's address."""
    source, other, taken = rows(0), rows(1), np.empty((4, 3), "float32")
    place = source.__array_interface__["data"][0]
    counts, reals = np.zeros(1, np.int64), np.zeros(1)

    @jit
    def store(x, number, real, counts, reals):
        counts[0], reals[0] = number, real

    real = float(np.int64(place).view(np.float64))
    calls = [noted(kernels.merge.copy, other, taken), noted(store, source, place, real, counts, reals)]
    replayed = Replayer(calls, source)
    for x in (rows(2), other, rows(3)):
        counts[:] = reals[:] = taken[:] = 0
        replayed.replay(x)
        np.testing.assert_array_equal(taken, other)
        assert (counts[0], reals[0]) == (place, real)


@pytest.mark.usefixtures("way")
def test_a_source_of_any_alignment_and_layout_is_read():
    source, out = rows(0), np.empty((4, 3), "float32")
    replayed = Replayer([noted(kernels.merge.copy, source, out)], source)
    for x in (np.frombuffer(b"x" + rows(1).tobytes(), "float32", offset=1).reshape(4, 3), rows(2, (3, 4)).T):
        replayed.replay(x)
        np.testing.assert_array_equal(out, x)


def test_no_source_is_kept_and_none_is_read_after_it_is_gone():
    source, out = rows(0), np.empty((4, 3), "float32")
    replayed = Replayer([noted(kernels.merge.copy, source, out)], source)
    given = rows(1)
    replayed.replay(given)
    alive = weakref.ref(given)
    del given
    gc.collect()
    assert alive() is None
    replayed.replay()
    np.testing.assert_array_equal(out, source)


def test_an_exchange_that_is_interrupted_is_made_anew(monkeypatch):
    """Two programs, with a call of Python's between them; the second is not told of the new source."""
    source, one, two, three = rows(0), *(np.empty((4, 3), "float32") for _ in range(3))
    calls = [
        noted(kernels.merge.copy, source, one),
        noted(np.negative, source, two),
        noted(kernels.merge.copy, source, three),
    ]
    replayed, x, before, read = Replayer(calls, source), rows(1), rows(2), replay._Program.read
    replayed.replay(before)
    programs = [part for part in replayed._parts if isinstance(part, replay._Program)]
    assert len(programs) == 2

    def interrupted(program, new):
        if program is programs[1]:
            raise KeyboardInterrupt
        read(program, new)

    monkeypatch.setattr(replay._Program, "read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replayed.replay(x)
    monkeypatch.undo()
    for after in (before, x, None):
        replayed.replay(after)
        for out in (one, -two, three):
            np.testing.assert_array_equal(out, source if after is None else after)


# -- arguments ------------------------------------------------------------------------------------------------------

NUMBERS = [0.5, -2, 2**40, True, np.float32(0.5), np.float64(0.1), np.int8(-3), np.uint8(200), np.int64(-(2**40))]
NUMBERS += [np.uint64(2**63), np.bool_(True), np.bool_(False)]


@jit
def scaled(x, number, y):
    for k in range(x.size):
        y[k] = x[k] * number


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: f"{type(n).__name__} {n}")
def test_numbers_of_every_kind_are_what_they_are(number, dtype):
    x, y = np.arange(5, dtype=dtype), np.empty(5, dtype)
    replayed = Replayer([noted(scaled, x, number, y)])
    expected = y.copy()
    np.testing.assert_allclose(expected, [k * float(number) for k in range(5)], rtol=1e-6)
    y[:] = np.nan
    replayed.replay()
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: f"{type(n).__name__} {n}")
def test_and_they_are_words_not_calls_of_pythons(number):
    replayed = Replayer([noted(scaled, np.arange(5.0), number, np.empty(5))])
    replayed.replay()
    assert [type(part) for part in replayed._parts] == [replay._Program]


@pytest.mark.parametrize("argument", [2j, (1.0, 2), None, np.float16(0.5)])
def test_what_is_no_number_makes_the_call_pythons_own(argument):
    @jit
    def count(y, anything):
        y[0] += 1

    y = np.zeros(1)
    if isinstance(argument, np.float16):  # which Numba cannot compile here
        count(y, np.float32(argument))
        replayed = Replayer([(count.py_func, (y, argument))])
    else:
        replayed = Replayer([noted(count, y, argument)])
    replayed.replay()
    replayed.replay()
    assert y[0] == 3
    assert [type(part) for part in replayed._parts] == [replay._Python]


def test_a_kernel_that_raises_says_so():
    @jit
    def refuse(x, y):
        y[1] = 1
        if x[0] > 0:
            raise ValueError("above zero")

    x, y, after = np.zeros(1), np.zeros(2), np.zeros((1, 1))
    replayed = Replayer([noted(refuse, x, y), noted(kernels.merge.copy, np.ones((1, 1)), after)])
    replayed.replay()
    after[:], x[:] = 0, 1
    with pytest.raises(ValueError, match="above zero"):
        replayed.replay()
    assert after[0, 0] == 0
    x[:] = 0
    replayed.replay()
    assert after[0, 0] == 1


# -- Numba's private parts ------------------------------------------------------------------------------------------

RUN = """
import builtins, json, os, sys, warnings
import numba, numpy  # once for all; tinynet is imported in each child

def hide(module, *names):  # from tinynet, not from Numba itself
    def guarded(name, variables=None, *arguments, real=builtins.__import__):
        asked = (arguments[1:2] or ((),))[0] or ()
        hidden = name == module and (not names or set(names) & set(asked))
        if hidden and variables and variables.get("__name__", "").startswith("tinynet"):
            raise ImportError(f"no {module} with {asked}")
        return real(name, variables, *arguments)
    builtins.__import__ = guarded

def ours(depth=2):  # whether the door asks
    return sys._getframe(depth).f_globals["__name__"] == "tinynet.machinery.native"

def outcome(change, dtypes):
    exec(change, globals())
    from tests.small_training import digest
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        hashes = [digest(0, dtype, networks=["narrow"]) for dtype in dtypes]
    from tinynet.machinery import replay
    return hashes, [[w.category.__name__, str(w.message)] for w in caught], len(replay._trust.tried)

for change, dtypes in json.load(sys.stdin):
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.write(writer, json.dumps(outcome(change, dtypes)).encode())
        os._exit(0)
    os.close(writer)
    print(os.fdopen(reader).read() or "null", flush=True)
    os.wait()
"""
CALL_CONV = "from numba.core.registry import cpu_target; convention = cpu_target.target_context.call_conv\n"
PRIVATE = {  # what becomes of a part -> how
    "numba.core.registry gone": "hide('numba.core.registry')",
    "cpu_target gone": "hide('numba.core.registry', 'cpu_target')",
    "the compiler's lock gone": "hide('numba.core.compiler_lock')",
    "llvmlite.ir gone": "hide('llvmlite', 'ir')",
    "is_jitted gone": "hide('numba.extending', 'is_jitted')",
    "overloads gone": "from numba.core.dispatcher import Dispatcher as D\n"
    "D.overloads = property(lambda self: 1 / 0 if ours() else vars(self)['overloads'],\n"
    "    lambda self, value: vars(self).update(overloads=value))",
    "function type gone": CALL_CONV + "type(convention).get_function_type = (\n"
    "    lambda self, *a, old=type(convention).get_function_type: 1 / 0 if ours() else old(self, *a))",
    "code generator gone": "from numba.core.cpu import CPUContext\n"
    "CPUContext.codegen = lambda self, old=CPUContext.codegen: 1 / 0 if ours() else old(self)",
    "arguments in another order": CALL_CONV + "old = convention.get_function_type\n"
    "from llvmlite import ir\n"
    "def other(restype, argtypes):\n"
    "    found = old(restype, argtypes)\n"
    "    if not ours(): return found\n"
    "    return ir.FunctionType(found.return_type, found.args[::-1])\n"
    "type(convention).get_function_type = staticmethod(other)",
    "an array's words by other names": "from tinynet.machinery import native; real = native.cpu_target\n"
    "class Model: _fields = ('meminfo', 'parent', 'length', 'itemsize', 'data', 'shape', 'strides')\n"
    "class Models: __getitem__ = lambda self, type_: Model()\n"
    "class Context:\n"
    "    data_model_manager = Models()\n"
    "    def __getattr__(self, name): return getattr(real.target_context, name)\n"
    "class Target: target_context = Context()\n"
    "native.cpu_target = Target",
    "an array's words in another order": "from tinynet.machinery import native; real = native.cpu_target\n"
    "class Model: _fields = ('data', 'nitems', 'itemsize', 'meminfo', 'parent', 'shape', 'strides')\n"
    "class Models:\n"
    "    def __getitem__(self, type_):\n"
    "        found = real.target_context.data_model_manager[type_]\n"
    "        return Model() if hasattr(found, '_fields') else found\n"
    "class Context:\n"
    "    data_model_manager = Models()\n"
    "    def __getattr__(self, name): return getattr(real.target_context, name)\n"
    "class Target: target_context = Context()\n"
    "native.cpu_target = Target",
    "other numbers": "from tinynet.machinery import native; native._bits = lambda number: 0",
}


def trained(*changes, dtypes=("float32",)):
    """Train a small network after each change, in a process of its own; return hashes, warnings, and kernels tried."""
    run = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps([(change, dtypes) for change in changes]),
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    return [json.loads(line) for line in run.stdout.splitlines()]


BY_PLAIN_CALLS = "from tinynet.machinery import replay; replay._trust.doubt['error'] = ValueError()"


@pytest.mark.slow
def test_steps_are_replayed_without_a_warning():
    (expected, _, none), (hashes, caught, tried) = trained(BY_PLAIN_CALLS, "", dtypes=("float32", "float64"))
    assert hashes == expected
    assert caught == []
    assert tried > 20 > none


@pytest.mark.slow
def test_without_any_one_of_numbas_private_parts_all_calls_are_plain_and_one_warning_says_so():
    (expected, *_), *outcomes = trained(BY_PLAIN_CALLS, *PRIVATE.values())
    assert len(outcomes) == len(PRIVATE) == 12
    for part, (hashes, caught, _) in zip(PRIVATE, outcomes, strict=True):
        assert hashes == expected, part
        ((category, message),) = caught
        assert category == "RuntimeWarning", part
        assert f"Numba {numba.__version__} is not one that tinynet can replay steps with" in message, part


@pytest.mark.slow
def test_without_the_parts_of_numbas_cache_kernels_are_compiled_in_each_process():
    changes = [
        "hide('numba.core.caching')",
        "import numba.core.caching as c; c.FunctionCache._load_overload = c.FunctionCache._save_overload = None",
    ]
    (expected, *_), *outcomes = trained(BY_PLAIN_CALLS, *changes)
    assert [found[:2] for found in outcomes] == [[expected, []]] * 2


def test_what_is_compared_is_of_one_moment_while_another_thread_writes(monkeypatch):
    kernel, x, y, copies = kernels.activations.sigmoid_forward, np.ones(3), np.zeros(3), replay._copies

    def copies_and_writes(arguments):
        found = copies(arguments)
        x[...] += 1
        return found

    kernel(x, y)
    monkeypatch.setattr(replay, "_copies", copies_and_writes)
    replay._try([(kernel, (x, y))])
