import contextlib
import gzip
import itertools
import math
import os
import re
import shutil
import struct
import subprocess
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinynet as tn
from tinynet.datasets.idx import load_pair, read_idx

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
VALUES = np.array([[0, 1, 2], [3, 100, 127]])


def idx_bytes(array, code=None):
    """The format as its author wrote it down: magic number, sizes, values, all most significant byte first."""
    array = np.asarray(array)
    magic = bytes([0, 0, CODES[array.dtype.str[1:]] if code is None else code, array.ndim])
    return magic + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(array.dtype.newbyteorder(">")).tobytes()


def header(*shape, code=0x08):
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


@pytest.fixture
def written(tmp_path):
    def write(content, name="file-idx"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


IMAGES = np.arange(4 * 2 * 3, dtype="u1").reshape(4, 2, 3) * 10
LABELS = np.array([3, 0, 2, 1], "u1")
NAMES = {"train-images-idx3-ubyte": IMAGES, "train-labels-idx1-ubyte": LABELS,
         "t10k-images-idx3-ubyte": IMAGES[:2], "t10k-labels-idx1-ubyte": LABELS[:2]}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    for name, array in NAMES.items():
        (tmp_path / name).write_bytes(idx_bytes(array))
    return tmp_path


# -- one file -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("dtype", CODES)
def test_every_type_of_value_is_read_plain_and_from_gzip(written, dtype, pack):
    array = VALUES.astype(dtype) - (0 if dtype == "u1" else 50)
    read = read_idx(written(pack(idx_bytes(array))))
    assert read.dtype.str[1:] == dtype
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("shape", [(24,), (4, 6), (2, 3, 4), (1, 2, 3, 4), (1, 24, 1)])
def test_any_number_of_dimensions_is_read(written, shape):
    array = np.arange(24, dtype="u1").reshape(shape)
    np.testing.assert_array_equal(read_idx(written(idx_bytes(array))), array)


def test_gzip_is_known_by_its_content_not_its_name(written):
    np.testing.assert_array_equal(read_idx(written(gzip.compress(idx_bytes(LABELS)), "no-ending")), LABELS)
    np.testing.assert_array_equal(read_idx(written(idx_bytes(LABELS), "plain-after-all.gz")), LABELS)


def test_a_file_cut_short_anywhere_is_refused_by_name(written):
    content = idx_bytes(IMAGES)
    for length in range(len(content)):
        with pytest.raises(tn.FileFormatError, match="cut-short: "):
            read_idx(written(content[:length], "cut-short"))


def test_a_gzip_file_cut_short_anywhere_is_refused_by_name(written):
    content = gzip.compress(idx_bytes(IMAGES))
    for length in range(len(content)):
        with pytest.raises(tn.FileFormatError, match="cut-short: "):
            read_idx(written(content[:length], "cut-short"))


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_bytes_to_spare_are_refused(written, pack):
    with pytest.raises(
        tn.FileFormatError, match=r"file-idx: .*(25 bytes follow its header, which says 24 bytes|more than)"
    ):
        read_idx(written(pack(idx_bytes(IMAGES) + b"\0")))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"PK\3\4 a zip file",
        b"\x93NUMPY\1\0",
        b"\0\1\x08\1\0\0\0\1x",
        b"\0\0\x07\1\0\0\0\1x",
        b"\0\0\x08\0",
    ],
)
def test_what_is_no_idx_file_is_refused_with_its_first_bytes(written, content):
    with pytest.raises(
        tn.FileFormatError, match=f"not an IDX file .it starts with {content[:4].hex(' ') or 'nothing'}"
    ):
        read_idx(written(content))
    with pytest.raises(tn.FileFormatError, match="not an IDX file"):
        read_idx(written(gzip.compress(content)))


def test_a_damaged_gzip_file_is_refused(written):
    content = bytearray(gzip.compress(idx_bytes(np.arange(200, dtype="u1"))))
    content[-6] ^= 1  # its checksum
    with pytest.raises(tn.FileFormatError, match="damaged gzip file"):
        read_idx(written(bytes(content)))


HUGE = [
    (2**32 - 1,),
    (2**31, 28, 28),
    (2**32 - 1, 2**32 - 1, 2**32 - 1),
    (60000, 2**20),
    (0, 2**32 - 1, 2**32 - 1, 2**32 - 1),
]


@pytest.mark.parametrize("code", [0x08, 0x0E])
@pytest.mark.parametrize("shape", HUGE)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_header_that_announces_a_huge_size_is_refused_at_once_and_without_memory(written, shape, pack, code):
    path = written(pack(header(*shape, code=code) + bytes(100)))
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(tn.FileFormatError, match="file-idx: "):
        read_idx(path)
    assert time.perf_counter() - start < 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_an_empty_array_of_impossible_size_is_refused(written):
    with pytest.raises(tn.FileFormatError, match="impossible shape"):
        read_idx(written(header(0, 2**32 - 1, 2**32 - 1, 2**32 - 1)))


def test_more_dimensions_than_an_array_can_have_are_refused(written):
    with pytest.raises(tn.FileFormatError, match="impossible shape"):
        read_idx(written(header(*[1] * 100) + b"x"))


def test_gzip_that_unpacks_to_far_more_than_its_header_says_is_not_unpacked(written):
    bomb = written(gzip.compress(header(10) + bytes(50_000_000)))
    tracemalloc.start()
    with pytest.raises(tn.FileFormatError, match="damaged gzip file"):
        read_idx(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize(
    "more",
    [b"junk", b"j", b"\0junk", bytes(10_000) + b"j", gzip.compress(b"more", mtime=0)],
    ids=["junk", "a letter", "zero and junk", "zeros and a letter", "gzip"],
)
def test_bytes_after_the_end_of_a_gzip_file_are_refused(written, more):
    with pytest.raises(tn.FileFormatError, match="damaged gzip file"):
        read_idx(written(gzip.compress(idx_bytes(IMAGES)) + more))


@pytest.mark.parametrize("parts", [1, 2, 3, 40])
@pytest.mark.parametrize("zeros", [0, 1, 512, 100_000])
@pytest.mark.parametrize("noise", [False, True])
def test_gzip_of_several_members_with_zeros_at_the_end_is_read_as_gzip_does(written, parts, zeros, noise):
    array = np.random.default_rng(0).integers(0, 256, 40_000, "u1") if noise else IMAGES
    content = idx_bytes(array)
    cuts = np.linspace(0, len(content), parts + 1).astype(int)  # with 40, within the header too
    members = [gzip.compress(content[start:end]) for start, end in itertools.pairwise(cuts)]
    path = written(b"".join([gzip.compress(b""), *members, gzip.compress(b"")]) + bytes(zeros))
    np.testing.assert_array_equal(read_idx(path), array)
    if shutil.which("gzip"):
        assert subprocess.run(["gzip", "-t", "-S", "idx", path], check=False).returncode == 0


def test_a_gzip_file_of_several_members_cut_short_anywhere_is_refused_by_name(written):
    content = idx_bytes(IMAGES)
    packed = gzip.compress(content[:10]) + gzip.compress(content[10:])
    for length in range(len(packed)):
        with pytest.raises(tn.FileFormatError, match="cut-short: "):
            read_idx(written(packed[:length], "cut-short"))


def test_thousands_of_empty_members_are_read_in_little_memory(written):
    path = written(gzip.compress(b"", mtime=0) * 30_000 + gzip.compress(idx_bytes(LABELS)))
    tracemalloc.start()
    np.testing.assert_array_equal(read_idx(path), LABELS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**18


def test_gzip_that_packs_as_no_images_do_is_not_unpacked_though_its_header_is_right(written):
    bomb = written(gzip.compress(header(100, 1000, 1000) + bytes(10**8)))
    tracemalloc.start()
    with pytest.raises(
        tn.FileFormatError, match="bytes of gzip whose header announces 100000016 bytes; real images do not"
    ):
        read_idx(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_header_of_many_huge_dimensions_makes_no_long_message(written, pack):
    with pytest.raises(tn.FileFormatError) as error:
        read_idx(written(pack(header(*[2**32 - 1] * 255))))
    assert len(str(error.value)) < 400


def test_a_file_of_the_wrong_size_is_not_read_however_long_it_is(written):
    path = written(header(100))
    os.truncate(path, 2**40)  # takes no place on disk
    with pytest.raises(
        tn.FileFormatError, match="1099511627768 bytes follow its header, which says 100 bytes, 100 values"
    ):
        read_idx(path)


def test_labels_that_are_all_alike_pack_well_and_are_read(written):
    labels = np.zeros(10_000_000, "u1")
    np.testing.assert_array_equal(read_idx(written(gzip.compress(idx_bytes(labels), 1))), labels)


# -- images with their labels ---------------------------------------------------------------------------------


def test_bytes_are_scaled_to_0_1_and_other_types_are_not(written):
    labels = written(idx_bytes(LABELS), "labels")
    data = load_pair(written(idx_bytes(IMAGES), "images"), labels)
    np.testing.assert_allclose(data.x, IMAGES.reshape(4, 6) / 255, rtol=1e-6)
    assert data.x.dtype == np.float32
    np.testing.assert_array_equal(data.y, LABELS)
    data = load_pair(written(idx_bytes(IMAGES.astype("f4")), "images"), labels)
    np.testing.assert_array_equal(data.x, IMAGES.reshape(4, 6))


def test_labels_in_place_of_images_and_images_in_place_of_labels_are_told(written):
    images, labels = written(idx_bytes(IMAGES), "images"), written(idx_bytes(LABELS), "labels")
    with pytest.raises(tn.FileFormatError, match="labels: not a file of images"):
        load_pair(labels, labels)
    with pytest.raises(tn.FileFormatError, match="images: not a file of labels"):
        load_pair(images, images)


def test_labels_in_one_column_are_labels(written):
    data = load_pair(written(idx_bytes(IMAGES), "images"), written(idx_bytes(LABELS[:, None]), "labels"))
    np.testing.assert_array_equal(data.y, LABELS)


def test_of_several_numbers_an_image_the_first_is_named_and_the_line_that_takes_it_works(written):
    qmnist = np.array([[3, 0, 1, 2], [0, 1, 5, 8], [2, 2, 2, 2], [1, 9, 9, 9]], "i4")
    images, labels = written(idx_bytes(IMAGES), "images"), written(idx_bytes(qmnist), "labels")
    with pytest.raises(tn.FileFormatError, match="labels: has 4 numbers an image; if the first is the label") as error:
        load_pair(images, labels)
    data = eval(re.search(r"take it by (.*)", str(error.value))[1], {"tn": tn, "np": np})
    alone = load_pair(images, written(idx_bytes(LABELS), "labels"))
    np.testing.assert_array_equal(data.y, alone.y)
    np.testing.assert_allclose(data.x, alone.x, rtol=1e-6)


def test_labels_that_are_no_integers_are_refused(written):
    with pytest.raises(tn.FileFormatError, match="labels: not a file of labels"):
        load_pair(written(idx_bytes(IMAGES), "images"), written(idx_bytes(LABELS.astype("f4")), "labels"))


@pytest.mark.parametrize("wrong", [-1, 256, 2**31 - 1])
def test_labels_that_count_no_classes_are_refused(written, wrong):
    labels = LABELS.astype("i4")
    labels[2] = wrong  # a network gets an output for every number up to the largest label
    with pytest.raises(
        tn.FileFormatError, match=f"labels: holds the label {wrong}; labels count classes from 0, below"
    ):
        load_pair(written(idx_bytes(IMAGES), "images"), written(idx_bytes(labels), "labels"))


def test_there_may_be_as_many_classes_as_labels(written):
    images, labels = np.zeros((300, 2, 2), "u1"), np.arange(300, dtype="i4")
    data = load_pair(written(idx_bytes(images), "images"), written(idx_bytes(labels), "labels"))
    assert data.y.max() == 299


def test_another_number_of_labels_than_of_images_is_refused_with_both(written):
    with pytest.raises(tn.FileFormatError, match=r"images has 4 images, .*labels 3 labels"):
        load_pair(written(idx_bytes(IMAGES), "images"), written(idx_bytes(LABELS[:3]), "labels"))


@pytest.mark.parametrize("shape", [(0, 28, 28), (4, 0, 28)])
def test_files_without_a_single_pixel_are_refused(written, shape):
    labels = written(idx_bytes(LABELS[: shape[0]]), "labels")
    with pytest.raises(tn.FileFormatError, match="images: holds no images"):
        load_pair(written(header(*shape), "images"), labels)


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e300])
def test_images_that_are_not_finite_in_float32_are_refused(written, value):
    images = IMAGES.reshape(4, 6).astype("f8")
    images[1, 2] = value
    with pytest.raises(tn.FileFormatError, match=r"images: .*x\[1, 2\] is (nan|inf)"):
        load_pair(written(idx_bytes(images), "images"), written(idx_bytes(LABELS), "labels"))


# -- a folder -------------------------------------------------------------------------------------------------


def test_a_folder_of_four_files_is_a_training_and_a_test_set(folder):
    train, test = tn.datasets.idx(folder)
    assert (len(train), len(test)) == (4, 2)
    np.testing.assert_array_equal(train.y, LABELS)
    assert tn.datasets.idx(str(folder))[0].x.shape == (4, 6)


def test_names_may_have_something_before_and_after_and_say_test(tmp_path):
    for name, array in NAMES.items():
        other = "emnist-letters-" + name.replace("t10k", "test") + ".gz"
        (tmp_path / other).write_bytes(gzip.compress(idx_bytes(array)))
    train, test = tn.datasets.idx(tmp_path)
    assert (len(train), len(test)) == (4, 2)


def test_a_file_that_is_there_both_plain_and_gzip_is_read_plain(folder):
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"not even gzip")
    assert len(tn.datasets.idx(folder)[0]) == 4


def test_hidden_files_are_not_looked_at(folder):
    for name in NAMES:
        (folder / f"._{name}").write_bytes(b"\0\5\x16\7 what macOS knows of the file")
    assert len(tn.datasets.idx(folder)[0]) == 4
    (folder / "train-images-idx3-ubyte").unlink()
    with pytest.raises(tn.InputError, match="found no such file"):
        tn.datasets.idx(folder)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    part = name.rsplit("-idx", 1)[0]
    with pytest.raises(tn.InputError, match=rf"looked for a file named \*{part}\*idx\*, found no such file"):
        tn.datasets.idx(folder)


def test_several_files_that_match_are_named(folder):
    (folder / "old-train-images-idx3-ubyte").write_bytes(idx_bytes(IMAGES))
    with pytest.raises(tn.InputError, match="more than one: old-train-images-idx3-ubyte, train-images-idx3-ubyte"):
        tn.datasets.idx(folder)


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(tn.InputError, match="nowhere: no such folder"):
        tn.datasets.idx(tmp_path / "nowhere")


def test_a_file_in_place_of_the_folder_is_refused(written):
    with pytest.raises(tn.InputError, match="file-idx: no such folder"):
        tn.datasets.idx(written(b""))


def test_training_and_test_images_of_different_size_are_refused(folder):
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(IMAGES[:2, :, :2]))
    with pytest.raises(tn.FileFormatError, match="training images have 6 pixels, test images 4"):
        tn.datasets.idx(folder)


# -- damage of any kind: tests/test_fuzz.py; and what was never a file --------------------------------------------


@settings(max_examples=200, deadline=None, derandomize=True)
@given(content=st.binary(max_size=300), start=st.sampled_from([b"", b"\0\0\x08\1", b"\0\0\x0d\3", b"\x1f\x8b\x08\0"]))
def test_random_bytes_are_an_array_or_a_clear_error(tmp_path_factory, content, start):
    path = tmp_path_factory.getbasetemp() / "random"
    path.write_bytes(start + content)
    with contextlib.suppress(tn.FileFormatError):
        assert read_idx(path).nbytes <= len(content)
