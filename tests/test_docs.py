"""Every ```python block of the documentation runs, so that it cannot fall behind the code.

A file's blocks run in sequence in one namespace, in a temporary working directory. A block that follows the
comment ``<!-- no-run -->`` is skipped. Examples in docstrings run too.
"""

import doctest
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted([*ROOT.glob("docs/**/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])

FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>```+)(?P<language>[^`\n]*)$")


def blocks(text):
    """Return (number of the first line, source) of every python block that is meant to run."""
    found, skip = [], False
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        opening = FENCE.match(line)
        if not opening:
            skip = line.strip() == "<!-- no-run -->" or (skip and not line.strip())
            continue
        inside = []
        for _, inner in lines:
            if inner.strip() == opening["ticks"]:
                break
            inside.append(inner.removeprefix(opening["indent"]))
        else:
            raise AssertionError(f"line {number}: a fence that is never closed")
        if opening["language"].strip() == "python" and not skip:
            found.append((number + 1, "\n".join(inside) + "\n"))
        skip = False
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_blocks_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    namespace = {"__name__": "__main__"}
    for first, source in blocks(path.read_text(encoding="utf-8")):
        # empty lines before it make a traceback show the line in the document
        exec(compile("\n" * (first - 1) + source, str(path), "exec"), namespace)


def test_examples_in_docstrings_give_what_they_say() -> None:
    found = {}
    for path in sorted((ROOT / "tinynet").rglob("*.py")):
        if ">>> " in path.read_text(encoding="utf-8"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = doctest.testmod(importlib.import_module(name))
    assert {name: result.failed for name, result in found.items() if result.failed} == {}
    assert all(result.attempted for result in found.values())
    assert len(found) >= 10


SAMPLE = """\
```python
a = 1
```
text
<!-- no-run -->

```python
raise ValueError
```
```text
not python
```
- in a list:
  ```python
  if a:
      b = a + 1
  ```
"""


def test_blocks_are_found():
    assert blocks(SAMPLE) == [(2, "a = 1\n"), (15, "if a:\n    b = a + 1\n")]


def test_open_fence_is_found():
    with pytest.raises(AssertionError, match="line 2"):
        blocks("text\n```python\na = 1\n")
