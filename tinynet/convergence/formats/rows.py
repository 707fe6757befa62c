"""Rows of a table made into the logs of runs, by a recipe that says what the columns are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from tinynet.convergence.formats import own
from tinynet.convergence.gathering import Epochs, Gathering, Room
from tinynet.convergence.logs import Log, Unit
from tinynet.convergence.tables import Row, Table
from tinynet.errors import FileFormatError, InputError
from tinynet.files import brief

CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)", re.ASCII)
RUN_LIMIT = 10_000


@dataclass(frozen=True)
class Recipe:
    """How a table's rows are measurements.

    Attributes
    ----------
    program : str
    x : mapping of str to str
        The column of each unit. By the first one the rows are in order.
    metrics : mapping of str to (str, str), optional
        The columns with values: of which run, and of what. None for all columns of numbers that mean nothing else,
        also those that come up later.
    runs : tuple of str
        Columns that say whose values they are.
    key : str
        A column that names the metric, whose value is in ``value``.
    split : str
        A column that says on which data the row was measured.
    first : int
        What is added to a step: 1 if the program counts updates from 0.
    epochs : {"completed", "unknown", "indices", "under way"}
        What the column "epoch" counts.
    durations : bool
        Whether the column of seconds has each row's own time, to be added up.
    leave : tuple of str
        Columns that are no metrics.
    """

    program: str
    x: Mapping[Unit, str]
    metrics: Mapping[str, tuple[str, str]] | None = None
    runs: tuple[str, ...] = ()
    key: str = ""
    value: str = ""
    split: str = ""
    first: int = 0
    epochs: Epochs = "unknown"
    durations: bool = False
    leave: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @cached_property
    def used(self) -> frozenset[str]:
        """Columns that are no metrics, if those are all others."""
        return frozenset((*self.x.values(), *self.runs, *self.leave, ""))


@dataclass
class _Run:
    gathering: Gathering
    diverged: bool = False
    seconds: float = 0.0


@dataclass
class Reader:
    """The runs of a table, as its rows come."""

    table: Table
    recipe: Recipe
    runs: dict[tuple[object, ...], _Run] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)  # columns with something other than numbers, and what
    begun: bool = False
    room: Room = field(default_factory=Room)

    def logs(self) -> list[Log]:
        """Read all rows; return a log for each run, in the order in which they begin."""
        for row in self.table.rows:
            self._add(row)
        if not self.runs:
            raise FileFormatError(f"{self.table.where}: {self._nothing()}")
        broken = [name for name in self.texts if any(self._metrics(name, run) for run in self.runs.values())]
        return [self._log(key, run, broken) for key, run in self.runs.items()]

    def _nothing(self) -> str:
        asked = [name for name in self.recipe.metrics or () if name in self.texts]
        if asked:
            return f"column {asked[0]!r} has {self.texts[asked[0]]}, not numbers"
        return "no number in it" if self.begun else "columns, but no row yet"

    def _metrics(self, column: str, run: _Run) -> list[str]:
        """Return the metrics of a run that come from a column."""
        metric = (self.recipe.metrics or {}).get(column, ("", column))[1]
        found = run.gathering.metrics
        if self.recipe.split:
            return [name for name in found if name == metric or name.endswith(f"_{metric}")]
        return [metric] if metric in found else []

    def _add(self, row: Row) -> None:
        recipe, cells = self.recipe, row.cells
        self.begun = True
        at: dict[Unit, float] = {}
        for unit, name in recipe.x.items():
            place = cells.get(name)
            if isinstance(place, str):
                place = self._place(unit, name, place, row)
            if place is not None:
                at[unit] = place
        before = f"{cells[recipe.split]}_" if recipe.split and cells.get(recipe.split) else ""
        by_run: dict[str, dict[str, float]] = {}
        if recipe.key:
            value = cells.get(recipe.value)
            if isinstance(value, float) and cells.get(recipe.key) is not None:
                by_run[""] = {str(cells[recipe.key]): value}
        elif recipe.metrics is None:
            values = by_run[""] = {}
            for name, value in cells.items():
                if name in recipe.used:
                    continue
                if isinstance(value, float):
                    values[before + name if before else name] = value
                elif value is not None:
                    self._text(name, value, row)
        else:
            for name, (whose, metric) in recipe.metrics.items():
                value = cells.get(name)
                if isinstance(value, float):
                    by_run.setdefault(whose, {})[metric] = value
                elif value is not None:
                    self._text(name, value, row)
        if recipe.first:
            self._from_1(at, [metric for values in by_run.values() for metric in values])
        whose_row = tuple(cells.get(name) for name in recipe.runs)
        for whose, values in by_run.items():
            run = self._run((*whose_row, whose))
            here = at
            if recipe.durations and "seconds" in at:
                run.seconds = at["seconds"] + (0 if row.again and at.get("epoch") == 0 else run.seconds)
                here = at | {"seconds": run.seconds}
            if "diverged" in recipe.leave and cells.get("diverged") == 1:
                run.diverged = True
            run.gathering.add(here, values, row.line, again=row.again)

    def _from_1(self, at: dict[Unit, float], metrics: list[str]) -> None:
        """Count the update under way as made. A test after the training has none under way, and no pass either."""
        if not metrics or not all(metric.startswith("test") for metric in metrics):
            if "step" in at:
                at["step"] += self.recipe.first
        elif "epoch" in at:
            at["epoch"] -= 1

    def _text(self, name: str, value: str, row: Row) -> None:
        self.texts.setdefault(name, f"{brief(value)!r} in line {row.line}")

    def _run(self, key: tuple[object, ...]) -> _Run:
        if key not in self.runs:
            if len(self.runs) >= RUN_LIMIT:
                raise FileFormatError(f"{self.table.where}: more than {RUN_LIMIT:,} runs")
            names = {unit: f"column {name!r}" for unit, name in self.recipe.x.items()}
            gathering = Gathering(self.table.where, self.recipe.x, names, together=not self.recipe.key, room=self.room)
            self.runs[key] = _Run(gathering)
        return self.runs[key]

    def _place(self, unit: Unit, name: str, text: str, row: Row) -> float | None:
        """Return the place that a text means; None if it is none, and the rows are ordered by another."""
        if unit == "seconds" and (seconds := _seconds(text)) is not None:
            return seconds
        if unit == next(iter(self.recipe.x)):
            where = f"{self.table.where}: line {row.line}, column {name!r}"
            raise InputError(f"{where}: {brief(text)!r} is not a number")
        return None

    def _log(self, key: tuple[object, ...], run: _Run, broken: list[str]) -> Log:
        recipe = self.recipe
        for metric in [metric for name in broken for metric in self._metrics(name, run)]:
            run.gathering.metrics.pop(metric, None)
        notes = [*recipe.notes, *self.table.notes]
        notes += [f"{name}: left out, since it has {self.texts[name]}, not a number" for name in broken]
        *parts, whose = key
        named = {plain(name): value for name, value in zip(recipe.runs, parts, strict=True)}
        seed = named.get("seed")
        seed = int(seed) if isinstance(seed, float) and seed.is_integer() else None
        arm = str(named["arm"]) if named.get("arm") is not None else None
        words = [_word(name, value) for name, value in named.items() if value is not None]
        words += [str(whose)] if whose else []
        name = ": ".join([self.table.where, ", ".join(words)]) if words and len(self.runs) > 1 else self.table.where
        log = run.gathering.log(
            name, recipe.program, arm=arm, seed=seed, diverged=run.diverged, notes=notes, epochs=recipe.epochs
        )
        return own.measured(log) if recipe.program.startswith("tinynet") else log


def _seconds(text: str) -> float | None:
    """Return the seconds of a duration, such as 01:30, or since 1970 of a date and time; None if it is neither."""
    if clock := CLOCK.fullmatch(text):
        hours, minutes, seconds = (float(part or 0) for part in clock.groups())
        return 3600 * hours + 60 * minutes + seconds
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _word(name: str, value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"seed {text}" if name == "seed" else text


def plain(name: str) -> str:
    """Return a column's name as it is compared: in small letters, with _ for a space."""
    return name.strip().lower().replace(" ", "_")
