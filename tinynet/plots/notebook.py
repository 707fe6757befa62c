"""What a notebook shows of a network, a run and an experiment: HTML without scripts, and pictures.

Nothing is loaded from elsewhere. Text has the notebook's own colours and pictures have a white page, so that both can
be read in a dark theme.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tinynet.plots.charts import Recorded
    from tinynet.plots.graph import Row

DRAWN = 20  # layers: a larger network is not drawn, and its table is folded
SHOWN, SHARP = 72, 2  # dots per inch of a picture on the page, and dots in the file for each of them
CELL = "text-align:left;vertical-align:top;padding:0.2em 0.8em"
NUMBER = CELL.replace("left", "right")


def network_html(kind: str, rows: Sequence[Row], dtype: str) -> str:
    """Return the table of layers, and the drawn graph if it is small.

    Parameters
    ----------
    kind : str
        The network's class.
    rows : sequence of tuple
        As `Network.describe` gives them.
    dtype : str
    """
    layers, total = len(rows) - 1, f"{sum(row[-1] for row in rows):,}"
    summary = (
        f"<b>{html.escape(kind)}</b>, {layers} layer{'s' * (layers != 1)}: "
        f"{rows[0][3]:,} inputs, {rows[-1][3]:,} outputs, {total} parameters, {html.escape(dtype)}"
    )
    cells = [["layer", "settings", "reads", "outputs", "parameters"]]
    cells += [[name, settings, ", ".join(r), f"{width:,}", f"{size:,}"] for name, settings, r, width, size in rows]
    parts = [_table([*cells, ["total", "", "", "", total]], numbers=2)]
    if layers <= DRAWN:
        from tinynet.plots import graph, style

        figure, (ax,) = style.figure()
        figure.set_size_inches(graph.size(rows))
        graph.draw_graph(rows, ax)
        parts.append(_picture(figure, "the layers, from the data at the top to the output"))
    inside = "".join(f"<div>{part}</div>" for part in parts)
    return (
        f"<details{' open' * (layers <= DRAWN)}><summary>{summary}</summary>"
        f'<div style="display:flex;flex-wrap:wrap;gap:2em;align-items:flex-start">{inside}</div></details>'
    )


def finding_html(
    title: str, verdict: str, table: Sequence[Sequence[str]], figures: Sequence[tuple[Figure, str]]
) -> str:
    """Return a claim, the verdict on it, the table, and the figures with their captions."""
    parts = [f"<p><b>{html.escape(title)}</b></p><p>{html.escape(verdict)}</p>", _table(table)]
    for figure, caption in figures:
        parts.append(f'<p style="max-width:60em">{_picture(figure, caption)}<br>{html.escape(caption)}</p>')
    return f"<div>{''.join(parts)}</div>"


def history_figure(run: Recorded, *, accuracy: bool) -> Figure:
    """Return a figure of a run's loss, and of its accuracy beside it."""
    from tinynet import plots

    figure, axes = plots.figure(1 + accuracy, one_scale=False)
    figure.set_size_inches(6 * len(axes), 4.5)
    plots.history(run, axes[0])
    if accuracy:
        plots.history(run, axes[1], measure="accuracy")
    return figure


def png(figure: Figure) -> tuple[bytes, dict[str, int]]:
    """Return a picture and its size on the page, as IPython takes them."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=SHOWN * SHARP)
    width, height = figure.get_size_inches() * SHOWN
    return file.getvalue(), {"width": round(width), "height": round(height)}


def _picture(figure: Figure, text: str) -> str:
    data, size = png(figure)
    return (
        f'<img src="data:image/png;base64,{base64.b64encode(data).decode()}" alt="{html.escape(text)}" '
        f'width="{size["width"]}" style="max-width:100%;height:auto">'
    )


def _table(rows: Sequence[Sequence[str]], numbers: int = 0) -> str:
    """Return a table from text, the header first; the last ``numbers`` columns are numbers."""
    lines = []
    for k, row in enumerate(rows):
        kind = "td" if k else "th"
        styles = [CELL] * (len(row) - numbers) + [NUMBER] * numbers
        cells = zip(row, styles, strict=True)
        lines.append("".join(f'<{kind} style="{style}">{html.escape(text)}</{kind}>' for text, style in cells))
    head, *body = (f"<tr>{line}</tr>" for line in lines)
    table = f'<table style="margin:0.5em 0"><thead>{head}</thead><tbody>{"".join(body)}</tbody></table>'
    return f'<div style="overflow-x:auto">{table}</div>'
