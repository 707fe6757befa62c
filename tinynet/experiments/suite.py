"""All experiments: finding them by name, running them, and writing what they say."""

from __future__ import annotations

import csv
import dataclasses
import datetime
import io
import json
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinynet import files, plots
from tinynet.errors import InputError, unknown_name
from tinynet.experiments import (
    dissection,
    figure_1,
    initialization,
    lab,
    learning_rate,
    page,
    prediction_cost,
    regularization,
    results,
    statistics_at_test_time,
    vanishing_gradients,
)
from tinynet.experiments.experiment import QUICK, Experiment, Results, Verdict
from tinynet.experiments.results import versions
from tinynet.experiments.runner import available_cores
from tinynet.experiments.sweep import Sweep

HEAD = 100_000  # characters of a results.json that have its command; the runs come after it
EXPERIMENTS: dict[str, Experiment] = {
    module.EXPERIMENT.name: module.EXPERIMENT
    for module in (
        vanishing_gradients,
        learning_rate,
        initialization,
        regularization,
        prediction_cost,
        figure_1,
        statistics_at_test_time,
        dissection,
    )
}


def find(names: Sequence[str]) -> list[Experiment]:
    """Return the experiments of these names, each once.

    Parameters
    ----------
    names : sequence of str
        As ``tinynet list`` prints them.

    Raises
    ------
    InputError
        If one is unknown; it suggests the nearest.
    """
    for name in names:
        if name not in EXPERIMENTS:
            raise unknown_name("experiment", name, EXPERIMENTS)
    return [EXPERIMENTS[name] for name in dict.fromkeys(names)]


def place(out: Path, quick: bool) -> Path:
    """Return the folder for results of this form: ``out``, or one in it if there are those of the other form.

    Raises
    ------
    InputError
        If what is there is a comparison, of `tinynet compare`.
    """
    if (out / results.CURVES).exists():
        raise InputError(f"{out}: has a comparison, made by tinynet compare; choose another folder with --out")
    other = any(_is_quick(out / name / results.FOUND) not in (quick, None) for name in EXPERIMENTS)
    return out / ("quick" if quick else "full") if other else out


def _is_quick(found: Path) -> bool | None:
    """Return whether a results.json is of the quick form; None if there is none."""
    try:
        with found.open(encoding="utf-8") as file:
            made = re.search(r'"command": "tinynet run [^ "]+( --quick)?"', file.read(HEAD))
    except (OSError, UnicodeDecodeError):
        return None
    return None if made is None else made[1] is not None


def write(experiment: Experiment, sweep: Sweep, *, quick: bool, out: Path) -> tuple[Verdict, page.Section]:
    """Write an experiment's results, table and figures under its name; return its verdict and its section."""
    wanted = experiment.runs(quick)
    found: Results = {s: sweep.results[s] for s in wanted if s in sweep.results}
    failed = [s for s in wanted if s in sweep.failures]
    folder = files.writable_folder(out / experiment.name)
    finding = experiment.finding(found, quick=quick)
    verdict, table = finding.verdict, finding.table
    pictures = []
    for name in experiment.captions.keys() - finding.figures.keys():
        for ending in (".png", ".svg"):  # of before, when there was something to draw
            (folder / f"{name}{ending}").unlink(missing_ok=True)
    for name, figure in finding.figures.items():
        _, svg = plots.save(figure, folder / name)
        pictures.append(page.Picture(svg, experiment.captions[name]))
    command = f"tinynet run {experiment.name}" + (" --quick" if quick else "")
    data = {
        "experiment": experiment.name,
        "claim": experiment.claim,
        "verdict": dataclasses.asdict(verdict),
        "command": command,
        "versions": versions(),
        "table": table,
        "runs": [{"settings": dataclasses.asdict(s), "result": result} for s, result in found.items()],
        "failed": [{"settings": dataclasses.asdict(s), "error": sweep.failures[s]} for s in failed],
    }
    files.write_json(folder / "results.json", data)
    files.write_text(folder / "table.csv", _csv(table))
    section = page.Section(
        name=experiment.name,
        title=experiment.title,
        verdict=str(verdict),
        text=f"{experiment.claim} {experiment.method}",
        table=table,
        pictures=pictures,
        command=command,
        facts=[["runs", str(len(found))], ["failed runs", str(len(failed))], ["versions", versions()]],
        data=json.dumps({key: data[key] for key in ("experiment", "verdict", "command", "versions", "table")}),
    )
    return verdict, section


def write_report(sweep: Sweep, *, quick: bool, out: Path) -> list[list[str]]:
    """Write every experiment, report.html with the lab handout, results.md; return the table of verdicts."""
    written = [(e, *write(e, sweep, quick=quick, out=out)) for e in EXPERIMENTS.values()]
    header = ["claim", "verdict", "measured"]
    summary = [header, *([e.title, verdict.outcome, verdict.headline] for e, verdict, _ in written)]
    sections = [section for _, _, section in written]
    note = QUICK if quick else ""
    page.write(
        out / "report.html",
        title="What batch normalization does, measured",
        sections=sections,
        summary=summary,
        lab=lab.grid(sweep.results, quick),
        note=note,
    )
    command = "tinynet report" + (" --quick" if quick else "")
    day, cores = datetime.date.today().isoformat(), available_cores()
    made = f"`{command}` on {day}, on {platform.machine()} with {cores} cores, {versions()}"
    page.write_markdown(out / "results.md", title="Results", made=made, sections=sections, summary=summary, note=note)
    return summary


def _csv(table: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(table)
    return text.getvalue()


def listed() -> list[list[str]]:
    """Return name and claim of every experiment."""
    return [[experiment.name, experiment.claim] for experiment in EXPERIMENTS.values()]


def unfinished(sweep: Sweep) -> list[str]:
    """Return a line for each error: the settings of the run that failed by it, and how many others did."""
    by_error: dict[str, list[Any]] = {}
    for settings, error in sweep.failures.items():
        by_error.setdefault(error, []).append(settings)
    lines = []
    for error, failed in by_error.items():
        others = f" (and {len(failed) - 1} more alike, see results.json)" if len(failed) > 1 else ""
        lines.append(f"{_words(failed[0])}: {error}{others}")
    return lines


def _words(settings: Any) -> str:
    values = ", ".join(f"{key}={value}" for key, value in dataclasses.asdict(settings).items() if value is not None)
    return f"{type(settings).__name__}({values})"
