"""Wherever training runs, and whatever state the kernel cache is in, it gives the bits it gives alone."""

import contextlib
import itertools
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

import tinynet
from tests.jupyter import kernel, printed
from tests.small_training import digest

pytestmark = [
    pytest.mark.slow,
    # what a user of fork gets from Python 3.12 on, once a BLAS has threads
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
]
ROOT = Path(__file__).parents[1]
TIMEOUT = 120  # seconds: no test takes a tenth of it
METHODS = multiprocessing.get_all_start_methods()


@pytest.fixture(scope="module")
def alone():
    """The hashes of two trainings, one after the other, in this process: later forks inherit its threads."""
    return [digest(seed) for seed in (0, 1)]


def environment(**variables):
    """Ours, with the package of this checkout and no kernel cache of the user's."""
    return {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | {"PYTHONPATH": str(ROOT)} | variables


def output(command, **settings):
    """What the command prints; it must end in time, without error or abort, and say nothing else."""
    run = subprocess.run(
        command, **{"cwd": ROOT, "env": environment()} | settings, capture_output=True, text=True, timeout=TIMEOUT
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    return run.stdout.split()


# -- threads --------------------------------------------------------------------------------------------------


def test_two_networks_trained_at_once_in_two_threads_are_as_trained_alone():
    """A wide one, whose products BLAS shares among threads, and a narrow one, whose products it should not."""
    rounds = {"wide": 5, "narrow": 10}
    expected = {name: [digest(networks=[name])] * count for name, count in rounds.items()}
    found, barrier = {}, threading.Barrier(2, timeout=TIMEOUT)

    def train(name):
        barrier.wait()
        found[name] = [digest(networks=[name]) for _ in range(rounds[name])]

    threads = [threading.Thread(target=train, args=(name,), daemon=True) for name in rounds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert found == expected


def test_a_pool_of_threads_may_be_the_first_to_use_the_kernels(alone):
    code = (
        "import sys; sys.setswitchinterval(1e-5)\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from tests.small_training import digest\n"
        "with ThreadPoolExecutor(4) as pool: print(*pool.map(digest, [0, 1, 0, 1]))"
    )
    assert output([sys.executable, "-c", code]) == alone * 2


# -- processes ------------------------------------------------------------------------------------------------


def send_digest(sender, seed):
    sender.send(digest(seed))


@pytest.mark.parametrize("method", METHODS)
def test_a_process_started_by_a_parent_that_has_trained(alone, method):
    context = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=send_digest, args=(sender, 1), daemon=True)
    child.start()
    sender.close()
    try:
        assert receiver.poll(TIMEOUT), "it hangs"
        assert receiver.recv() == alone[1]  # EOFError: it died
        child.join(TIMEOUT)
        assert child.exitcode == 0
    finally:
        child.kill()


def test_a_pool_of_processes(alone):
    pool = ProcessPoolExecutor(2)
    try:
        assert list(pool.map(digest, [0, 1], timeout=TIMEOUT)) == alone
    finally:
        for process in list(pool._processes.values()):
            process.kill()
        pool.shutdown()


@pytest.mark.skipif("fork" not in METHODS, reason="this system does not fork")
def test_a_forked_child_and_its_parent_train_at_once(alone):
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=send_digest, args=(sender, 1), daemon=True)
    child.start()
    sender.close()
    try:
        assert digest(0) == alone[0]
        assert receiver.poll(TIMEOUT), "it hangs"
        assert receiver.recv() == alone[1]
    finally:
        child.kill()


# -- a notebook -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """A function that runs a cell in a new Jupyter kernel and returns what it shows."""
    with kernel(tmp_path_factory.mktemp("jupyter"), environment()) as run:
        yield run


def test_importing_in_a_notebook_shows_nothing(notebook):
    assert notebook("import tinynet") == []


def test_training_in_a_notebook(alone, notebook):
    notebook("from tests.small_training import digest")
    shown = notebook("print(digest(0)); print(digest(1))")
    assert {content.get("name") for _, content in shown} == {"stdout"}
    assert printed(shown).split() == alone


# -- the kernel cache -----------------------------------------------------------------------------------------


def plain(dtype="float32"):
    """Train without batch normalization: half as many kernels to compile."""
    return [sys.executable, "-m", "tests.small_training", json.dumps({"norm": None, "dtype": dtype})]


@pytest.fixture(scope="module")
def plain_alone():
    return [digest(norm=None)]


@pytest.fixture(scope="module")
def full_cache(tmp_path_factory):
    """A folder in which three processes at once have cached what they compiled, and what they printed."""
    cache = tmp_path_factory.mktemp("cache")
    env = environment(NUMBA_CACHE_DIR=str(cache))
    commands = [plain(), plain(), plain("float64")]
    with ThreadPoolExecutor(len(commands)) as pool:
        found = list(pool.map(lambda command: output(command, env=env), commands))
        list(pool.map(lambda command: output(command, env=env), commands[1:]))  # what one took from another
    return cache, [hash_ for (hash_,) in found]


def test_processes_that_compile_at_once_into_one_cache_get_the_right_kernels(plain_alone, full_cache):
    _, found = full_cache
    assert found == plain_alone * 2 + [digest(norm=None, dtype="float64")]


def halve(path):
    os.truncate(path, path.stat().st_size // 2)


def empty(path):
    os.truncate(path, 0)


def flip_bits(path):
    content, chance = bytearray(path.read_bytes()), random.Random(path.name)
    for _ in range(20):
        content[chance.randrange(len(content))] ^= 255
    path.write_bytes(content)


@pytest.mark.parametrize("damages", [[], [halve, empty, flip_bits]])
def test_what_is_damaged_in_the_cache_is_compiled_anew_and_what_is_sound_is_used(
    plain_alone, full_cache, tmp_path, damages
):
    """Of half of the kernels the index is damaged, of the others the code."""
    cache = shutil.copytree(full_cache[0], tmp_path / "cache")
    indices = sorted(cache.rglob("*.nbi"))
    paths = indices[::2] + [path for index in indices[1::2] for path in sorted(cache.rglob(f"{index.stem}*.nbc"))]
    assert len({path.suffix for path in paths}) == 2
    for path, damage in zip(paths, itertools.cycle(damages), strict=False):
        damage(path)
    env = environment(NUMBA_CACHE_DIR=str(cache))
    for sound in (False, True) if damages else (True,):
        before = {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")}
        assert output(plain(), env=env) == plain_alone
        assert ({path: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")} == before) is sound


def test_a_cache_in_which_two_processes_took_one_file_name_is_not_believed(plain_alone, full_cache, tmp_path):
    """Numba numbers the files of a kernel: two processes that compile it for two dtypes at once may both take 1."""
    cache = shutil.copytree(full_cache[0], tmp_path / "cache")
    both = [(path, path.with_name(path.name.replace(".1.nbc", ".2.nbc"))) for path in cache.rglob("*.1.nbc")]
    both = [(one, other) for one, other in both if other.exists()]
    assert both
    for one, other in both:
        first, second = one.read_bytes(), other.read_bytes()
        one.write_bytes(second)
        other.write_bytes(first)
    assert output(plain(), env=environment(NUMBA_CACHE_DIR=str(cache))) == plain_alone


@contextlib.contextmanager
def read_only(folder):
    """Take the right to write from a folder and all below it."""
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        yield
    finally:
        for path in paths:
            path.chmod(0o755 if path.is_dir() else 0o644)


def without_privilege(command):
    """For root, whom permissions do not bind, give up that privilege first."""
    if os.geteuid() != 0:
        return command
    if shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and there is no setpriv here")
    return ["setpriv", "--bounding-set=-dac_override", *command]


def test_neither_package_nor_home_nor_cache_can_be_written_to(plain_alone, tmp_path):
    shutil.copytree(Path(tinynet.__file__).parent, tmp_path / "tinynet", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tests").mkdir()
    for name in ("__init__.py", "small_training.py"):
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests")
    (tmp_path / "home").mkdir()
    (tmp_path / "file").touch()
    places = {"HOME": "home", "XDG_CACHE_HOME": "file", "NUMBA_CACHE_DIR": "file", "PYTHONPATH": ""}
    env = environment(**{name: str(tmp_path / place) for name, place in places.items()})
    where = [sys.executable, "-c", "import tinynet; print(tinynet.__file__)"]
    write = [sys.executable, "-c", "open('tinynet/new', 'w')"]
    with read_only(tmp_path):
        assert output(without_privilege(where), cwd=tmp_path, env=env) == [str(tmp_path / "tinynet" / "__init__.py")]
        with pytest.raises(AssertionError, match="PermissionError"):
            output(without_privilege(write), cwd=tmp_path, env=env)
        assert output(without_privilege(plain()), cwd=tmp_path, env=env) == plain_alone
