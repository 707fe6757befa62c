"""Results -> one self-contained HTML page: no script, no file beside it, nothing from a network."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinynet import files

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 18px/1.5 system-ui, sans-serif; color: #111; background: #fff; max-width: 62rem; margin: 2rem auto;
  padding: 0 1rem; }}
h1, h2 {{ line-height: 1.2; }}
.verdict {{ font-size: 1.3rem; border-left: .4rem solid #0072B2; padding: .3rem 1rem; }}
table {{ border-collapse: collapse; font-size: 1.1rem; margin: 1.5rem 0; }}
.wide {{ overflow-x: auto; }}
th, td {{ border-bottom: 1px solid #bbb; padding: .4rem .8rem; text-align: left; }}
figure {{ margin: 2.5rem 0; }}
img {{ width: 100%; height: auto; }}
figcaption {{ color: #333; }}
code {{ background: #f2f2f2; padding: .1rem .3rem; overflow-wrap: anywhere; }}
@media print {{ body {{ font-size: 12px; }} figure {{ break-inside: avoid; }} }}
</style>
</head>
<body>
<h1>{title}</h1>
<p class="verdict">{verdict}</p>
{table}
{figures}
<h2>What was run</h2>
<p><code>{command}</code></p>
{facts}
</body>
</html>
"""


@dataclass(frozen=True)
class Picture:
    """A figure of the page: an SVG file that is put into it, and its caption."""

    svg: Path
    caption: str


def write(
    path: Path,
    *,
    title: str,
    verdict: str,
    table: Sequence[Sequence[str]],
    pictures: Sequence[Picture],
    command: str,
    facts: Sequence[Sequence[str]],
) -> None:
    """Write the page.

    Parameters
    ----------
    path : Path
    title, verdict, command : str
        The command is what a reader types to run the same again.
    table, facts : sequence of rows of str
        Of the results, the header first; and of the settings and versions.
    pictures : sequence of Picture
    """
    figures = "\n".join(_figure(picture) for picture in pictures)
    page = PAGE.format(
        title=html.escape(title),
        verdict=html.escape(verdict),
        table=_table(table),
        figures=figures,
        command=html.escape(command),
        facts=_table([["setting", "value"], *facts]),
    )
    files.write_text(path, page)


def _table(rows: Sequence[Sequence[str]]) -> str:
    header, *body = rows
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    lines = ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in body]
    return (
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(f"<tr>{line}</tr>" for line in lines)
        + "\n</tbody></table></div>"
    )


def _figure(picture: Picture) -> str:
    data = base64.b64encode(picture.svg.read_bytes()).decode("ascii")
    caption = html.escape(picture.caption)
    return (
        f'<figure><img src="data:image/svg+xml;base64,{data}" alt="{caption}">\n'
        f"<figcaption>{caption}</figcaption></figure>"
    )
