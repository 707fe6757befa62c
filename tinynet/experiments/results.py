"""What every experiment leaves in its folder: what it found, as data and as figures, and a section of a page."""

from __future__ import annotations

import csv
import dataclasses
import importlib.metadata
import io
import itertools
import json
import math
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinynet import files, plots
from tinynet.experiments import page
from tinynet.experiments.arms import NAMES, history
from tinynet.experiments.compare import as_json
from tinynet.experiments.experiment import Finding
from tinynet.history import COLUMNS
from tinynet.probes import Probe

FOUND = "results.json"
PAGE, CURVES, RUNS = "report.html", "curves.csv", "runs"  # of a comparison
OF_A_RUN = re.compile(r"(plain|batch-norm|layer-norm)-seed\d+(-probe)?\.csv")


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


# -- a comparison's folder ----------------------------------------------------------------------------------


def place(out: Path, asked: dict[str, Any]) -> Path:
    """Return the folder for a comparison: ``out``, or ``out/2``, ``out/3``, ... if there are other results before it.

    Its own results, those of the same `identity`, are written again.
    """
    folders = itertools.chain([out], (out / str(k) for k in itertools.count(2)))
    return next(folder for folder in folders if _free(folder, asked))


def _free(folder: Path, asked: dict[str, Any]) -> bool:
    if not any((folder / name).exists() for name in (PAGE, FOUND, CURVES, RUNS)):
        return True
    try:
        found = json.loads((folder / FOUND).read_text(encoding="utf-8"))
        return bool(found["comparison"] == asked)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def write_comparison(finding: Finding, folder: Path, command: str, asked: dict[str, Any]) -> None:
    """Write a comparison: results.json, curves.csv, a history and probe a run, PNG and SVG plots, report.html.

    What is left in the folder, which is from `place`, of the same comparison and not written again is removed.
    """
    unset = {"init": "what suits the activation", "data": "the bundled MNIST"}
    settings = dataclasses.asdict(next(iter(finding.results)))
    facts = [
        [key.replace("_", " "), unset.get(key, "all") if value is None else str(value)]
        for key, value in settings.items()
        if key not in ("norm", "seed", "probed")
    ]
    facts.append(["seeds", ", ".join(map(str, sorted({s.seed for s in finding.results})))])
    data = {"command": command, "comparison": asked, **as_json(finding)}
    # first, for results.json says whose folder it is, should there be no room for the rest
    section = write_finding(finding, folder, command=command, data=data, facts=facts)
    written: set[str] = set()
    curves: list[list[Any]] = [["arm", "seed", *COLUMNS, "diverged", "seconds"]]
    for s, result in finding.results.items():
        made, arm = history(result), NAMES[s.norm]
        path = folder / RUNS / f"{arm.replace(' ', '-')}-seed{s.seed}.csv"
        probe = path.with_name(f"{path.stem}-probe.csv")
        made.to_csv(path)
        Probe(s.record_every, **result["probe"]).to_csv(probe)
        written |= {path.name, probe.name}
        records = zip(*(getattr(made, name) for name in COLUMNS), strict=True)
        seconds = made.seconds or [math.nan] * len(made.steps)
        curves += [[arm, s.seed, *record, int(made.diverged), at] for record, at in zip(records, seconds, strict=True)]
    for left in (folder / RUNS).iterdir():  # of runs that were interrupted this time
        if OF_A_RUN.fullmatch(left.name) and left.name not in written:
            left.unlink()
    files.write_text(folder / CURVES, csv_text(curves))
    title = finding.experiment.title
    page.write(folder / PAGE, title=title, sections=[dataclasses.replace(section, title="", text="")])
