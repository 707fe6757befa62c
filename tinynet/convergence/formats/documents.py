"""JSON documents: Hugging Face's state, Keras' history, lists of records, what TensorBoard downloads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tinynet.convergence.formats import columns, own
from tinynet.convergence.formats.columns import PLACES
from tinynet.convergence.formats.rows import Reader, Recipe
from tinynet.convergence.logs import Log, Unit
from tinynet.convergence.tables import Table, from_lists, from_records
from tinynet.errors import FileFormatError
from tinynet.files import brief, parsed_json

HUGGING_FACE = "Hugging Face Trainer"
OF_THE_RUN = (  # Hugging Face's last entry: means and sums over the run
    "total_flos",
    "train_loss",
    "train_runtime",
    "train_samples_per_second",
    "train_steps_per_second",
)


def logs(content: Any, where: str, x: str | None = None, y: str | None = None) -> list[Log]:
    """Return the logs of JSON.

    Raises
    ------
    FileFormatError
        If there are none in it.
    """
    chosen = x is not None or y is not None
    if isinstance(content, Mapping):
        if not chosen and (found := own.documents(content, where)) is not None:
            return found
        if isinstance(content.get("log_history"), list):
            return _hugging_face(content["log_history"], where, x, y)
        if not chosen and (records := _trackio(content)) is not None:
            return _of_trackio(records, where)
        inner = content.get("history")  # a Keras History object as a whole
        lists = _lists(inner if isinstance(inner, Mapping) else content)
        if not lists:
            raise columns.unknown(where, [str(name) for name in content])
        table = from_lists(where, lists)
        if chosen or any(name.lower() in PLACES for name in lists):
            return columns.logs(table, x, y)
        return _keras(table)
    if isinstance(content, list) and content:
        if all(isinstance(one, list) and len(one) == 3 for one in content):
            return _tensorboard(content, where, x, y)
        return columns.logs(from_records(where, content), x, y)
    raise FileFormatError(f"{where}: no log: its JSON is {brief(content)!r}")


def _lists(content: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the lists in an object; pandas writes a list as an object with the names "0", "1", ..."""
    lists = {}
    for name, values in content.items():
        if isinstance(values, Mapping) and values and all(key == str(k) for k, key in enumerate(values)):
            values = list(values.values())
        if isinstance(values, list):
            lists[str(name)] = values
    return lists


def _keras(table: Table) -> list[Log]:
    """Read `History.history`, which has a value an epoch, or one every few epochs of validation."""
    length = 0

    def counted() -> Any:
        nonlocal length
        for row in table.rows:
            length = row.line
            yield row._replace(cells={**row.cells, "epoch": float(row.line)})

    names = table.columns
    made = Table(table.where, table.kind, [*names, "epoch"], counted())
    [log] = Reader(made, Recipe("Keras History", {"epoch": "epoch"}, epochs="completed")).logs()
    short = [name for name, curve in log.curves.items() if curve.x["epoch"][-1] < length]
    if not short:
        return [log]
    kept = {name: curve for name, curve in log.curves.items() if name not in short}
    note = f"{', '.join(short)}: left out, since it has fewer values than there are epochs, so when is not known"
    return [replace(log, curves=kept, notes=(*log.notes, note))]


def _hugging_face(entries: list[Any], where: str, x: str | None, y: str | None) -> list[Log]:
    table = from_records(where, entries)
    if x is not None or y is not None:
        return columns.logs(table, x, y)
    if not {"step", "epoch"} <= set(table.columns):
        raise FileFormatError(f"{where}: its log_history has no step and epoch, as when a training has just begun")
    at_end = "train_runtime" in table.columns
    notes = ("train_loss, of the whole run, was left out",) if at_end else ()
    leave = OF_THE_RUN if at_end else ()
    places: dict[Unit, str] = {"step": "step", "epoch": "epoch"}
    recipe = Recipe(HUGGING_FACE, places, leave=leave, notes=notes, epochs="completed")
    return Reader(table, recipe).logs()


def last_states(logs: Sequence[Log]) -> list[Log]:
    """Return logs without those of a Hugging Face run's checkpoints, each of which has the log up to there.

    Such a log is the beginning of another one, number for number.
    """
    ours = [k for k, log in enumerate(logs) if log.program == HUGGING_FACE]
    ours.sort(key=lambda k: (-sum(map(len, logs[k].curves.values())), len(logs[k].name)))
    last: dict[int, list[str]] = {}
    for k in ours:
        whole = next((n for n in last if _begins(logs[n], logs[k])), None)
        if whole is None:
            last[k] = []
        else:
            last[whole].append(logs[k].name)
    out = []
    for k, log in enumerate(logs):
        if log.program != HUGGING_FACE or (k in last and not last[k]):
            out.append(log)
        elif k in last:
            out.append(replace(log, notes=(*log.notes, f"left out, with its beginning: {brief(', '.join(last[k]))}")))
    return out


def _begins(whole: Log, part: Log) -> bool:
    """Tell whether all values of a log are the first ones of another."""
    for name, curve in part.curves.items():
        other = whole.curves.get(name)
        if other is None or not np.array_equal(other.values[: len(curve)], curve.values, equal_nan=True):
            return False
        if any(not np.array_equal(other.x[unit][: len(curve)], at) for unit, at in curve.x.items() if unit in other.x):
            return False
    return True


def _trackio(content: Mapping[str, Any]) -> list[Any] | None:
    """Return the records of what trackio prints with --json: a metric, a run's metrics, or its table."""
    if "project" not in content:
        return None
    metrics = {content.get("metric"): content.get("values")} if "values" in content else content.get("metrics")
    if isinstance(metrics, Mapping):
        lists = [(n, values) for n, values in metrics.items() if isinstance(values, list) and n not in PLACES]
        made = [(name, value) for name, values in lists for value in values]
        return [{**value, "key": name} for name, value in made if isinstance(value, Mapping)] or None
    rows = content.get("rows")
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) and "metrics" in row for row in rows):
        return None
    records: list[Any] = []
    for row in rows:
        about = {name: row[name] for name in ("step", "timestamp", "run_name") if name in row}
        inner = row["metrics"]
        inner = parsed_json(inner, "trackio's column metrics") if isinstance(inner, str) else inner
        records.append({**inner, **about} if isinstance(inner, Mapping) else about)
    return records


def _of_trackio(records: list[Any], where: str) -> list[Log]:
    table = from_records(where, records)
    if "step" not in table.columns:
        raise columns.unknown(where, table.columns)
    x: dict[Unit, str] = {"step": "step"}
    if "timestamp" in table.columns:
        x["seconds"] = "timestamp"
    if "key" in table.columns:
        recipe = Recipe("trackio", x, {}, key="key", value="value")
    else:
        runs = tuple(name for name in ("run_name",) if name in table.columns)
        if "epoch" in table.columns:
            x["epoch"] = "epoch"
        recipe = Recipe("trackio", x, runs=runs)
    return Reader(table, recipe).logs()


def _tensorboard(content: list[Any], where: str, x: str | None, y: str | None) -> list[Log]:
    records = [dict(zip(("Wall time", "Step", "Value"), one, strict=True)) for one in content]
    found = columns.logs(from_records(where, records), x, y)
    return [replace(log, program=log.program.replace("CSV", "JSON")) for log in found]
