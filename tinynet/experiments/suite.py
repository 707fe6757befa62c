"""All experiments: finding them by name, running them, and writing what they say."""

from __future__ import annotations

import dataclasses
import datetime
import json
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinynet import files
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
    statistics_at_test_time,
    vanishing_gradients,
)
from tinynet.experiments.experiment import QUICK, Experiment, Verdict
from tinynet.experiments.results import CURVES, FOUND, csv_text, versions, write_finding
from tinynet.experiments.runner import available_cores
from tinynet.experiments.sweep import Sweep

HEAD = 100_000  # characters at the start of a results.json: its command is among them, its runs come after
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
    if (out / CURVES).exists():
        raise InputError(f"{out}: has a comparison, made by tinynet compare; choose another folder with --out")
    other = any(_is_quick(out / name / FOUND) not in (quick, None) for name in EXPERIMENTS)
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
    folder = files.writable_folder(out / experiment.name)
    finding = experiment.finding(sweep.results, quick=quick)
    failed = [s for s in experiment.runs(quick) if s in sweep.failures]
    command = f"tinynet run {experiment.name}" + (" --quick" if quick else "")
    about = {
        "experiment": experiment.name,
        "verdict": dataclasses.asdict(finding.verdict),
        "command": command,
        "versions": versions(),
        "table": finding.table,
    }
    runs = {
        "claim": experiment.claim,
        "runs": [{"settings": dataclasses.asdict(s), "result": result} for s, result in finding.results.items()],
        "failed": [{"settings": dataclasses.asdict(s), "error": sweep.failures[s]} for s in failed],
    }
    facts = [["runs", str(len(finding.results))], ["failed runs", str(len(failed))]]
    section = write_finding(finding, folder, command=command, data=about | runs, facts=facts)
    files.write_text(folder / "table.csv", csv_text(finding.table))
    return finding.verdict, dataclasses.replace(section, data=json.dumps(about))


def write_report(sweep: Sweep, *, quick: bool, out: Path) -> list[list[str]]:
    """Write every experiment, report.html with the lab handout, and results.md; return the table of verdicts."""
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


def listed() -> list[list[str]]:
    """Return name and claim of every experiment."""
    return [[experiment.name, experiment.claim] for experiment in EXPERIMENTS.values()]


def unfinished(sweep: Sweep) -> list[str]:
    """Return a line for each error: the settings of a run that failed with it, and how many others did."""
    by_error: dict[str, list[Any]] = {}
    for settings, error in sweep.failures.items():
        by_error.setdefault(error, []).append(settings)
    lines = []
    for error, failed in by_error.items():
        others = f" (and {len(failed) - 1} more alike, see results.json)" if len(failed) > 1 else ""
        lines.append(f"{_shown(failed[0])}: {error}{others}")
    return lines


def _shown(settings: Any) -> str:
    values = ", ".join(f"{key}={value}" for key, value in dataclasses.asdict(settings).items() if value is not None)
    return f"{type(settings).__name__}({values})"
