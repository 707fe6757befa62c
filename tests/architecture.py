"""Draw the house, and write docs/architecture.md, from `HOUSE` in tests/test_house.py and the files' docstrings.

``python -m tests.architecture``, from the project's folder. Of the page only what is between the two marks is written.
"""

import ast
from pathlib import Path

from matplotlib.figure import Figure

from tests.test_house import CORE, HOUSE, LIBRARIES, modules
from tinynet import files

PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"
PICTURE = PAGE.parent / "images" / "house.svg"
STEP = {  # what to read to follow one training step, in this order
    "training.py": "`fit`, and `go_on`: the loop",
    "datasets/dataset.py": "`Batches`: the next rows, in their new order",
    "network.py": "`forward` goes through the layers; `backward` goes back",
    "layers/dense.py": "a layer: y = x W + b, and its gradients",
    "layers/batch_norm.py": "another: which kernel reads and writes which arrays",
    "losses.py": "the loss, and d loss / d outputs",
    "optimizers.py": "`SGD.step`: one update for each parameter",
    "kernels/sgd.py": "the weight changes",
}
BESIDE = {  # what is passed on the way, and need not be opened
    "run.py": "the run's plain data",
    "arrays.py": "an array is checked",
    "settings.py": "a setting is read",
    "schedules.py": "the learning rate of this step",
    "layers/base.py": "what all layers share",
    "layers/activations.py": "the layer after batch norm",
    "kernels/": "the mathematics of each layer; `kernels/batch_norm.py` has the four equations",
    "machinery/": "how kernels are called fast: [Recording](recording.md)",
}
START = "<!-- From here on written by `python -m tests.architecture`. -->\n"
END = "<!-- Written until here. -->\n"


def purpose(path: Path) -> str:
    """Return the first paragraph of a file's docstring, on one line, fit for the cell of a table."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring, f"{path.name}: a file begins with a docstring that says what it is for"
    return " ".join(docstring.split("\n\n")[0].split()).replace("|", "\\|")


def picture() -> Figure:
    """Draw the lines of the house, a part the wider, the longer it is; the core is darker."""
    figure = Figure(figsize=(10, 7))
    ax = figure.add_axes((0.02, 0.02, 0.96, 0.96))
    for k, names in enumerate(HOUSE):
        parts = names.split()
        sizes = [size_of(name) for name in parts]
        left, gap = 0.08, 0.012
        room = 0.92 - gap * (len(parts) - 1)
        least = 0.07
        free = room - least * len(parts)
        for name, size in zip(parts, sizes, strict=True):
            width = least + free * size / sum(sizes)
            core = any(file.split("/")[0].removesuffix(".py") == name for file in CORE)
            ax.barh(-k, width, 0.78, left, color="#0072B2" if core else "#d9e6ef", edgecolor="#335")
            color = "white" if core else "black"
            ax.text(left + width / 2, -k, name, ha="center", va="center", color=color, fontsize=12)
            left += width + gap
    ax.annotate("", (0.03, -len(HOUSE) + 0.6), (0.03, 0.4), arrowprops={"arrowstyle": "-|>", "lw": 2})
    ax.text(0.012, -(len(HOUSE) - 1) / 2, "imports point down", rotation=90, ha="center", va="center", fontsize=12)
    ax.set(xlim=(0, 1), ylim=(-len(HOUSE) + 0.5, 0.5))
    ax.set_axis_off()
    return figure


def size_of(name: str) -> int:
    """Return the lines of a part that are not empty."""
    texts = [path.read_text(encoding="utf-8") for file, path in modules().items() if file.split(".")[0] == name]
    return sum(bool(line.strip()) for text in texts for line in text.splitlines())


def step() -> str:
    """Return the files of one training step, in the order in which they are read, and those passed on the way."""
    lines = ["| to read | what happens there |", "| --- | --- |"]
    lines += [f"| [{file}](../tinynet/{file}) | {what} |" for file, what in STEP.items()]
    lines += ["", "| passed on the way | what for |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| [{file}](../tinynet/{file}) | {what} |" for file, what in BESIDE.items())]) + "\n"


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
    return f"{before}{START}\n{step()}\n## Line by line\n\n{house()}\n{END}{after}"


if __name__ == "__main__":
    picture().savefig(PICTURE, metadata={"Date": None})
    files.write_text(PAGE, page(PAGE.read_text(encoding="utf-8")))
