import gzip
import hashlib
import re
import shutil
import sys
import time

import numpy as np
import pytest

import tinynet as tn
from tinynet.datasets.mnist import FOLDER, SHA256

# The number of images of each digit, as published with the data set.
TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.fixture(scope="module")
def both():
    return tn.datasets.mnist()


def test_there_are_60000_and_10000_images_of_784_pixels(both):
    for data, examples in zip(both, (60_000, 10_000), strict=True):
        assert data.x.shape == (examples, 784)
        assert data.x.dtype == np.float32
        assert data.y.shape == (examples,)
        assert data.y.dtype == np.int64


def test_the_digits_are_as_many_as_published(both):
    train, test = both
    assert np.bincount(train.y).tolist() == TRAIN_COUNTS
    assert np.bincount(test.y).tolist() == TEST_COUNTS


def test_the_first_digits_are_the_well_known_ones(both):
    train, test = both
    assert train.y[:5].tolist() == [5, 0, 4, 1, 9]
    assert test.y[:5].tolist() == [7, 2, 1, 0, 4]


def test_pixels_fill_0_to_1_and_have_the_known_mean_and_deviation(both):
    train, test = both
    for data in both:
        assert data.x.min() == 0
        assert data.x.max() == 1
    assert train.x.mean(dtype="float64") == pytest.approx(0.1307, abs=5e-5)  # known from every MNIST tutorial
    assert train.x.std(dtype="float64") == pytest.approx(0.3081, abs=5e-5)
    # drawn upright: the ink of a zero leaves its middle free, that of a one does not
    zero, one = (test.x[test.y == digit].mean(axis=0).reshape(28, 28) for digit in (0, 1))
    assert zero[14, 14] < 0.1 < 0.8 < one[14, 14]


def test_the_files_are_the_originals(both):
    readme = (FOLDER / "README.md").read_text()
    published = set(re.findall(r"`([0-9a-f]{32})`", readme))
    sha256 = dict(reversed(line.split()) for line in (FOLDER / "SHA256SUMS").read_text().splitlines())
    found = set()
    for name in SHA256:
        content = gzip.decompress((FOLDER / name).read_bytes())
        found.add(hashlib.md5(content, usedforsecurity=False).hexdigest())
        assert hashlib.sha256(content).hexdigest() == sha256[name.removesuffix(".gz")]
    assert found == published
    assert len(found) == 4


def test_it_loads_in_well_under_half_a_second():
    best = min(timed(tn.datasets.mnist) for _ in range(5))
    assert best < 0.5


def timed(load):
    start = time.process_time()  # of this process alone, whatever else the machine does
    load()
    return time.process_time() - start


@pytest.mark.parametrize("name", SHA256)
def test_a_file_that_was_changed_is_refused_by_name(tmp_path, monkeypatch, name):
    for file in SHA256:
        shutil.copy(FOLDER / file, tmp_path / file)
    content = bytearray((tmp_path / name).read_bytes())
    content[4] ^= 1  # gzip's time stamp: it would unpack to the same
    (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(sys.modules["tinynet.datasets.mnist"], "FOLDER", tmp_path)  # its name is the function's too
    with pytest.raises(tn.FileFormatError, match=f"{name}: not the file tinynet ships"):
        tn.datasets.mnist()


def test_the_loader_of_folders_reads_the_same(both):
    for data, other in zip(both, tn.datasets.idx(FOLDER), strict=True):
        np.testing.assert_array_equal(data.x, other.x)
        np.testing.assert_array_equal(data.y, other.y)
