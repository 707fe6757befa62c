"""What every experiment leaves in its folder: what it found, as data and as figures, and a section of a page."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinynet import files, plots
from tinynet.experiments import page
from tinynet.experiments.experiment import Finding

FOUND = "results.json"


def write_finding(
    finding: Finding, folder: Path, *, command: str, data: Mapping[str, Any], facts: Sequence[Sequence[str]]
) -> page.Section:
    """Write ``data`` as results.json and the figures as PNG and SVG; return the section of the page.

    A figure that an earlier finding left in the folder goes if there is none now. ``facts`` are settings by name.
    """
    files.write_json(folder / FOUND, data)
    pictures = []
    for name, caption in finding.experiment.captions.items():
        if name in finding.figures:
            _, svg = plots.save(finding.figures[name], folder / name)
            pictures.append(page.Picture(svg, caption))
        else:
            for ending in (".png", ".svg"):
                (folder / f"{name}{ending}").unlink(missing_ok=True)
    return page.Section(
        name=finding.experiment.name,
        title=finding.experiment.title,
        verdict=str(finding.verdict),
        text=f"{finding.experiment.claim} {finding.experiment.method}",
        table=finding.table,
        pictures=pictures,
        command=command,
        facts=[*facts, ["versions", versions()]],
    )


def versions() -> str:
    """Return what the numbers were computed with."""
    numpy, numba = map(importlib.metadata.version, ("numpy", "numba"))
    return f"Python {platform.python_version()}, NumPy {numpy}, Numba {numba}"


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Return rows as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
