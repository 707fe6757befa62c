"""The grid behind the lab handout: every combination of a few settings, both arms, one seed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tinynet.experiments.arms import Results
from tinynet.experiments.runs import RunSettings

LABELS = {
    "depth": "Hidden layers",
    "lr": "Learning rate",
    "scale": "Standard deviation of the initial weights",
    "activation": "Activation",
    "norm": "Normalization",
}
ARMS = ["plain", "normalized"]
STEPS = {True: 200, False: 600}
RECORDS = 5  # of each run: testing costs more than the steps between


def axes(quick: bool) -> dict[str, list[Any]]:
    """Return the values of each axis; the last two are names."""
    if quick:
        numbers: dict[str, list[Any]] = {"depth": [2, 5, 10], "lr": [0.01, 0.1, 1.0], "scale": [0.01, 0.1, 1.0]}
        return numbers | {"activation": ["sigmoid", "relu"], "norm": ["batch"]}
    numbers = {"depth": [2, 5, 10, 20], "lr": [0.01, 0.03, 0.1, 0.3, 1.0], "scale": [0.01, 0.03, 0.1, 0.3, 1.0]}
    return numbers | {"activation": ["sigmoid", "tanh", "relu"], "norm": ["batch", "layer"]}


@dataclass(frozen=True, kw_only=True)
class LabSettings(RunSettings):
    """One cell's run in one arm."""

    def run(self) -> dict[str, Any]:
        """Train; return test accuracy at each record and the gradient of each hidden layer at the start."""
        made = self.train()
        by_layer = made["probe"]["values"].get("gradient_rms", {})
        gradient = [measured[0] for measured in by_layer.values()][: self.depth]
        return {"accuracy": made["validation_accuracy"], "gradient": gradient, "diverged": made["diverged"]}


def _settings(quick: bool, values: Sequence[Any], norm: Literal["batch", "layer"] | None) -> LabSettings:
    depth, lr, scale, activation = values
    kind = {"depth": depth, "activation": activation, "init": f"normal({scale})", "norm": norm}
    return LabSettings(lr=lr, steps=STEPS[quick], record_every=STEPS[quick] // RECORDS, **kind)


def runs(quick: bool) -> list[LabSettings]:
    """Return the runs of the whole grid; a cell's plain arm is the same run whatever the other's normalization."""
    cells = itertools.product(*axes(quick).values())
    return list(dict.fromkeys(_settings(quick, rest, arm) for *rest, norm in cells for arm in (None, norm)))


def grid(results: Results, quick: bool) -> dict[str, Any]:
    """Return what the page draws: the axes, and for each cell both arms' accuracy and gradient at the start."""
    by_axis = axes(quick)
    steps = STEPS[quick]
    cells: dict[str, list[dict[str, Any]]] = {}
    for index in itertools.product(*(range(len(values)) for values in by_axis.values())):
        *rest, norm = (values[k] for values, k in zip(by_axis.values(), index, strict=True))
        pair = [results.get(_settings(quick, rest, arm)) for arm in (None, norm)]
        if None not in pair:
            cells[",".join(map(str, index))] = [_drawn(result) for result in pair if result is not None]
    return {
        "axes": by_axis,
        "labels": LABELS,
        "arms": ARMS,
        "steps": list(range(steps // RECORDS, steps + 1, steps // RECORDS)),
        "runs": cells,
    }


def _drawn(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result with null for what has no place on the page: nan, and zero on a log axis."""
    return {
        "accuracy": [round(a, 4) if math.isfinite(a) else None for a in result["accuracy"]],
        "gradient": [float(f"{g:.3g}") if 0 < g < math.inf else None for g in result["gradient"]],
        "diverged": result["diverged"],
    }
