"""Results -> one self-contained HTML page, no file beside it, nothing from a network; or a page in Markdown."""

import base64
import html
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinynet import files
from tinynet.text import markdown

TEMPLATE = Path(__file__).parent / "page.template.html"
LAB = Path(__file__).parent / "page.lab.html"
Table = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """A figure of the page: an SVG file that is put into it, and its caption."""

    svg: Path
    caption: str


@dataclass(frozen=True)
class Section:
    """One question and its answer."""

    name: str  # its place on the page: ``#name``
    title: str
    verdict: str  # a sentence
    text: str  # what is claimed and what was run
    table: Table  # the header first
    pictures: Sequence[Picture]
    command: str  # what a reader types to run the same again
    facts: Table = ()  # settings and versions, by name
    data: str = ""  # a JSON text that the page offers to save


def write(
    path: Path,
    *,
    title: str,
    sections: Sequence[Section],
    summary: Table = (),
    lab: dict[str, Any] | None = None,
    note: str = "",
) -> None:
    """Write the page.

    Parameters
    ----------
    path : Path
    title : str
    sections : sequence of Section
    summary : rows of str
        The header, then for each section a row whose first cell links to it.
    lab : dict, optional
        The grid of the lab handout, as `tinynet.experiments.lab` makes it.
    note : str
        What a reader is to know before all else, under the title.
    """
    body = [f"<h1>{html.escape(title)}</h1>"]
    if note:
        body.append(f"<p><strong>{html.escape(note)}</strong></p>")
    if summary:
        header, *rows = summary
        linked = [
            [f'<a href="#{section.name}">{html.escape(row[0])}</a>', *map(html.escape, row[1:])]
            for section, row in zip(sections, rows, strict=True)
        ]
        body.append(_table(header, linked))
    if lab is not None:
        # "<" is escaped so that no text in the data can end the script element
        data = json.dumps(lab, allow_nan=False).replace("<", "\\u003c")
        body.append(LAB.read_text(encoding="utf-8").replace("{{data}}", data))
    body += [_section(section) for section in sections]
    page = TEMPLATE.read_text(encoding="utf-8")
    files.write_text(path, page.replace("{{title}}", html.escape(title)).replace("{{body}}", "\n".join(body)))


def write_markdown(
    path: Path, *, title: str, made: str, sections: Sequence[Section], summary: Table, note: str = ""
) -> None:
    """Write the page in Markdown, its pictures, which are PNG files, beside it in a folder ``images``.

    Parameters
    ----------
    path, title, summary, note
        As for `write`.
    made : str
        By which command, when and where.
    sections : sequence of Section
        The file beside each picture's SVG that ends in ``.png`` is copied.
    """
    header, *rows = summary
    linked = [[f"[{row[0]}](#{_slug(section.title)})", *row[1:]] for section, row in zip(sections, rows, strict=True)]
    parts = [f"# {title}", f"Written by {made}.", *([f"**{note}**"] if note else []), markdown([header, *linked])]
    images = files.writable_folder(path.parent / "images")
    for section in sections:
        outcome, _, sentence = section.verdict.partition(": ")
        parts += [f"## {section.title}", f"**{outcome}.** {sentence}", section.text]
        for picture in section.pictures:
            name = f"{path.stem}_{section.name}_{picture.svg.stem}.png"
            shutil.copyfile(picture.svg.with_suffix(".png"), images / name)
            words = f"{section.title}: {picture.svg.stem.replace('_', ' ')}"
            parts += [f"![{words}](images/{name})", f"*{picture.caption}*"]
        facts = "; ".join(f"{value} {fact}" for fact, value in section.facts if fact != "versions")
        parts += [markdown(section.table), f"Run it again: `{section.command}` ({facts})."]
    files.write_text(path, "\n\n".join(parts) + "\n")


def _slug(heading: str) -> str:
    """Return the anchor that Markdown's readers give a heading."""
    return "".join(c for c in heading.lower().replace(" ", "-") if c.isalnum() or c in "-_")


def _section(section: Section) -> str:
    parts = [f'<section id="{section.name}">']
    if section.title:
        parts.append(f"<h2>{html.escape(section.title)}</h2>")
    parts.append(f'<p class="verdict">{html.escape(section.verdict)}</p>')
    if section.text:
        parts.append(f"<p>{html.escape(section.text)}</p>")
    header, *rows = section.table
    parts.append(_table(header, [[html.escape(cell) for cell in row] for row in rows]))
    parts += [_figure(picture) for picture in section.pictures]
    parts.append(f"<p>Run it again: <code>{html.escape(section.command)}</code></p>")
    if section.facts:
        parts.append(_table(["setting", "value"], [[html.escape(cell) for cell in row] for row in section.facts]))
    if section.data:
        data = base64.b64encode(section.data.encode()).decode("ascii")
        link = f"data:application/json;base64,{data}"
        parts.append(f'<p><a download="{section.name}.json" href="{link}">The data of this section (JSON)</a></p>')
    return "\n".join([*parts, "</section>"])


def _table(header: Sequence[str], rows: Table) -> str:
    """Return a table; the cells of ``rows`` are HTML, those of the header text."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    lines = ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows]
    return (
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(lines)
        + "\n</tbody></table></div>"
    )


def _figure(picture: Picture) -> str:
    data = base64.b64encode(picture.svg.read_bytes()).decode("ascii")
    caption = html.escape(picture.caption)
    return (
        f'<figure><img src="data:image/svg+xml;base64,{data}" alt="{caption}">\n'
        f"<figcaption>{caption}</figcaption></figure>"
    )
