import json
import math
import os
import stat

import numpy as np
import pytest

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


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"9" * 5000, b"{'a': 1}"])
def test_what_is_not_json_is_refused_by_name(tmp_path, content):
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(tn.FileFormatError, match=r"bad\.json: not a JSON file"):
        files.read_json(tmp_path / "bad.json")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_and_their_metadata_come_back_bit_by_bit(tmp_path, dtype):
    arrays = {"w": np.array([[0.1, math.nan], [-math.inf, -0.0]], dtype), "empty": np.empty((0, 3), dtype)}
    files.write_arrays(tmp_path / "a", arrays, {"key": "λ"})
    read, metadata = files.read_arrays(tmp_path / "a")
    assert metadata == {"key": "λ"}
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (read[name].dtype, read[name].shape) == (array.dtype, array.shape)
        assert read[name].tobytes() == array.tobytes()


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
