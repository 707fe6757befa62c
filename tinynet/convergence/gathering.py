"""A run's measurements, one at a time, made into curves: restarts, long logs, and what numbers mean."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tinynet.convergence.logs import Curve, Log, Unit
from tinynet.convergence.metrics import meaning
from tinynet.convergence.places import epochs_completed, parts_of_passes, seconds_from_first
from tinynet.errors import FileFormatError, InputError
from tinynet.typing import Array

Epochs = Literal["completed", "unknown", "indices", "under way"]
MOST = 100_000  # points kept of a curve
MOST_TOGETHER = 10_000_000  # of all curves of a file: some 300 MB
LEAST = 100  # kept of each, however many curves there are
CURVE_LIMIT = 100_000  # of a file


class Points:
    """One metric's measurements under way: every one at first, and once there are too many, every 2nd, 4th, ..."""

    def __init__(self, units: Iterable[Unit]) -> None:
        self.values = array("d")
        self.x: dict[Unit, array[float]] = {unit: array("d") for unit in units}
        self.every = 1
        self._before_next = 0  # how many measurements to pass over
        self._passed: tuple[float, Mapping[Unit, float]] | None = None  # the last one, if it was

    def put(self, value: float, at: Mapping[Unit, float], most: int) -> None:
        """Add a measurement after all others; then, if more than ``most`` are kept, keep every second."""
        if self._before_next:
            self._before_next -= 1
            self._passed = value, at
            return
        self._keep(value, at)
        self._before_next = self.every - 1
        while len(self.values) > most:
            kept = len(self.values) % 2 == 1
            if not kept:
                self._passed = value, at
            self._before_next += self.every if kept else 0
            self.every *= 2
            for each in (self.values, *self.x.values()):
                del each[1::2]

    def _keep(self, value: float, at: Mapping[Unit, float]) -> None:
        self.values.append(value)
        for unit, places in self.x.items():
            places.append(at.get(unit, math.nan))
        self._passed = None

    def last(self, unit: Unit) -> float:
        """Return where the last measurement was made."""
        return self._passed[1].get(unit, math.nan) if self._passed else self.x[unit][-1]

    def replace(self, value: float, at: Mapping[Unit, float]) -> bool:
        """Take a measurement in place of the last one; return whether it is another number."""
        before = self._passed[0] if self._passed else self.values[-1]
        if self._passed:
            self._passed = value, at
            return before != value
        self.values[-1] = value
        for unit, places in self.x.items():
            places[-1] = at.get(unit, math.nan)
        return before != value

    def settle(self) -> None:
        """Keep the last measurement, whichever it is."""
        if self._passed:
            self._keep(*self._passed)

    def cut(self, unit: Unit, x: float, *, equal: bool) -> int:
        """Drop what was measured after x, or at it too; return how many."""
        self.settle()
        places = self.x[unit]
        left = bisect_left(places, x)
        left += not equal and left < len(places) and places[left] == x
        dropped = len(places) - left
        if dropped:
            for each in (self.values, *self.x.values()):
                del each[left:]
        self._before_next = 0
        return dropped


@dataclass
class Room:
    """How many points are kept of a curve: the fewer, the more curves a file has."""

    curves: int = 0
    most: int = MOST

    def take(self, where: str) -> None:
        """Make room for one more curve; raise FileFormatError if there are too many."""
        self.curves += 1
        self.most = max(LEAST, min(MOST, MOST_TOGETHER // self.curves))
        if self.curves > CURVE_LIMIT:
            raise FileFormatError(f"{where}: more than {CURVE_LIMIT:,} curves")


class Gathering:
    """The measurements of one run, as they come.

    Parameters
    ----------
    where : str
        The file, for messages.
    units : sequence of str
        Those of x. By the first of them the measurements are in order.
    names : mapping of str to str
        What the file calls a unit, for messages.
    together : bool
        Whether all metrics are measured in one course, so that a program's restart is one for all of them. Else each
        metric has its own.
    room : Room, optional
        Shared by the runs of a file.
    """

    def __init__(
        self,
        where: str,
        units: Iterable[Unit],
        names: Mapping[Unit, str] | None = None,
        *,
        together: bool = True,
        room: Room | None = None,
    ) -> None:
        self.where, self.units, self.together = where, tuple(units), together
        self.names = dict(names or {})
        self.metrics: dict[str, Points] = {}
        self.room = room or Room()
        self.replaced, self.restarts, self.repeated, self.without = 0, 0, 0, 0
        self._back: float | None = None  # where the last restart began, until a measurement after it
        self._furthest = -math.inf
        self._last: Mapping[Unit, float] = {}

    def add(
        self, at: Mapping[Unit, float], values: Mapping[str, float], line: int | str, *, again: bool = False
    ) -> None:
        """Add what was measured at one place.

        Parameters
        ----------
        at : mapping of str to float
            x by unit. Without the first unit nothing is added.
        values : mapping of str to float
            By metric.
        line : int or str
            For messages: the line's number, or a text such as "event 7".
        again : bool
            Whether the file says that a program was started again here.

        Raises
        ------
        InputError
            If x is not finite, or runs backward and this is no restart.
        """
        order, metrics = self.units[0], self.metrics
        if not values:
            return
        if order not in at:
            self.without += 1
            return
        x = at[order]
        if not math.isfinite(x):
            raise InputError(f"{self._at(line)}: {self.names.get(order, order)} is {x}")
        further = x > self._furthest  # most often; then all are in order
        if further:
            self._furthest, self._back = x, None
        else:
            before = [p for metric in values if (p := metrics.get(metric)) and p.values and p.last(order) > x]
            if before:
                self._restart(x, at, before, values, line, again)
            elif self._back is not None and x > self._back:
                self._back = None
        for metric, value in values.items():
            points = metrics.get(metric)
            if points is None:
                points = metrics[metric] = Points(self.units)
                self.room.take(self.where)
            if not further and points.values and points.last(order) == x:
                self.repeated += points.replace(value, at)
            else:
                points.put(value, at, self.room.most)
        self._last = at

    def _at(self, line: int | str) -> str:
        return f"{self.where}: line {line}" if isinstance(line, int) else f"{self.where}: {line}"

    def begin_again(self, x: float) -> None:
        """Forget what was measured at x and after: the program says that it was started again there."""
        dropped = sum(points.cut(self.units[0], x, equal=True) for points in self.metrics.values())
        self.replaced += dropped
        self.restarts += dropped > 0

    def _restart(
        self,
        x: float,
        at: Mapping[Unit, float],
        before: list[Points],
        values: Mapping[str, float],
        line: int | str,
        again: bool,
    ) -> None:
        """Let what follows take the place of what was measured from x on."""
        order = self.units[0]
        name, last = self.names.get(order, order), max(points.last(order) for points in before)
        for points in before:
            points.settle()
        if order == "step" and at.get("epoch", -math.inf) > self._last.get("epoch", math.inf) and not again:
            raise InputError(
                f"{self._at(line)}: {name} begins again at {x:g} in the next epoch, so it does not count all "
                "updates; name another column as x"
            )
        known = again or any(p.every > 1 or p.x[order][bisect_left(p.x[order], x)] == x for p in before)
        if not known or (self._back is not None and x < self._back):
            raise InputError(f"{self._at(line)}: {name} runs backward, from {last:g} to {x:g}")
        self._back = x
        self.restarts += 1
        for metric, points in self.metrics.items():
            if self.together or metric in values:
                self.replaced += points.cut(order, x, equal=metric in values)

    def log(
        self,
        name: str,
        program: str,
        *,
        arm: str | None = None,
        seed: int | None = None,
        diverged: bool = False,
        notes: Iterable[str] = (),
        epochs: Epochs = "unknown",
    ) -> Log:
        """Return what was gathered.

        Parameters
        ----------
        name, program, arm, seed, notes
            The log's.
        diverged : bool
            Whether the file says so. It is also so if a loss is not finite at its end.
        epochs : {"completed", "unknown", "indices", "under way"}
            What the file counts. Unknown ones are taken for indices if one of them is 0 and all are whole, unless it
            is at step 0. With those under way, which are indices too, "step" tells how much of a pass is done.

        Raises
        ------
        FileFormatError
            If there is no number in it, or only nan, and the run did not diverge.
        """
        notes = [*notes]
        order = self.names.get(self.units[0], self.units[0])
        if self.restarts:
            count = f"{self.restarts} times" if self.restarts > 1 else "once"
            notes.append(f"begun again {count}: later values take the place of {self.replaced:,} earlier")
        if self.repeated:
            many = f"{self.repeated:,} values have" if self.repeated > 1 else "1 value has"
            notes.append(
                f"{many} the {order} of the value before, and {'replace' if self.repeated > 1 else 'replaces'} it"
            )
        if self.without:
            rows = f"{self.without:,} rows" if self.without > 1 else "1 row"
            notes.append(f"left out: {rows} without {order}")
        for points in self.metrics.values():
            points.settle()
        metrics = {metric: points for metric, points in self.metrics.items() if points.values}
        if not metrics:
            raise FileFormatError(
                f"{self.where}: no number in it" + (f" that has its {order}" if self.without else "")
            )
        if (every := max(points.every for points in metrics.values())) > 1:
            ending = "nd" if every == 2 else "th"
            notes.append(f"long: of the longest curve every {every}{ending} value was kept, and the last one")
        x = {metric: {u: np.array(points.x[u]) for u in self.units} for metric, points in metrics.items()}
        if "epoch" in self.units and epochs != "completed":
            notes += parts_of_passes(x) if epochs == "under way" else epochs_completed(x, epochs == "indices")
        if "seconds" in self.units:
            notes += seconds_from_first(x)
        curves: dict[str, Curve] = {}
        for metric, points in metrics.items():
            values = np.array(points.values)
            if meaning(metric).quantity == "accuracy" and (share := _as_share(values)) is not None:
                values = share
                notes.append(f"{metric}: percent became shares")
            risen = {unit: at for unit, at in x[metric].items() if np.isfinite(at).all() and (np.diff(at) > 0).all()}
            curves[metric] = Curve(values, {str(unit): at for unit, at in risen.items()})
        losses = {metric: curve for metric, curve in curves.items() if meaning(metric).quantity == "loss"}
        diverged = diverged or any(not np.isfinite(curve.values[-1]) for curve in losses.values())
        if not any(np.isfinite(curve.values).any() for curve in curves.values()):
            if not diverged:
                raise FileFormatError(f"{self.where}: {', '.join(curves)}: nan only, nothing to draw")
            notes.append("nan from the first value on")
        return Log(name, program, curves, arm, seed, diverged, tuple(notes))


def _as_share(values: Array) -> Array | None:
    finite = values[np.isfinite(values)]
    percent = len(finite) and 1.5 < finite.max() <= 100 and finite.min() >= 0
    return values / 100 if percent else None
