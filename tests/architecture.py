"""Write the house into docs/architecture.md, from `HOUSE` in tests/test_house.py and the files' own docstrings.

``python -m tests.architecture``, from the project's folder. Only what is between the two marks is written.
"""

import ast
from pathlib import Path

from tests.test_house import HOUSE, LIBRARIES, modules
from tinynet import files

PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"
START = "<!-- From here on written by `python -m tests.architecture`. -->\n"
END = "<!-- Written until here. -->\n"


def purpose(path: Path) -> str:
    """Return the first paragraph of a file's docstring, on one line, fit for the cell of a table."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring, f"{path.name}: a file begins with a docstring that says what it is for"
    return " ".join(docstring.split("\n\n")[0].split()).replace("|", "\\|")


def house() -> str:
    """Return the table of the house, the top line first, and that of the libraries' doors."""
    paths = modules()
    lines = ["| line | part | what it is |", "| --: | --- | --- |"]
    for k, names in enumerate(HOUSE):
        for name in names.split():
            file = f"{name}/" if f"{name}.__init__" in paths else f"{name}.py"
            path = paths.get(name) or paths[f"{name}.__init__"]
            lines.append(f"| {len(HOUSE) - k} | [{file}](../tinynet/{file}) | {purpose(path)} |")
    lines += ["", "| library | imported only in |", "| --- | --- |"]
    for library, users in sorted(LIBRARIES.items()):
        lines.append(f"| {library} | {', '.join(f'`{name}`' for name in sorted(users))} |")
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
