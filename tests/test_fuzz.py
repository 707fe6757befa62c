"""Whatever happens to a file, reading it gives what it held or a clear error: soon, and in little memory."""

import dataclasses
import gzip
import importlib.metadata
import json
import os
import struct
import subprocess
import sys
import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.__main__ import Figures, section, write_section
from tests.fuzz.targets import LABELS, TARGETS, idx_bytes

NUMBERS = [b"0", b"-1", b"1e999", b"NaN", b"2147483648", b"9223372036854775807", b"9" * 400, b"true", b"null", b"[]"]


@st.composite
def damage(draw, content):
    """Change bytes, cut, insert, repeat, or put an awkward value in place of a number, one to three times."""
    found = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(0, len(found) - 1)))
        kind = draw(st.sampled_from(["bit", "byte", "cut", "delete", "insert", "repeat", "number", "word"]))
        if kind == "bit" and found:
            found[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "byte" and found:
            found[place] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, *b'"[]{},:-.e9']))
        elif kind == "cut":
            del found[place:]
        elif kind == "delete":
            del found[place : place + draw(st.integers(1, 20))]
        elif kind == "insert":
            found[place:place] = draw(st.binary(min_size=1, max_size=8))
        elif kind == "repeat":
            found[place:place] = found[place : place + draw(st.integers(1, 100))]
        elif kind == "number":
            end = place
            while end < len(found) and found[end] in b"0123456789":
                end += 1
            found[place:end] = draw(st.sampled_from(NUMBERS))
        elif kind == "word":
            found[place : place + 4] = struct.pack(draw(st.sampled_from("<>")) + "I", draw(st.integers(0, 2**32 - 1)))
    return bytes(found)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_file_is_read_as_it_was_or_refused(target, data, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / target.name
    folder.mkdir(exist_ok=True)
    seed = data.draw(st.sampled_from(target.seeds()))
    content = data.draw(damage(seed))
    found = target.attempt(content, folder / "file")
    if target.checked and found is not None:
        assert found == target.attempt(seed, folder / "file")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["ReLU", "Dense", "", "0"]) | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.sampled_from(["units", "x"]), inside, max_size=2),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(data=st.data())
def test_an_architecture_with_any_value_anywhere_is_a_network_or_refused(data, tmp_path_factory):
    target = next(target for target in TARGETS if target.name == "architecture")
    dtype, inputs, graph = data.draw(st.sampled_from(target.seeds())).decode().split("\n")
    entries = json.loads(graph)
    inside = data.draw(st.sampled_from(entries))
    while True:
        key = data.draw(st.sampled_from(sorted(inside) if isinstance(inside, dict) else list(range(len(inside)))))
        if not (isinstance(inside[key], dict | list) and inside[key] and data.draw(st.booleans())):
            break
        inside = inside[key]
    inside[key] = data.draw(JSON)
    text = "\n".join([dtype, inputs, json.dumps(entries)])
    target.attempt(text.encode(), tmp_path_factory.getbasetemp() / "any-architecture")


# -- files made to take memory or time ------------------------------------------------------------------------


def safetensors(header, data=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def idx_header(*shape, code=8):
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


def packed(content):
    return gzip.compress(content, mtime=0)


MANY = 2**18
HUGE = {"dtype": "F32", "shape": [2**38], "data_offsets": [0, 2**40]}
RELU = b'{"layer": "ReLU", "config": {}, "reads": [0]}, '
HEADER = b"steps,train_loss,validation_loss,validation_accuracy,lr,diverged\n"
NAMES = {str(k): {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for k in range(MANY // 60)}
HOSTILE = {  # kind of file and content; a number: a file of so many zero bytes that takes no place on disk
    "nothing": ("network", b""),
    "header of 2^63 bytes": ("network", struct.pack("<Q", 2**63) + b"{}"),
    "header longer than the file": ("network", struct.pack("<Q", 2**24) + b"{}"),
    "array longer than the file": ("network", safetensors({"a": HUGE}, bytes(100))),
    "arrays without end": ("network", safetensors(NAMES)),
    "network of zeros": ("network", 2**40),
    "state of zeros": ("PyTorch state", 2**40),
    "state with arrays without end": ("PyTorch state", safetensors(NAMES)),
    "layers without end": ("architecture", b"float32\n3\n[" + RELU * (MANY // len(RELU)) + b"{}]"),
    "deep nesting": ("architecture", b"float32\n3\n" + b"[" * MANY),
    "lists in lists": ("history in JSON", b'{"steps":' + b"[" * MANY),
    "empty objects": ("history in JSON", b'{"steps":[' + b"{}," * (MANY // 3) + b"0]}"),
    "a long number": ("history in JSON", b"9" * MANY),
    "long numbers": ("history in JSON", b"[" + (b"9" * 4000 + b",") * (MANY // 4000) + b"0]"),
    "JSON of zeros": ("history in JSON", 2**40),
    "CSV of zeros": ("history in CSV", 2**40),
    "empty lines": ("history in CSV", HEADER + b"\n" * MANY),
    "commas": ("history in CSV", b"," * MANY),
    "an open quote": ("history in CSV", b'"' + b"\n" * MANY),
    "images of zeros": ("IDX images", 2**40),
    "more images than bytes": ("IDX images", idx_header(2**32 - 1, 28, 28) + bytes(1000)),
    "more doubles than bytes": ("IDX images", idx_header(2**31, 2**31, code=0x0E)),
    "gzip of more than it says": ("IDX images in gzip", packed(idx_header(4, 2, 3) + bytes(2**26))),
    "gzip of just what it says": ("IDX images in gzip", packed(idx_header(4, 2**12, 2**12) + bytes(2**26))),
    "gzip of less than it says": ("IDX images in gzip", packed(idx_header(2**32 - 1, 2**20) + bytes(1000))),
    "labels of a billion classes": ("IDX labels", idx_bytes(LABELS.astype("i4") + 2**30, 0x0C)),
}


def attempt(name, folder):
    """Return what reading one of those files gave, the CPU time it took in seconds, and the size of the file."""
    kind, content = HOSTILE[name]
    target = next(target for target in TARGETS if target.name == kind)
    path = folder / "file"
    if isinstance(content, int):
        target = dataclasses.replace(target, write=lambda size, path: os.truncate(path, size))
        path.touch()
    start = time.process_time()
    found = target.attempt(content, path)
    return found, time.process_time() - start, len(content) if isinstance(content, bytes) else 0


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_soon_and_in_memory_that_its_size_bounds(name, tmp_path):
    tracemalloc.start()
    try:
        found, seconds, size = attempt(name, tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found is None
    assert seconds < 5
    assert peak < 40 * size + 2**20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads how much memory is in use, and limits it")
def test_the_libraries_below_stay_within_bounds_too(tmp_path):
    """Where memory is limited to 256 MiB more than at the start, every file is refused for the same reason."""
    code = (
        "import pathlib, resource, sys; from tests import test_fuzz as t;"
        "folder = pathlib.Path(sys.argv[1]); t.attempt('nothing', folder);"
        "pages = int(pathlib.Path('/proc/self/statm').read_text().split()[0]);"
        "limit = pages * resource.getpagesize() + 2**28; resource.setrlimit(resource.RLIMIT_AS, (limit, limit));"
        "print([name for name in t.HOSTILE if t.attempt(name, folder)[0] is not None])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert (run.returncode, run.stdout) == (0, "[]\n"), run.stderr


def test_every_valid_file_is_read(tmp_path):
    for target in TARGETS:
        for content in target.seeds():
            assert target.attempt(content, tmp_path / "file") is not None, target.name


def test_a_section_of_the_page_is_replaced_and_the_others_stay(tmp_path):
    page = tmp_path / "page.md"
    for title, text in (("Files", "old\n"), ("Memory", "flat\n"), ("Files", "new\n")):
        write_section(title, text, page)
    assert page.read_text().endswith("names.\n\n## Files\n\nnew\n\n## Memory\n\nflat\n")
    assert page.read_text().count("# Reliability") == 1


def test_the_section_on_files_has_every_figure_and_counts_the_findings(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda package: f"{package} 9.9")
    found = {
        "network": Figures(1_200, 30, 40, 50, 6, 170, ""),
        "labels": Figures(34, 30, 5, 7, 2, 60, "labels-crash-ab"),
    }
    text = section(found, "the command")
    assert "`the command` made 1,234 executions and 1 finding, on" in text
    assert "| network | 1,200 | 30 | 40 | 50 | 6 | 170 | none |" in text
    assert "| labels | 34 | 30 | 5 | 7 | 2 | 60 | labels-crash-ab |" in text
    assert "2 findings" in section(dict.fromkeys(("a", "b"), found["labels"]), "")
    assert "no findings" in section({"network": found["network"]}, "")
