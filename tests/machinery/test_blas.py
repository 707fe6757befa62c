"""Matrix products are NumPy's to the last bit that rounding leaves, whichever library makes them."""

import ctypes
import dataclasses
import itertools
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from tinynet.machinery import blas
from tinynet.machinery.replay import Replayer

ROOT = Path(__file__).parents[2]
SIZES = [  # batch, inputs, units: 1 row, 1 column, nothing, small and large
    *[(1, 1, 1), (1, 7, 5), (7, 1, 5), (7, 5, 1), (1, 5, 1), (0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0)],
    *[(17, 33, 9), (60, 784, 100), (256, 1024, 20), (8, 784, 1024)],
]
needs_openblas = pytest.mark.skipif(
    blas.library() is None or blas.library().kernels == "unknown" or blas.suitable_kernels() is None,
    reason="NumPy came without OpenBLAS, or the processor is of another kind",
)


def whole_numbers(rng, shape, dtype, transposed):
    """Return whole numbers so small that every product and sum is exact in either dtype."""
    x = rng.integers(-8, 9, shape[::-1] if transposed else shape).astype(dtype)
    return x.T if transposed else x


needs_threads = pytest.mark.skipif(
    blas.library() is None or blas.library().threads == 1, reason="no BLAS whose number of threads can be set"
)


@pytest.fixture
def product():
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=shape).astype(np.float32) for shape in ((2, 3), (3, 4)))
    return a, b, np.empty((2, 4), np.float32)


@pytest.fixture(params=["called", "through NumPy"])
def way(request, monkeypatch):
    if request.param == "through NumPy":
        monkeypatch.setattr(blas, "library", lambda: None)
    elif blas.library() is None:
        pytest.skip("no BLAS to call")


# -- products ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("orders", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize(("batch", "inputs", "units"), SIZES)
def test_a_product_of_whole_numbers_is_exact(batch, inputs, units, orders, dtype):
    rng = np.random.default_rng(batch + inputs + units)
    a, b = (
        whole_numbers(rng, shape, dtype, transposed)
        for shape, transposed in zip(((batch, inputs), (inputs, units)), orders, strict=True)
    )
    out = np.full((batch, units), np.nan, dtype)  # what was there does not count, not even NaN
    blas.matmul(a, b, out)
    np.testing.assert_array_equal(out, a.astype(np.int64) @ b.astype(np.int64))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("batch", "inputs", "units"), [s for s in SIZES if 0 not in s])
def test_a_product_is_within_the_rounding_errors_bound(batch, inputs, units):
    rng = np.random.default_rng(1)
    a, b = (rng.normal(size=shape).astype(np.float32) for shape in ((batch, inputs), (inputs, units)))
    out = np.empty((batch, units), np.float32)
    blas.matmul(a, b, out)
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    n_eps = inputs * np.finfo(np.float32).eps / 2
    bound = n_eps / (1 - n_eps) * (abs(wide_a) @ abs(wide_b))  # Higham, Accuracy and Stability (2002), eq. 3.13
    assert np.all(abs(out - wide_a @ wide_b) <= bound + np.finfo(np.float64).eps)


def test_nan_and_infinity_come_through(product):
    a, b, out = product
    a[0, 0], a[1, 1] = np.nan, np.inf
    blas.matmul(a, b, out)
    assert np.isnan(out[0]).all()
    np.testing.assert_array_equal(out[1], np.inf * np.sign(b[1]))


# -- threads ----------------------------------------------------------------------------------------------------


class FakeThreads:
    """A library that starts with four threads and notes how many there are at each product."""

    def __init__(self, now=4, fails=None):
        self.now, self.seen, self.fails = now, [], fails

    def library(self):
        return blas.Library(
            "fake", {"float32": self.multiply}, ctypes.c_int, lambda: self.now, self.set, threads=4, kernels="SkylakeX"
        )

    def set(self, number):
        self.now = number

    def multiply(self, *arguments):
        self.seen.append(self.now)
        if self.fails:
            raise self.fails


def multiply_sizes(batch, inputs, units):
    blas.matmul(*(np.ones(s, np.float32) for s in ((batch, inputs), (inputs, units), (batch, units))))


@pytest.mark.parametrize(("sizes", "products"), [((1, 1, 1), 1), ((60, 784, 100), 2), ((256, 1024, 1024), 3)])
@pytest.mark.parametrize(
    ("now", "during"),
    [
        (4, 1),
        (2, 2),  # someone chose two
        (1, 1),
    ],
)
def test_a_product_takes_one_thread_unless_someone_chose(monkeypatch, sizes, products, now, during):
    fake = FakeThreads(now)
    monkeypatch.setattr(blas, "library", fake.library)
    multiply_sizes(*sizes)
    assert (fake.seen, fake.now) == ([during] * products, now)
    assert not blas.STEERING.locked()


def test_the_threads_come_back_after_an_error(monkeypatch):
    fake = FakeThreads(fails=RecursionError)
    monkeypatch.setattr(blas, "library", fake.library)
    with pytest.raises(RecursionError):
        multiply_sizes(60, 100, 100)
    assert (fake.seen, fake.now, blas.STEERING.locked()) == ([1], 4, False)


@needs_threads
@pytest.mark.parametrize("replayed", [False, True])
def test_another_threads_product_is_not_taken_for_someones_choice(replayed):
    """While one thread multiplies, BLAS has one thread; the other asks just then, and has to wait."""
    library, arrays = blas.library(), [np.ones((2, 2), np.float32) for _ in range(3)]
    multiply = partial(blas.matmul, *arrays)
    if replayed:
        multiply = Replayer([(blas.matmul, tuple(arrays))]).replay
        multiply()
    with ThreadPoolExecutor(1) as pool:
        with blas.STEERING:
            library.set_threads(1)
            waiting = pool.submit(multiply)
            with pytest.raises(TimeoutError):
                waiting.result(0.1)
            library.set_threads(library.threads)
        waiting.result(10)
    assert library.get_threads() == library.threads


@needs_threads
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer signals here")
@pytest.mark.parametrize("replayed", [False, True])
def test_a_signals_handler_may_multiply_and_wait_for_a_thread_that_does(replayed):
    """Wherever it comes between two products: no deadlock, and the thread count is what it was."""
    library, shape = blas.library(), (60, 60)
    multiply, (a, b, out) = blas.matmul, (np.ones(shape, np.float32) for _ in range(3))
    run = Replayer([(blas.matmul, (a, b, out))]).replay if replayed else partial(multiply, a, b, out)
    in_handler, handled = np.empty_like(out), []

    def handler(*_):
        multiply(a, b, in_handler)
        handled.append(pool.submit(multiply, a, b, np.empty_like(out)).result(10))
        if len(handled) < 100:
            signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-5, 1e-3))

    rng, end = np.random.default_rng(0), time.monotonic() + 30
    with ThreadPoolExecutor(1) as pool:
        before = signal.signal(signal.SIGALRM, handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 1e-3)
            while len(handled) < 100:
                assert time.monotonic() < end
                run()
        finally:
            signal.signal(signal.SIGALRM, signal.SIG_IGN)  # first: the handler would set the timer once more
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    assert (out == 60).all()
    assert (in_handler == 60).all()
    assert (library.get_threads(), blas.STEERING.locked()) == (library.threads, False)


@needs_threads
@pytest.mark.parametrize("replayed", [False, True])
def test_an_interrupt_at_any_bytecode_leaves_threads_and_lock_as_they_were(replayed):
    """A tracer raises KeyboardInterrupt at each bytecode in turn, until a product comes to its end."""
    library, arrays = blas.library(), [np.ones((3, 3), np.float32) for _ in range(3)]
    run = Replayer([(blas.matmul, tuple(arrays))]).replay if replayed else partial(blas.matmul, *arrays)
    run()
    tracer, places, ended = sys.gettrace(), itertools.count(1), False
    while not ended:
        left = itertools.count(-next(places))

        def interrupt(frame, event, argument, left=left):
            frame.f_trace_opcodes = True
            if event == "opcode" and next(left) == -1:
                raise KeyboardInterrupt
            return interrupt

        try:
            sys.settrace(interrupt)
            run()
            ended = True
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(tracer)
        assert (library.get_threads(), blas.STEERING.locked()) == (library.threads, False)
    assert next(places) > 50
    assert (arrays[2] == 3).all()


@needs_openblas
@pytest.mark.parametrize("number", [None, 1, 2, 3])
def test_threadpoolctl_wins_and_finds_its_number_again(monkeypatch, product, number):
    found = blas.library()
    seen = []

    def spy(*arguments):
        seen.append(found.get_threads())
        found.gemm["float32"](*arguments)

    spied = dataclasses.replace(found, gemm={"float32": spy})
    monkeypatch.setattr(blas, "library", lambda: spied)
    before = found.get_threads()
    with threadpool_limits(number):
        blas.matmul(*product)
        during = found.get_threads()
    chosen = number not in (None, found.threads) or found.threads == 1
    assert (seen, during) == ([during if chosen else 1], number or before)
    assert found.get_threads() == before


# -- another process --------------------------------------------------------------------------------------------

PRINT = (
    "import json, os, sys\n"
    "import numpy as np\n"
    "np.ones((2, 2)) @ np.ones((2, 2))\n"  # NumPy is there first, and used
    "from threadpoolctl import threadpool_info, threadpool_limits\n"
    "from tinynet.machinery import blas\n"
    "{before}\n"
    "found = blas.library()\n"
    "multiply = np.ones((3, 4), np.float32), np.ones((4, 5), np.float32), np.empty((3, 5), np.float32)\n"
    "blas.matmul(*multiply)\n"
    "assert (multiply[2] == 4).all()\n"
    "threads = found.get_threads()\n"
    "with threadpool_limits(3): limited = found.get_threads(), found.chosen_by_itself()\n"
    "import ctypes; getenv = ctypes.CDLL(None).getenv; getenv.restype = ctypes.c_char_p\n"
    "in_c = getenv(b'OPENBLAS_CORETYPE')\n"
    "print(json.dumps(dict(path=found.path, kernels=found.kernels, chosen_by_itself=found.chosen_by_itself(),\n"
    "    threads=threads, limited=limited, in_python=os.environ.get('OPENBLAS_CORETYPE'),\n"
    "    in_c=in_c and in_c.decode(), imported='scipy_openblas32' in sys.modules,\n"
    "    kernel_sets={{p['filepath']: p['architecture'] for p in threadpool_info()}})))"
)


def in_a_new_process(before="", folders=(), **variables):
    unset = {*blas.THREAD_VARIABLES, "OPENBLAS_CORETYPE"}
    environment = {name: value for name, value in os.environ.items() if name not in unset} | variables
    environment["PYTHONPATH"] = os.pathsep.join(map(str, [*folders, ROOT]))
    done = subprocess.run(
        [sys.executable, "-c", PRINT.format(before=before)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_openblas
@pytest.mark.parametrize("variable", ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"])
def test_a_number_of_threads_in_the_environment_wins(variable):
    printed = in_a_new_process(**{variable: "2"})
    assert not printed["chosen_by_itself"]
    assert printed["threads"] == min(2, os.cpu_count())


@pytest.fixture(scope="module")
def extra(tmp_path_factory):
    """A folder with a package named as the extra's, whose library is a copy of NumPy's: a second in the process."""
    folder = tmp_path_factory.mktemp("extra")
    own = [Path(p["filepath"]) for p in threadpool_info() if "libscipy_openblas64_" in p["filepath"]]
    if not own or platform.system() != "Linux":
        pytest.skip("NumPy has no OpenBLAS of its own here that could be copied")
    (folder / blas.EXTRA / "lib").mkdir(parents=True)
    (folder / blas.EXTRA / "__init__.py").write_text("raise ImportError('it would load the library')")
    shutil.copy(own[0], folder / blas.EXTRA / "lib" / "libscipy_openblas.so")
    return folder


# here as if the kernels for AVX-512 were Nehalem's, which every processor has
OTHER_PROCESSOR = "blas.AVX512_KERNELS = ('Nehalem',); blas.suitable_kernels = lambda: 'Nehalem'"


@needs_openblas
def test_the_extra_takes_the_kernels_for_the_processor_and_changes_nothing_else(extra):
    plain = in_a_new_process("blas.EXTRA = 'not_installed'")
    printed = in_a_new_process(OTHER_PROCESSOR, [extra])
    assert Path(printed["path"]).is_relative_to(extra)
    assert printed["kernels"] == "Nehalem"
    assert printed["in_python"] is printed["in_c"] is None
    assert not printed["imported"]
    assert printed["kernel_sets"] == plain["kernel_sets"] | {printed["path"]: "Nehalem"}
    assert printed["chosen_by_itself"] == (printed["threads"] > 1)
    assert printed["limited"] == [3, False]  # threadpoolctl sees it


@needs_openblas
def test_the_extra_keeps_to_the_users_kernels_and_threads(extra):
    printed = in_a_new_process(OTHER_PROCESSOR, [extra], OPENBLAS_CORETYPE="Sandybridge", OPENBLAS_NUM_THREADS="1")
    assert Path(printed["path"]).is_relative_to(extra)
    assert printed["kernels"] == "Sandybridge"
    assert printed["in_python"] == printed["in_c"] == "Sandybridge"
    assert (printed["threads"], printed["chosen_by_itself"]) == (1, False)


@needs_openblas
def test_a_limit_set_before_the_extra_is_loaded_holds_for_it(extra):
    printed = in_a_new_process("threadpool_limits(1)", [extra])
    assert Path(printed["path"]).is_relative_to(extra)
    assert (printed["threads"], printed["chosen_by_itself"]) == (1, False)


@needs_openblas
def test_an_extra_that_cannot_be_loaded_leaves_numpys(tmp_path):
    (tmp_path / blas.EXTRA / "lib").mkdir(parents=True)
    (tmp_path / blas.EXTRA / "__init__.py").touch()
    (tmp_path / blas.EXTRA / "lib" / "libscipy_openblas.so").write_text("damaged")
    assert not Path(in_a_new_process(folders=[tmp_path])["path"]).is_relative_to(tmp_path)


# -- which library ----------------------------------------------------------------------------------------------


class FakeFunction:
    """A gemm that hands its arguments to NumPy's, changed or not."""

    def __init__(self, dtype, change=lambda *arguments: arguments):
        self.real, self.change = blas.library().gemm[dtype], change

    def __call__(self, *arguments):
        self.real(*self.change(*arguments))


def fake_library(monkeypatch, prefix, suffix, **change):
    """Have a library loaded that has the functions under these names and no others."""
    letters = {"s": "float32", "d": "float64"}
    functions = {f"{prefix}cblas_{k}gemm{suffix}": FakeFunction(dtype, **change) for k, dtype in letters.items()}
    functions[f"{prefix}openblas_get_num_threads{suffix}"] = lambda: 5
    functions[f"{prefix}openblas_set_num_threads{suffix}"] = lambda number: None
    monkeypatch.setattr(blas.ctypes, "CDLL", lambda path: SimpleNamespace(**functions))
    for name in blas.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_the_openblas_of_numpys_wheels_is_called():
    if not any("libscipy_openblas" in pool["filepath"] for pool in threadpool_info()):
        pytest.skip("NumPy is not from a wheel with OpenBLAS")
    found = blas.library()
    assert found is not None, "it is there, but was refused: its products are wrong"
    assert "libscipy_openblas" in found.path


@needs_openblas
@pytest.mark.parametrize(
    ("prefix", "suffix", "bits"), [("scipy_", "64_", 64), ("", "64_", 64), ("scipy_", "", 32), ("", "", 32)]
)
def test_the_names_tell_how_wide_sizes_are(monkeypatch, prefix, suffix, bits):
    fake_library(monkeypatch, prefix, suffix)
    found = blas._library("a file")
    assert (8 * ctypes.sizeof(found.integer), found.threads, found.kernels) == (bits, 5, "unknown")
    assert found.gemm["float32"].argtypes[3] is found.integer
    assert found.gemm["float64"].argtypes[6] is ctypes.c_double


@needs_openblas
def test_a_library_with_other_names_is_not_taken(monkeypatch):
    fake_library(monkeypatch, "other_", "")
    assert blas._library("a file") is None


@needs_openblas
@pytest.mark.parametrize(("place", "wrong"), [(6, 2.0), (11, 1.0), (5, 1), (3, 1)], ids=["alpha", "beta", "k", "m"])
def test_a_library_that_multiplies_wrongly_is_not_taken(monkeypatch, place, wrong):
    fake_library(monkeypatch, "", "", change=lambda *a: (*a[:place], wrong, *a[place + 1 :]))
    assert blas._library("a file") is None


@needs_openblas
def test_a_library_that_is_wrong_in_one_order_or_dtype_is_not_taken():
    found = blas.library()

    def ignores_the_order(*arguments):
        if arguments[1:3] != (blas.TRANSPOSED, blas.TRANSPOSED):
            found.gemm["float64"](*arguments)

    assert blas._works(found)
    assert not blas._works(dataclasses.replace(found, gemm=found.gemm | {"float64": ignores_the_order}))


# -- which kernels ----------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="only Linux tells")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="only for x86")
def test_the_kernels_that_suit_this_processor_are_those_that_it_can_run():
    flags = set(Path("/proc/cpuinfo").read_text().split("flags", 1)[1].split("\n", 1)[0].split())
    avx512 = {f"avx512{kind}" for kind in ("f", "cd", "bw", "dq", "vl")} <= flags
    expected = "SkylakeX" if avx512 else "Haswell" if {"avx2", "fma"} <= flags else None
    assert blas.suitable_kernels() == expected


def processor(monkeypatch, *simd, baseline=("SSE", "SSE2")):
    monkeypatch.setattr(
        np, "show_config", lambda mode: {"SIMD Extensions": {"baseline": list(baseline), "found": list(simd)}}
    )


@pytest.mark.parametrize(
    ("simd", "kernels"),
    [
        (["X86_V3", "X86_V4"], "SkylakeX"),
        (["AVX2", "FMA3", "AVX512F", "AVX512CD", "AVX512_SKX"], "SkylakeX"),
        (["AVX2", "FMA3", "AVX512F", "AVX512CD", "AVX512_KNL"], "Haswell"),  # Xeon Phi: no BW, DQ and VL
        (["X86_V3"], "Haswell"),
        (["AVX2", "FMA3"], "Haswell"),
        (["AVX2"], None),
        (["ASIMDHP", "SVE"], None),
        ([], None),
    ],
)
def test_avx512_kernels_are_for_processors_with_all_that_they_use(monkeypatch, simd, kernels):
    processor(monkeypatch, *simd)
    assert blas.suitable_kernels() == kernels
    processor(monkeypatch, baseline=simd)
    assert blas.suitable_kernels() == kernels


@pytest.mark.parametrize(
    ("simd", "kernels", "set_by_user", "better"),
    [
        ("X86_V4", "Haswell", None, "SkylakeX"),
        ("X86_V4", "Zen", "", "SkylakeX"),
        ("X86_V4", "Prescott", None, "SkylakeX"),
        ("X86_V4", "Haswell", "Haswell", None),  # the user chose
        ("X86_V4", "Haswell", "SkylakeX", None),  # the second time
        ("X86_V4", "SkylakeX", None, None),
        ("X86_V4", "SapphireRapids", None, None),
        ("X86_V4", "unknown", None, None),
        ("X86_V4", None, None, None),
        ("X86_V3", "Haswell", None, None),
        ("X86_V3", "Prescott", None, None),
        ("SVE", "neoversev1", None, None),
    ],
)
def test_another_start_helps_only_a_processor_with_avx512_under_older_kernels(
    monkeypatch, simd, kernels, set_by_user, better
):
    processor(monkeypatch, simd)
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    if set_by_user is not None:
        monkeypatch.setenv("OPENBLAS_CORETYPE", set_by_user)
    found = kernels and blas.Library("a file", {}, ctypes.c_int64, kernels=kernels)
    monkeypatch.setattr(blas, "library", lambda: found)
    assert blas.better_coretype() == better
