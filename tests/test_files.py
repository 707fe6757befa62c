import json
import math
import os
import stat
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import tinynet as tn
from tinynet import files


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_when_the_block_ends(tmp_path):
    path = tmp_path / "new folder" / "result.txt"
    with files.replacing(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert names(path.parent) == ["result.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_block_that_raises_leaves_the_old_file_and_nothing_besides(tmp_path, error):
    path = tmp_path / "result.txt"
    path.write_text("old")

    def write():
        with files.replacing(path) as temporary:
            temporary.write_text("half a n")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["result.txt"]


def test_who_reads_the_old_file_meanwhile_reads_it_whole(tmp_path):
    files.write_text(tmp_path / "result.txt", "old")
    with (tmp_path / "result.txt").open() as reader:
        files.write_text(tmp_path / "result.txt", "new")
        assert reader.read() == "old"
    assert (tmp_path / "result.txt").read_text() == "new"


def test_a_file_written_has_the_permissions_of_any_other(tmp_path):
    files.write_text(tmp_path / "ours", "")
    (tmp_path / "other").write_text("")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "other")}
    assert len(modes) == 1
    mask = os.umask(0o022)
    os.umask(mask)
    assert modes == {0o666 & ~mask}


def test_text_is_utf8_and_replaces_what_was_there(tmp_path):
    for text in ("first", "β and λ\n"):
        files.write_text(tmp_path / "t", text)
    assert (tmp_path / "t").read_bytes() == "β and λ\n".encode()


def test_json_has_only_numbers_that_any_reader_takes(tmp_path):
    content = {"a": [1, 0.1, math.nan], "b": {"c": (math.inf, -math.inf)}, "d": "text", "e": None, "f": True}
    files.write_json(tmp_path / "j", content)

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    read = json.loads((tmp_path / "j").read_text(), parse_constant=refuse)
    assert read == {"a": [1, 0.1, "nan"], "b": {"c": ["inf", "-inf"]}, "d": "text", "e": None, "f": True}
    assert files.read_json(tmp_path / "j") == read


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"9" * 5000, b"{'a': 1}", b'{"a": 1, "a": 2}'])
def test_what_is_not_json_is_refused_by_name(tmp_path, content):
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(tn.FileFormatError, match=r"bad\.json: not a JSON file"):
        files.read_json(tmp_path / "bad.json")


def test_what_is_no_text_is_refused_by_name(tmp_path):
    (tmp_path / "bad.json").write_bytes(b"{}\xff\xfe")
    with pytest.raises(tn.FileFormatError, match=r"bad\.json: not UTF-8 text \(invalid start byte at byte 2\)"):
        files.read_json(tmp_path / "bad.json")


def test_text_that_is_too_long_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "long.json").open("wb") as file:
        file.truncate(2**40)  # takes no place on disk
    with pytest.raises(tn.FileFormatError, match=r"long\.json: has 1,099,511,627,776 bytes, and tinynet reads .*"):
        files.read_json(tmp_path / "long.json")


@pytest.mark.parametrize("read", [tn.load, tn.History.from_csv, tn.History.from_json, tn.datasets.read_idx])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, read):
    os.mkfifo(tmp_path / "fifo")
    for path, kind in ((tmp_path, "a folder"), (tmp_path / "fifo", "a pipe or device"), ("/dev/zero", "a pipe or")):
        with pytest.raises(tn.FileFormatError, match=f"{path}: not a file, but {kind}"):
            read(path)


def test_a_file_that_memory_cannot_hold_is_refused_by_name(tmp_path):
    (tmp_path / "big").write_bytes(b"1234")

    def read():
        with files.opened(tmp_path / "big"):
            raise MemoryError

    with pytest.raises(tn.FileFormatError, match="big: its 4 bytes are too many for this machine's memory"):
        read()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_and_their_metadata_come_back_bit_by_bit(tmp_path, dtype):
    arrays = {"w": np.array([[0.1, math.nan], [-math.inf, -0.0]], dtype), "empty": np.empty((0, 3), dtype)}
    files.write_arrays(tmp_path / "a", arrays, {"key": "λ"})
    read, metadata = files.read_arrays(tmp_path / "a")
    assert len(metadata.pop(files.CHECKSUM)) == 64
    assert metadata == {"key": "λ"}
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (read[name].dtype, read[name].shape) == (array.dtype, array.shape)
        assert read[name].tobytes() == array.tobytes()


LAYOUTS = {
    "Fortran's order": lambda a: np.asfortranarray(a),
    "a transposed view": lambda a: np.ascontiguousarray(a.T).T,
    "every other column": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "backwards": lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
    "the other byte order": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "both": lambda a: np.asfortranarray(a.astype(a.dtype.newbyteorder(">"))),
    "a list": lambda a: a.tolist(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float64", "int64"])
def test_an_array_of_any_layout_comes_back_with_its_values(tmp_path, layout, dtype):
    values = np.arange(12).reshape(3, 4).astype(dtype)
    given = LAYOUTS[layout](values)
    files.write_arrays(tmp_path / "a", {"w": given}, {})
    for back in (files.read_arrays(tmp_path / "a")[0]["w"], load_file(tmp_path / "a")["w"]):
        np.testing.assert_array_equal(back, values, strict=True)
    np.testing.assert_array_equal(given, values)


def test_a_number_a_row_that_is_spread_out_and_a_read_only_array_come_back(tmp_path):
    arrays = {
        "number": np.array(2.5),
        "spread": np.broadcast_to(np.float32(3), (2, 3)),
        "read_only": np.arange(3.0),
        "none": np.empty((0, 3), order="F"),
    }
    arrays["read_only"].flags.writeable = False
    files.write_arrays(tmp_path / "a", arrays, {})
    back, _ = files.read_arrays(tmp_path / "a")
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array, strict=True)


@pytest.mark.parametrize("array", [np.ones(2, bool), np.ones(2, complex), np.array(["a"]), np.array([None])])
def test_an_array_that_could_not_be_read_again_is_not_written(tmp_path, array):
    with pytest.raises(tn.InputError, match=rf"a: w is {array.dtype}; a file can hold floats and integers"):
        files.write_arrays(tmp_path / "a", {"w": array}, {})
    assert names(tmp_path) == []


def test_every_bfloat16_is_read_as_the_float32_of_its_value(tmp_path):
    bits = np.arange(2**16)
    header = {"a": {"dtype": "BF16", "shape": [256, 256], "data_offsets": [0, 2**17]}}
    (tmp_path / "a").write_bytes(safetensors(header, bits.astype("<u2").tobytes()))
    read = files.read_arrays(tmp_path / "a")[0]["a"]
    assert (read.dtype, read.shape) == (np.float32, (256, 256))
    # a sign, eight bits of exponent, seven of the number after the point
    sign, exponent, fraction = bits >> 15, bits >> 7 & 255, bits & 127
    size = np.where(exponent > 0, (1 + fraction / 128) * 2.0 ** (exponent - 127.0), fraction / 128 * 2.0**-126)
    size[exponent == 255] = np.where(fraction[exponent == 255] == 0, np.inf, np.nan)
    np.testing.assert_array_equal(read.ravel(), np.where(sign, -size, size))


def test_arrays_that_other_software_wrote_need_no_checksum(tmp_path):
    save_file({"w": np.arange(3)}, tmp_path / "a", metadata={"format": "pt"})
    arrays, metadata = files.read_arrays(tmp_path / "a")
    np.testing.assert_array_equal(arrays["w"], [0, 1, 2])
    assert metadata == {"format": "pt"}


def test_the_file_is_one_that_the_reference_library_reads(tmp_path):
    files.write_arrays(tmp_path / "a", {"w": np.eye(3)}, {})
    np.testing.assert_array_equal(load_file(tmp_path / "a")["w"], np.eye(3))


def test_what_could_not_be_read_again_is_not_written(tmp_path):
    with pytest.raises(tn.InputError, match=r"a: names and metadata of 2\d,\d+,\d+ bytes; there can be 16,777,216"):
        files.write_arrays(tmp_path / "a", {}, {"key": "x" * 20_000_000})
    assert names(tmp_path) == []


@pytest.mark.parametrize("where", ["data", "metadata", "name"])
def test_a_single_bit_that_changed_is_noticed(tmp_path, where):
    files.write_arrays(tmp_path / "a", {"weight": np.ones(5)}, {"key": "value"})
    content = (tmp_path / "a").read_bytes()
    place = {"data": len(content) - 1, "metadata": content.index(b"value"), "name": content.index(b"weight")}[where]
    (tmp_path / "a").write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    with pytest.raises(tn.FileFormatError, match="a: damaged: what it holds does not fit its checksum"):
        files.read_arrays(tmp_path / "a")


def safetensors(header, data=b"", size=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
AS_TEXT = json.dumps(TENSOR).encode()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (safetensors({"a": TENSOR}, size=2**63), "its header does not fit in"),
        (safetensors({"a": TENSOR}, bytes(8), size=200), "its header does not fit in"),
        (safetensors(b'{"a": ' + AS_TEXT + b', "a": ' + AS_TEXT + b"}", bytes(8)), "'a' is there twice"),
        (safetensors(b'{"__metadata__": {"k": "1", "k": "2"}}'), "'k' is there twice"),
        (safetensors({"__metadata__": {"k": 1}}), "expected a string"),
        (safetensors({"a": TENSOR | {"dtype": "F8_E4M3"}}, bytes(8)), "F8_E4M3|invalid shape"),
        (
            safetensors({"a": TENSOR | {"dtype": "BOOL", "data_offsets": [0, 2]}}, bytes(2)),
            "it holds BOOL, a",
        ),
        (safetensors({"a": TENSOR | {"dtype": "BF16", "shape": [-2]}}, bytes(4)), "invalid value"),
        (safetensors({"a": TENSOR | {"dtype": "O"}}, bytes(8)), "unknown variant"),
        (safetensors({"a": TENSOR | {"shape": [2**62, 4]}}, bytes(8)), "overflow"),
        (safetensors({"a": TENSOR | {"shape": [-2]}}, bytes(8)), "invalid value"),
        (safetensors({"a": TENSOR | {"shape": [0, 2**62], "data_offsets": [0, 0]}}), "array is too big"),
        (safetensors({"a": TENSOR | {"shape": [1] * 99, "data_offsets": [0, 4]}}, bytes(4)), "maximum supported dim"),
        (
            safetensors({"a": TENSOR | {"shape": [10**9], "data_offsets": [0, 4 * 10**9]}}, bytes(8)),
            "not fully|invalid",
        ),
        (safetensors({"a": TENSOR, "b": TENSOR}, bytes(8)), "offset"),
        (safetensors({"a": TENSOR}, bytes(9)), "not fully covered"),
        (safetensors(b'{"a": ' + b"[" * 10**5, bytes(8)), "recursion limit"),
        (
            safetensors(b'{"a": ' + AS_TEXT[:-1] + b', "z": ' + b"9" * 5000 + b"}}", bytes(8)),
            "limit|number out of range",
        ),
    ],
)
def test_safetensors_that_make_no_sense_are_refused_by_name(tmp_path, content, reason):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(tn.FileFormatError, match=rf"a: not a safetensors file.*({reason})"):
        files.read_arrays(tmp_path / "a")


def test_a_folder_that_can_be_written_is_made_and_left_empty(tmp_path):
    folder = files.writable_folder(tmp_path / "a" / "b")
    assert folder == tmp_path / "a" / "b"
    assert names(folder) == []


def test_a_folder_that_cannot_be_written_is_refused_by_name(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "folder"):
        with pytest.raises(tn.InputError, match=f"{path}: cannot write there .*; choose another folder"):
            files.writable_folder(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_folder_is_refused_by_name(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(tn.InputError, match="cannot write there"):
        files.writable_folder(tmp_path)
    tmp_path.chmod(0o700)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only there can a folder be opened")
def test_file_and_folder_are_on_the_disk_before_writing_returns(tmp_path, monkeypatch):
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda handle: (synced.append(Path(f"/proc/self/fd/{handle}").readlink()), fsync(handle))
    )
    files.write_text(tmp_path / "a.txt", "words")
    assert [path.parent if path != tmp_path else path for path in synced] == [tmp_path, tmp_path]
    assert synced[-1] == tmp_path
