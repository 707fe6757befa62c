"""What tinynet itself writes: histories, comparisons, and the kept runs of experiments."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tinynet.convergence.gathering import Gathering
from tinynet.convergence.logs import Log, Unit
from tinynet.errors import FileFormatError, InputError
from tinynet.history import COLUMNS, History

UNITS: dict[str, Unit] = {"steps": "step", "seconds": "seconds"}  # by the history's name
FIELDS = {field.name for field in dataclasses.fields(History)}
NEEDED = {*COLUMNS, "diverged"}  # what all versions' histories have


def from_history(
    history: History, where: str, *, name: str | None = None, program: str = "tinynet", **about: Any
) -> Log:
    """Return a history as a log; ``about`` is its arm and seed. A run without a validation set has no such curves."""
    if not history.steps:
        raise InputError(f"{where}: has no record yet, as when a training is stopped early; there is nothing to draw")
    columns: dict[str, list[float]] = {n: c for n, c in vars(history).items() if isinstance(c, list) and c}
    columns = {n: c for n, c in columns.items() if n != "seconds" or np.isfinite(c).all()}  # some may not be known
    places = {UNITS[column]: values for column, values in columns.items() if column in UNITS}
    metrics = {column: values for column, values in columns.items() if column not in UNITS}
    gathering = Gathering(where, places)
    for k in range(len(history.steps)):
        at = {unit: values[k] for unit, values in places.items()}
        gathering.add(at, {metric: values[k] for metric, values in metrics.items()}, f"record {k + 1}")
    return measured(gathering.log(name or where, program, diverged=history.diverged, **about))


def measured(log: Log) -> Log:
    """Return tinynet's log without curves of nan alone: that is what it writes where nothing was measured."""
    curves = {n: c for n, c in log.curves.items() if n == "train_loss" or not np.isnan(c.values).all()}
    return dataclasses.replace(log, curves=curves)


def documents(content: Mapping[str, Any], where: str) -> list[Log] | None:
    """Return the logs of tinynet's JSON; None if it is not tinynet's.

    Raises
    ------
    FileFormatError
        If it is, but has no curves, or is damaged.
    """
    if content.keys() >= NEEDED:
        return [from_history(History.from_dict(dict(content), where), where)]
    if content.keys() >= {"settings", "result", "sha256"}:  # a kept run of an experiment
        return [_run(content["settings"], content["result"], where, where, "tinynet experiment")]
    if "verdict" in content and "runs" in content and isinstance(runs := content["runs"], list):
        return [_of_comparison(run, where, k) for k, run in enumerate(runs, 1)]
    if "verdict" in content and "experiment" in content:
        raise FileFormatError(f"{where}: an experiment's findings, and no convergence curves; its runs are kept apart")
    return None


def _of_comparison(run: Any, where: str, place: int) -> Log:
    if not isinstance(run, Mapping) or not {"settings", "history"} <= run.keys():
        raise FileFormatError(f"{where}: run {place} has no settings and history")
    arm = run.get("arm")
    return _run(run["settings"], run["history"], where, None, "tinynet compare", arm if isinstance(arm, str) else None)


def _run(settings: Any, result: Any, where: str, name: str | None, program: str, arm: str | None = None) -> Log:
    if not isinstance(settings, Mapping) or not isinstance(result, Mapping) or not result.keys() >= NEEDED:
        raise FileFormatError(f"{where}: a run without convergence curves: no history is in its result")
    seed, norm = settings.get("seed"), settings.get("norm")
    seed = seed if type(seed) is int else None
    if arm is None and "norm" in settings and isinstance(norm, str | None):
        arm = "plain" if norm is None else f"{norm} norm"
    history = History.from_dict({field: result[field] for field in FIELDS if field in result}, where)
    name = name or f"{where}: {arm}, seed {seed}"
    return from_history(history, where, name=name, program=program, arm=arm, seed=seed)
