"""Write the house into docs/architecture.md, from `HOUSE` in tests/test_house.py and the files' own docstrings.

``python -m tests.architecture``, from the project's folder. Only what is between the two marks is written.
"""

import ast
from pathlib import Path

from tests.test_house import CORE, HOUSE, LIBRARIES, modules
from tinynet import files

PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"
START = "<!-- From here on written by `python -m tests.architecture`. -->\n"
END = "<!-- Written until here. -->\n"


def file_of(name: str) -> str:
    """Return the file of a name in `HOUSE`, as ``layers/base.py``."""
    return name.replace(".", "/") + ".py"


def is_core(file: str) -> bool:
    """Return whether a file belongs to the part of tinynet that is kept short enough for an afternoon."""
    return file in CORE or file.split("/")[0] in CORE


def purpose(path: Path) -> str:
    """Return the first paragraph of a file's docstring, on one line, fit for the cell of a table."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring, f"{path.name}: a file begins with a docstring that says what it is for"
    return " ".join(docstring.split("\n\n")[0].split()).replace("|", "\\|")


def link(file: str) -> str:
    """Return a link to a file from the page; one of the core's is bold."""
    mark = "**" if is_core(file) else ""
    return f"{mark}[{file}](../tinynet/{file}){mark}"


def house() -> str:
    """Return the table of floors, the top one first, and that of the libraries' doors."""
    paths = modules()
    lines = [
        f"{len(paths)} files on {len(HOUSE)} floors, the ground floor being 1. Bold: the core.",
        "",
        "| floor | file | what it is |",
        "| --: | --- | --- |",
    ]
    for k, floor in enumerate(HOUSE):
        for name in sorted(floor):
            lines.append(f"| {len(HOUSE) - k} | {link(file_of(name))} | {purpose(paths[name])} |")
    lines += ["", "| library | imported only in |", "| --- | --- |"]
    for library, users in sorted(LIBRARIES.items()):
        lines.append(f"| {library} | {', '.join(f'`{file_of(name)}`' for name in sorted(users))} |")
    return "\n".join(lines) + "\n"


def page(old: str) -> str:
    """Return the page with the house written anew and the rest as it was; raise ValueError without the marks."""
    before, start, rest = old.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError(f"{PAGE.name}: needs the lines {START.strip()} and {END.strip()}, in this order")
    return f"{before}{START}\n{house()}\n{END}{after}"


if __name__ == "__main__":
    files.write_text(PAGE, page(PAGE.read_text(encoding="utf-8")))
