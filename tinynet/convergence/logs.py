"""What a training program logged, as one type for all programs: metrics, and where each was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np

from tinynet.errors import InputError
from tinynet.typing import Array

Unit = Literal["step", "epoch", "examples", "seconds"]
UNITS: tuple[Unit, ...] = get_args(Unit)


@dataclass(frozen=True, eq=False)
class Curve:
    """One metric of a run, and where it was measured.

    Attributes
    ----------
    values : ndarray (n,)
        float64. A nan is one that the program logged, as of a run that diverged; a cell that was left empty is no
        measurement, and is not here.
    x : mapping of str to ndarray (n,)
        float64, rising. By unit: "step" is updates made, "epoch" passes completed, "examples" those seen, "seconds"
        since the training began. Those that the log has.

    Raises
    ------
    InputError
        If there is no value, the arrays are of different lengths, or x does not rise.
    """

    values: Array
    x: Mapping[str, Array]

    def __post_init__(self) -> None:
        values = np.ascontiguousarray(self.values, np.float64)
        x = {unit: np.ascontiguousarray(at, np.float64) for unit, at in self.x.items()}
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "x", MappingProxyType(x))
        for unit, at in x.items():
            if unit not in UNITS:
                raise InputError(f"Curve: x is by {', '.join(UNITS)}, not {unit!r}")
            if at.shape != values.shape or values.ndim != 1 or not len(values):
                raise InputError(f"Curve: {len(values)} values, but {unit} of shape {at.shape}")
            if not (np.diff(at) > 0).all() or not np.isfinite(at).all():
                raise InputError(f"Curve: {unit} must rise from value to value")

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, eq=False)
class Log:
    """What was logged of one run.

    Attributes
    ----------
    name : str
        What to call the run: the file's path as it was given, and the run's name if the file has several.
    program : str
        What wrote it, such as "Keras CSVLogger".
    curves : mapping of str to Curve
        By metric, under the names that the program gave them.
    arm : str, optional
        If the file says so: the configuration of which this is a run.
    seed : int, optional
        If the file says so. Runs of two arms that have one seed are a pair.
    diverged : bool
        Whether the loss was no longer finite at the run's end.
    notes : tuple of str
        What reading changed, a sentence each, such as "percent became shares".
    """

    name: str
    program: str
    curves: Mapping[str, Curve]
    arm: str | None = None
    seed: int | None = None
    diverged: bool = False
    notes: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        """Say what was read: ``keras.csv: Keras CSVLogger, 20 epochs, loss, val_loss``."""
        last = {unit: max((c.x[unit][-1] for c in self.curves.values() if unit in c.x), default=0) for unit in UNITS}
        unit: Unit = "epoch" if last["epoch"] and float(last["epoch"]).is_integer() else "step"
        length = [f"{last[unit]:,.0f} {unit}s"] if last[unit] else []
        end = ["diverged"] if self.diverged else []
        return f"{self.name}: {', '.join([self.program, *length, *self.curves, *end])}"
