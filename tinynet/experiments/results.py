"""What an experiment leaves in its folder: plots, tables, data, and the page that shows them."""

from __future__ import annotations

import csv
import dataclasses
import io
import platform
from collections.abc import Sequence
from pathlib import Path

import numba
import numpy as np

from tinynet import files, plots, report
from tinynet.errors import InputError
from tinynet.experiments.compare import ARM_NAMES, CAPTIONS, Comparison, draw
from tinynet.history import COLUMNS, History


def write(comparison: Comparison, folder: Path, command: str) -> None:
    """Write a comparison: results.json, curves.csv, a history and probe a run, PNG and SVG plots, report.html."""
    files.write_json(folder / "results.json", {"command": command, **comparison.as_json()})
    files.write_text(folder / "curves.csv", _curves_csv(comparison))
    for result in comparison.results:
        name = f"{ARM_NAMES[result.settings.norm].replace(' ', '-')}-seed{result.settings.seed}"
        result.history.to_csv(folder / "runs" / f"{name}.csv")
        result.probe.to_csv(folder / "runs" / f"{name}-probe.csv")
    settings = dataclasses.asdict(comparison.results[0].settings)
    pictures = []
    for name, figure in draw(comparison).items():
        _, svg = plots.save(figure, folder / name)
        pictures.append(report.Picture(svg, CAPTIONS[name].format(**settings)))
    for key in ("norm", "seed", "probed"):
        del settings[key]
    seeds = sorted({result.settings.seed for result in comparison.results})
    unset = {"init": "what suits the activation", "data": "the bundled MNIST"}
    facts = [
        [key.replace("_", " "), unset.get(key, "all") if value is None else str(value)]
        for key, value in settings.items()
    ]
    facts.append(["seeds", ", ".join(map(str, seeds))])
    facts.append(["versions", versions()])
    section = report.Section(
        name="comparison",
        title="",
        verdict=comparison.verdict(),
        text="",
        table=comparison.table(),
        pictures=pictures,
        command=command,
        facts=facts,
    )
    report.write(folder / "report.html", title=f"With and without {comparison.names[-1]}", sections=[section])


def versions() -> str:
    """Return what the numbers were computed with."""
    return f"Python {platform.python_version()}, NumPy {np.__version__}, Numba {numba.__version__}"


def _curves_csv(comparison: Comparison) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["arm", "seed", *COLUMNS, "diverged"])
    for result in comparison.results:
        history = result.history
        for record in zip(*(getattr(history, name) for name in COLUMNS), strict=True):
            arm = ARM_NAMES[result.settings.norm]
            writer.writerow([arm, result.settings.seed, *record, int(history.diverged)])
    return text.getvalue()


def plot_histories(runs: Sequence[Path], out: Path) -> None:
    """Draw the convergence curves of saved runs over each other."""
    histories = {str(path.with_suffix("")): [_read_history(path)] for path in runs}
    figure, (ax,) = plots.figure()
    plots.curves(histories, ax)
    with files.replacing(out) as temporary:
        figure.savefig(temporary, format=out.suffix[1:].lower(), dpi=120)


def _read_history(path: Path) -> History:
    if path.suffix not in (".csv", ".json", ".safetensors"):
        raise InputError(f"{path}: a run is a history (.csv, .json) or a network saved beside one (.safetensors)")
    history = History.from_json(path) if path.suffix == ".json" else History.from_csv(path.with_suffix(".csv"))
    if not history.steps:
        raise InputError(f"{path}: has no record yet, as when a training is stopped early; there is nothing to draw")
    return history
