"""Tables of measurements: which program wrote one, told by its columns, and what they mean."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath

from tinynet.convergence.formats.rows import Reader, Recipe, plain
from tinynet.convergence.logs import Log, Unit
from tinynet.convergence.metrics import MARKS
from tinynet.convergence.tables import Row, Table
from tinynet.errors import FileFormatError, InputError, unknown_name
from tinynet.files import brief
from tinynet.history import COLUMNS

PLACES: dict[str, Unit] = {  # what columns that say where a value was measured are called
    **dict.fromkeys(("step", "steps", "global_step", "trainer/global_step", "train/global_step"), "step"),
    **dict.fromkeys(("iteration", "iterations", "iter", "update", "updates", "_step"), "step"),
    **dict.fromkeys(("epoch", "epochs", "train/epoch"), "epoch"),
    **dict.fromkeys(("examples", "examples_seen", "samples", "samples_seen"), "examples"),
    **dict.fromkeys(("seconds", "elapsed", "_runtime", "runtime", "relative_time"), "seconds"),
    **dict.fromkeys(("wall_time", "_timestamp", "timestamp", "time"), "seconds"),
}
NOT_ALONE = ("wall_time", "_timestamp", "timestamp", "time")  # these alone do not say that a table is a log
RUNS = ("arm", "run", "run_name", "run_id", "run_uuid", "seed")
SPLITS = ("split", "phase", "mode", "subset", "stage")
STANDARD_INPUT = "standard input"  # in place of a file's name
NAMED = 50  # columns in an error's text, at most
LOOK = 200  # rows that tell the program


# -- which program ------------------------------------------------------------------------------------------


def recognized(table: Table, x: str | None = None, y: str | None = None) -> Recipe:
    """Return how to read a table; it can still be read from its first row.

    Raises
    ------
    InputError
        If x or y names a column that is not there.
    FileFormatError
        If nothing says which column is x; the message has the columns.
    """
    look = list(itertools.islice(table.rows, LOOK))
    table.rows = itertools.chain(look, table.rows)
    if x is not None or y is not None:
        return _chosen(table, x, y)
    columns = [name for name in table.columns if name]
    if not columns:
        raise unknown(table.where, columns)
    for program in (_tinynet, _tensorboard, _mlflow, _wandb_chart, _wandb, _fastai, _keras, _lightning, _any):
        if recipe := program(columns, look, table):
            return recipe
    raise unknown(table.where, columns)


def unknown(where: str, columns: Sequence[str]) -> FileFormatError:
    """Return the error for a table that could be anything."""
    names = brief(", ".join(columns)) or "none"
    return FileFormatError(
        f"{where}: no log of a program that is known here (its columns: {names}); say which of them to draw: "
        f"tinynet plot {'-' if where == STANDARD_INPUT else where} --x COLUMN --y COLUMN"
    )


def _tinynet(columns: list[str], look: list[Row], table: Table) -> Recipe | None:
    if columns == ["step", "layer", "measure", "value"]:
        raise FileFormatError(f"{table.where}: a probe's measurements by layer, and no convergence curves")
    if not {"steps", *COLUMNS[1:], "diverged"} <= set(columns):
        return None
    runs = tuple(name for name in ("arm", "seed") if name in columns)
    return Recipe("tinynet compare" if runs else "tinynet", _places(columns), runs=runs, leave=("diverged",))


def _tensorboard(columns: list[str], look: list[Row], table: Table) -> Recipe | None:
    if columns != ["Wall time", "Step", "Value"]:
        return None
    tag = re.search(r"[-_]tag[-_](.+?)(\.csv)?$", PurePath(table.where).name)
    name = tag[1] if tag else "Value"
    notes = (f"the file's name says what its values are: {name}",) if tag else ()
    x: dict[Unit, str] = {"step": "Step", "seconds": "Wall time"}
    return Recipe("TensorBoard CSV", x, {"Value": ("", name)}, notes=notes)


def _mlflow(columns: list[str], look: list[Row], table: Table) -> Recipe | None:
    if not {"key", "value", "step", "timestamp"} <= set(columns):
        return None
    runs = tuple(name for name in ("run_id", "run_uuid", "run_name") if name in columns)[:1]
    return Recipe("MLflow CSV", {"step": "step", "seconds": "timestamp"}, {}, runs=runs, key="key", value="value")


def _wandb_chart(columns: list[str], look: list[Row], table: Table) -> Recipe | None:
    drawn = [name for name in columns if f"{name}__MIN" in columns]
    if not drawn or columns[0] in drawn:
        return None
    metrics = {name: (run, metric) for name in drawn for run, _, metric in [name.rpartition(" - ")]}
    unit = PLACES.get(plain(columns[0]), "step")
    return Recipe("Weights & Biases chart", {unit: columns[0]}, metrics)


def _wandb(columns: list[str], look: list[Row], table: Table) -> Recipe | None:
    if "_step" not in columns or not {"_runtime", "_timestamp"} & set(columns):
        return None
    places = _places(columns)
    if "_runtime" in columns:
        places["seconds"] = "_runtime"
    return Recipe("Weights & Biases", places, leave=_used(columns), runs=_runs(columns))


def _fastai(columns: list[str], look: list[Row], table: Table) -> Recipe | None:
    if columns[:2] != ["epoch", "train_loss"] or columns[-1] != "time":
        return None
    x: dict[Unit, str] = {"epoch": "epoch", "seconds": "time"}
    return Recipe("fastai CSVLogger", x, epochs="indices", durations=True)


def _keras(columns: list[str], look: list[Row], table: Table) -> Recipe | None:
    """Keras writes its metrics in order of their names, then those of the validation if it did not know them."""
    names = columns[1:]
    training = [name for name in names if not name.startswith("val_")]
    known = names == sorted(names) or names[: len(training)] == sorted(training)
    if columns[0] != "epoch" or "loss" not in names or not known or not look or look[0].cells.get("epoch") == 1:
        return None
    return Recipe("Keras CSVLogger", {"epoch": "epoch"}, epochs="indices")


def _lightning(columns: list[str], look: list[Row], table: Table) -> Recipe | None:
    """Lightning sorts its columns, or has epoch and step side by side after the first metrics; its rows are sparse.

    It counts epochs from 0, and steps so that the 50th is 49: a table of 50, 100, ... is somebody's own.
    """
    if not {"epoch", "step"} < set(columns) or table.kind != "CSV":
        return None
    place = columns.index("epoch")
    ordered = columns == sorted(columns) or (place > 0 and columns[place : place + 2] == ["epoch", "step"])
    sparse = any(None in row.cells.values() for row in look)
    epochs, steps = ([x for row in look if isinstance(x := row.cells.get(n), float)] for n in ("epoch", "step"))
    if not ordered or not steps or not epochs or min(epochs) != 0 or not (sparse or steps[0] % 10 == 9):
        return None
    if max(steps) > 0 and all(step % 10 == 0 for step in steps):
        return None
    return Recipe("Lightning CSVLogger", {"step": "step", "epoch": "epoch"}, first=1, epochs="under way")


def _any(columns: list[str], look: list[Row], table: Table) -> Recipe | None:
    places = _places(columns)
    if all(plain(name) in NOT_ALONE for name in places.values()):
        return None
    split = next((name for name in columns if plain(name) in SPLITS and _splits(name, look)), "")
    return Recipe(table.kind, places, runs=_runs(columns), split=split, leave=(*_used(columns), split))


def _places(columns: Sequence[str]) -> dict[Unit, str]:
    """Return the column of each unit, the one first named in `PLACES`, in the order of the units there."""
    names = {plain(name): name for name in reversed(columns)}
    places: dict[Unit, str] = {}
    for name, unit in PLACES.items():
        if name in names:
            places.setdefault(unit, names[name])
    return places


def _used(columns: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in columns if plain(name) in PLACES)


def _runs(columns: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in columns if plain(name) in RUNS)


def _splits(name: str, look: list[Row]) -> bool:
    cells = {cell.lower() for row in look if isinstance(cell := row.cells.get(name), str)}
    return bool(cells) and cells <= MARKS.keys()


def _missing(table: Table, name: str) -> InputError:
    return unknown_name(f"column of {table.where}", name, map(brief, table.columns[:NAMED]))


def _chosen(table: Table, x: str | None, y: str | None) -> Recipe:
    places = _places(table.columns) if x is None else {PLACES.get(plain(x), "step"): x}
    if not places:
        raise unknown(table.where, table.columns)
    if x is not None and x not in table.columns:
        raise _missing(table, x)
    leave = (*_used(table.columns), *((x,) if x else ()))
    recipe = Recipe(table.kind, places, runs=_runs([n for n in table.columns if n != x]), leave=leave)
    if y is None:
        return recipe
    names = [y] if y in table.columns else [name.strip() for name in y.split(",")]
    for name in names:
        if name not in table.columns:
            raise _missing(table, name)
    runs = tuple(name for name in recipe.runs if name not in names)
    return replace(recipe, runs=runs, metrics={name: ("", name) for name in names})


def logs(table: Table, x: str | None = None, y: str | None = None) -> list[Log]:
    """Return the logs of a table; x and y name columns, y one or more with commas between."""
    return Reader(table, recognized(table, x, y)).logs()
