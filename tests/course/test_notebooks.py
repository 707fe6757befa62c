"""A lesson as the notebook that the site offers, in a kernel: unsolved, and then with its solutions."""

import ast
import json
import re

import numpy as np
import pytest

from tests.jupyter import ROOT, kernel, printed

sphinx_gallery = pytest.importorskip("sphinx_gallery", reason="not installed: uv sync --group docs")
COURSE = ROOT / "docs" / "course"


def first_cell():
    """Return the notebooks' first cell; the site's settings cannot be imported without effects."""
    tree = ast.parse((ROOT / "docs" / "conf.py").read_text(encoding="utf-8"))
    (found,) = (
        value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and key.value == "first_notebook_cell"
    )
    return found


def cells(path):
    """Return the code of a script's notebook, cell by cell, made as the site makes it."""
    from sphinx_gallery.gen_gallery import DEFAULT_GALLERY_CONF
    from sphinx_gallery.notebook import jupyter_notebook
    from sphinx_gallery.py_source_parser import split_code_and_text_blocks

    settings = DEFAULT_GALLERY_CONF | {"first_notebook_cell": first_cell()}
    notebook = jupyter_notebook(split_code_and_text_blocks(str(path))[1], settings, str(path.parent))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


@pytest.mark.slow
def test_a_lesson_and_its_solution_run_in_a_kernel(tmp_path):
    with kernel(tmp_path) as run:
        lesson = cells(COURSE / "lesson_1_graph.py")
        assert lesson[0] == first_cell()
        by_cell = [run(code) for code in lesson]
        assert by_cell[-1] == []  # plt.show() is for scripts: here each figure stands under its own cell
        shown = [message for messages in by_cell for message in messages]
        assert re.findall(r"exercise (1\.\d): not done yet", printed(shown)) == ["1.1", "1.2", "1.3"]
        assert {content.get("name") for _, content in shown} == {None, "stdout"}  # no warning on stderr
        pictures = [content["data"] for kind, content in shown if kind == "display_data"]
        assert len(pictures) == 3
        assert all("image/png" in data for data in pictures)
        assert not [kind for kind, _ in shown if kind == "execute_result"]  # the value of a last line is shown, too

        accuracy = json.loads(
            printed(run("import json; print(json.dumps({arm: rows.tolist() for arm, rows in accuracy.items()}))"))
        )
        plain, relu = np.array(accuracy["no activation"]), np.array(accuracy["ReLU"])
        assert np.ptp(plain) < 0.1
        assert plain.max() < 0.7
        assert relu[:, -1].min() > 0.95

        said = printed(run("def forward(x, params):\n    h = x @ params['dense_1']\n\ncheck.forward_by_hand(forward)"))
        assert "in the line `h = x @ params['dense_1']` with KeyError: 'dense_1'; the names here are" in said
        shown = [message for code in cells(COURSE / "solutions" / "lesson_1.py") for message in run(code)]
        assert re.findall(r"exercise (1\.\d): right", printed(shown)) == ["1.1", "1.2", "1.3"]


@pytest.mark.slow
def test_the_first_cell_installs_what_is_missing_or_says_what_to_do(tmp_path):
    hidden = "import sys; sys.modules['tinynet'] = None"  # what an import of it finds
    with kernel(tmp_path) as run:
        run(first_cell())
        run("tried = []\nget_ipython().register_magic_function(tried.append, magic_name='pip')")
        run(first_cell())
        assert printed(run("print(tried)")) == "[]\n"
        run(hidden)
        code = first_cell().replace("\n", "\n    ")
        said = printed(run(f"try:\n    {code}\nexcept ImportError as error:\n    print(tried, error)"))
    assert said.startswith("['install --quiet --find-links . tinynet-lab'] tinynet is still missing. In a copy")
