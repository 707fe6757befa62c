"""What an experiment leaves in its folder: plots, tables, data, and the page that shows them."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import json
import math
import platform
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numba
import numpy as np

from tinynet import files, plots
from tinynet.errors import InputError
from tinynet.experiments import page
from tinynet.experiments.compare import ARM_NAMES, CAPTIONS, Comparison, draw, shown
from tinynet.history import COLUMNS, History

PAGE, FOUND, CURVES, RUNS = "report.html", "results.json", "curves.csv", "runs"
OF_A_RUN = re.compile(r"(plain|batch-norm|layer-norm)-seed\d+(-probe)?\.csv")


def place(out: Path, asked: dict[str, Any]) -> Path:
    """Return the folder for a comparison: ``out``, or ``out/2``, ``out/3``, ... if there are other results before it.

    Parameters
    ----------
    out : Path
    asked : dict
        The comparison's `identity`. Its own results are written again.
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


def write(comparison: Comparison, folder: Path, command: str, asked: dict[str, Any]) -> None:
    """Write a comparison: results.json, curves.csv, a history and probe a run, PNG and SVG plots, report.html.

    Parameters
    ----------
    comparison : Comparison
    folder : Path
        From `place`: what is left there of the same comparison, and not written again, is removed.
    command : str
    asked : dict
        The comparison's `identity`.
    """
    files.write_json(folder / FOUND, {"command": command, "comparison": asked, **comparison.as_json()})
    files.write_text(folder / CURVES, _curves_csv(comparison))
    written = set()
    for result in comparison.results:
        name = f"{ARM_NAMES[result.settings.norm].replace(' ', '-')}-seed{result.settings.seed}"
        for kept, ending in ((result.history, ".csv"), (result.probe, "-probe.csv")):
            kept.to_csv(folder / RUNS / f"{name}{ending}")
            written.add(f"{name}{ending}")
    for left in (folder / RUNS).iterdir():  # of runs that were interrupted this time
        if OF_A_RUN.fullmatch(left.name) and left.name not in written:
            left.unlink()
    settings = dataclasses.asdict(comparison.results[0].settings)
    seeds_shown = dict.fromkeys(run.settings.seed for run in shown(comparison).values())
    settings["seed"] = " and ".join(map(str, seeds_shown))
    pictures = []
    figures = draw(comparison)
    for name in CAPTIONS.keys() - figures.keys():
        for ending in (".png", ".svg"):
            (folder / f"{name}{ending}").unlink(missing_ok=True)
    for name, figure in figures.items():
        _, svg = plots.save(figure, folder / name)
        pictures.append(page.Picture(svg, CAPTIONS[name].format(**settings)))
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
    section = page.Section(
        name="comparison",
        title="",
        verdict=comparison.verdict(),
        text="",
        table=comparison.table(),
        pictures=pictures,
        command=command,
        facts=facts,
    )
    page.write(folder / PAGE, title=f"With and without {comparison.names[-1]}", sections=[section])


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
    """Draw the convergence curves of saved runs over each other: the accuracy, or the loss where none has one."""
    histories = {path: _read_history(path) for path in dict.fromkeys(runs)}
    short = {path: str(files.beside(path, "", ENDINGS)) for path in histories}
    twice = {name for name, count in Counter(short.values()).items() if count > 1}
    labels = {path: str(path) if name in twice else name for path, name in short.items()}
    arms = {labels[path].replace("$", r"\$"): [history] for path, history in histories.items()}  # "$x$" is a formula
    tested = any(math.isfinite(value) for history in histories.values() for value in history.validation_accuracy)
    figure, (ax,) = plots.figure()
    plots.curves(arms, ax, measure="accuracy" if tested else "loss")
    with files.replacing(out) as temporary:
        figure.savefig(temporary, format=out.suffix[1:].lower(), dpi=120)


ENDINGS = (".csv", ".json", ".safetensors")


def _read_history(path: Path) -> History:
    file = path if path.name.endswith((".csv", ".json")) else files.beside(path, ".csv")
    if file != path and not file.exists() and path.suffix != ".safetensors":
        raise InputError(f"{path}: a run is a history (.csv, .json), or a network with its history beside it ({file})")
    history = History.from_json(file) if file.name.endswith(".json") else History.from_csv(file)
    if not history.steps:
        raise InputError(f"{path}: has no record yet, as when a training is stopped early; there is nothing to draw")
    return history
