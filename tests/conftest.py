"""A small data set in MNIST's own format, and one test's BLAS threads kept from the next."""

import gzip
import os
import signal
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tinynet.machinery import blas

os.environ["SCIPY_ARRAY_API"] = "1"  # before SciPy is imported: else scikit-learn skips its array API checks


@pytest.fixture(autouse=True)
def blas_threads_as_they_were() -> Iterator[None]:
    """A run of a sweep in this process limits BLAS to one thread for good, and the last digits depend on it."""
    library = blas.library()
    before = library.get_threads() if library is not None and library.threads > 1 else None
    yield
    if library is not None and before is not None and library.get_threads() != before:
        library.set_threads(before)


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_interrupts() -> None:
    """Also where the tests were started in the background, with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def idx_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 training and 100 test images of 6 x 6 pixels in three classes that are easy to tell apart."""
    folder = tmp_path_factory.mktemp("idx")
    rng = np.random.default_rng(0)
    prototypes = rng.integers(0, 200, (3, 6, 6))
    for part, count in (("train", 300), ("t10k", 100)):
        labels = rng.integers(0, 3, count).astype(np.uint8)
        images = (prototypes[labels] + rng.integers(0, 55, (count, 6, 6))).astype(np.uint8)
        header = struct.pack(">BBBBIII", 0, 0, 8, 3, count, 6, 6)
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + images.tobytes()))
        header = struct.pack(">BBBBI", 0, 0, 8, 1, count)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(header + labels.tobytes())
    return folder
