"""The page of the house says what the code says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import architecture
from tests.architecture import END, START
from tests.test_house import HOUSE, ROOT


def test_the_page_is_what_the_program_writes() -> None:
    text = architecture.PAGE.read_text(encoding="utf-8")
    assert text == architecture.page(text), "docs/architecture.md is old: run `python -m tests.architecture`"


def test_every_part_of_the_house_is_in_the_table_once_on_its_line_with_its_purpose() -> None:
    rows = [line.split(" | ") for line in architecture.house().splitlines() if "](../tinynet/" in line]
    parts = [row[1].split("](../tinynet/")[1].rstrip(")") for row in rows]
    names = [name.removesuffix("/").removesuffix(".py") for name in parts]
    assert names == [name for line in HOUSE for name in line.split()]
    assert all((ROOT / name).exists() for name in parts)
    lines = [int(row[0].removeprefix("| ")) for row in rows]
    assert (lines, lines[0], lines[-1]) == (sorted(lines, reverse=True), len(HOUSE), 1)
    assert rows[parts.index("network.py")][2] == (
        "The layer graph: connected, ordered, checked; run forward and, in reverse, backward. |"
    )


ONE_STEP = """
import sys, numpy as np, tinynet as tn
rng, seen = np.random.default_rng(0), []
data = tn.Dataset(rng.random((40, 5)), rng.integers(0, 3, 40))
net = tn.mlp(5, [4, 4], 3, activation="sigmoid", norm="batch", seed=0)

class Tracer(tn.Callback):
    def on_step(self, run):
        if THROUGH_LAYERS:
            net.layers["batch_norm_1"].eps = 1e-5  # what was recorded is forgotten
        sys.setprofile(enter if run.step == 2 else None)

def enter(frame, event, _):
    name = frame.f_code.co_filename.replace("\\\\", "/").rpartition("/tinynet/")[2]
    if event == "call" and name.endswith(".py") and "/tinynet/" in frame.f_code.co_filename and name not in seen:
        seen.append(name)

tn.fit(net, data, steps=4, batch_size=10, validate_every=4, callbacks=[Tracer()])
print(*seen)
"""


def files_of_a_step(*, through_layers: bool, **environment: str) -> list[str]:
    """Return the files that a training step enters, in this order."""
    code = ONE_STEP.replace("THROUGH_LAYERS", str(through_layers))
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, env=os.environ | environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


def is_beside(file: str) -> bool:
    return file in architecture.BESIDE or file.split("/")[0] + "/" in architecture.BESIDE


def test_a_step_enters_the_files_that_are_to_be_read_in_their_order_and_none_that_is_not_named() -> None:
    entered = files_of_a_step(through_layers=True, NUMBA_DISABLE_JIT="1")  # kernels are Python then
    on_the_way = [file for file in entered if file in architecture.STEP]
    first, *others = architecture.STEP
    assert len(architecture.STEP) <= 8
    assert [file for file in on_the_way if file != first] == others
    assert first in on_the_way
    assert [file for file in entered if file not in architecture.STEP and not is_beside(file)] == []


def test_a_replayed_step_enters_no_other_files() -> None:
    entered = files_of_a_step(through_layers=False)
    assert [file for file in entered if file not in architecture.STEP and not is_beside(file)] == []


def test_a_purpose_is_the_first_paragraph_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "file.py"
    path.write_text('"""One | thing,\nand another.\n\nMore of it.\n"""\n')
    assert architecture.purpose(path) == "One \\| thing, and another."
    path.write_text("x = 1\n")
    with pytest.raises(AssertionError, match=r"file.py: a file begins with a docstring"):
        architecture.purpose(path)


def test_only_what_is_between_the_marks_is_written() -> None:
    assert architecture.page(f"Words.\n{START}old\n{END}More.\n") == (
        f"Words.\n{START}\n{architecture.step()}\n## Line by line\n\n{architecture.house()}\n{END}More.\n"
    )
    for text in ("", START, END + START):
        with pytest.raises(ValueError, match=r"architecture\.md: needs the lines"):
            architecture.page(text)
