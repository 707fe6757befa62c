"""What the site needs besides Sphinx's own extensions: formulas as MathML, links to files, the gallery's order."""

import os
import re
import tomllib
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator as HTMLTranslator

ROOT = Path(__file__).parents[2]
TAG = re.compile(r"\\tag\{(.+?)\}")
LINK = re.compile(r"\[(?P<text>[^][]+)\]\((?P<target>(?!\w+:|#)[^)\s]+)\)")
MODULES = ["tinynet", "tinynet.datasets", "tinynet.probes"]  # whose names the reference has for one file's objects
GALLERIES = {"examples": "gallery", "docs/course": "lessons"}  # folders of scripts, and where their pages are made
FIRST = ["first_network", "with_and_without_batch_norm", "gradient_flow", "batch_norm_by_hand", "folding"]


# -- formulas: MathML, which browsers draw by themselves, where MathJax would have to come from a network -------


def mathml(node: nodes.Element, display: str) -> tuple[str, str]:
    """Return a formula in MathML, and its number in HTML or nothing."""
    latex = node.astext().strip().strip("`")  # $`...`$ is the form that other readers of Markdown know
    tag = TAG.search(latex)
    number = f'<span class="eqno">({tag[1]})</span>' if tag else ""
    return convert(TAG.sub("", latex), display=display), number


def visit_inline(self: HTMLTranslator, node: nodes.math) -> None:
    """Write a formula within a line."""
    self.body.append(mathml(node, "inline")[0])
    raise nodes.SkipNode


def visit_block(self: HTMLTranslator, node: nodes.math_block) -> None:
    """Write a formula on a line of its own."""
    formula, number = mathml(node, "block")
    self.body.append(f'<div class="math-block">{number}{formula}</div>\n')
    raise nodes.SkipNode


# -- links: the pages also name files of the repository that are no pages of the site ----------------------------


def repository() -> str | None:
    """Return the address of the public repository, if pyproject.toml has one."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"].get("urls", {})
    return urls.get("Source") or urls.get("Repository")


def link_files(app: Sphinx, docname: str, source: list[str]) -> None:
    """Turn links to files outside docs/ into links to the public repository or, without one, into their names."""
    page = Path(app.env.doc2path(docname))
    if page.suffix != ".md":
        return

    def known(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(page.parent / match["target"].split("#")[0]))
        for folder, gallery in GALLERIES.items():
            if target == ROOT / folder:
                return f"[{match['text']}](/{gallery}/index)"
        if target.is_relative_to(app.srcdir) or not target.is_relative_to(ROOT):
            return match[0]
        path = target.relative_to(ROOT).as_posix()
        address = app.config.house_repository
        return f"[{match['text']}]({address}/{path})" if address else f"`{path}`"

    source[0] = LINK.sub(known, source[0])


def name_anchors(app: Sphinx, doctree: nodes.document) -> None:
    """Give an object an anchor by each of its modules' names: the pages of source link back by any of them."""
    for signature in doctree.findall(addnodes.desc_signature):
        anchors = [f"{module}.{signature.get('fullname')}" for module in MODULES]
        signature["ids"] += [anchor for anchor in anchors if anchor not in signature["ids"]]


# -- the gallery: from the first network on; lessons by their number ---------------------------------------------


class ReadingOrder:
    """Sorts the scripts of a folder: those of FIRST first, then by name."""

    def __init__(self, src_dir: str) -> None:
        self.src_dir = src_dir

    def __call__(self, filename: str) -> tuple[int, str]:
        """Return what to sort by."""
        name = Path(filename).stem
        return FIRST.index(name) if name in FIRST else len(FIRST), name


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of these."""
    app.add_config_value("house_repository", repository(), "env")
    app.add_html_math_renderer("mathml", inline_renderers=(visit_inline, None), block_renderers=(visit_block, None))
    app.connect("source-read", link_files)
    app.connect("doctree-read", name_anchors)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
