"""The main job: one network with and without normalization, paired seed by seed."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure

from tinynet import plots
from tinynet.experiments.runner import run_all
from tinynet.experiments.runs import RunResult, RunSettings
from tinynet.history import History

ARM_NAMES = {None: "plain", "batch": "batch norm", "layer": "layer norm"}
TARGETS = (0.90, 0.95)


def arms(base: RunSettings, norm: Literal["batch", "layer"], seeds: int) -> list[RunSettings]:
    """Return the runs: for each seed one without and one with ``norm``, from the same weights and batches."""
    return [dataclasses.replace(base, norm=arm, seed=seed) for seed in range(seeds) for arm in (None, norm)]


@dataclass
class Comparison:
    """The runs of a comparison, and what they say.

    Attributes
    ----------
    results : list of RunResult
        Of both arms. An arm's name is "plain", "batch norm" or "layer norm".
    """

    results: list[RunResult]

    @property
    def names(self) -> list[str]:
        """The arms: the plain one first."""
        return list(dict.fromkeys(ARM_NAMES[r.settings.norm] for r in self.results))

    def arm(self, name: str) -> list[RunResult]:
        """Return one arm's runs, seed by seed."""
        return [r for r in self.results if ARM_NAMES[r.settings.norm] == name]

    def histories(self) -> dict[str, list[History]]:
        """Return the histories of each arm."""
        return {name: [r.history for r in self.arm(name)] for name in self.names}

    def accuracies(self, name: str) -> list[float]:
        """Return each run's last test accuracy; a diverged run's is nan."""
        return [r.history.final("validation_accuracy") for r in self.arm(name)]

    def gradient_at_start(self, name: str) -> tuple[list[int], np.ndarray[Any, Any]]:
        """Return hidden layer numbers and an array (runs, layers): gradient by hidden layer before any update."""
        depth = self.results[0].settings.depth
        measured = [r.probe.table("gradient_rms")[1] for r in self.arm(name) if r.probe.steps]
        gradients = np.array([table[0, :depth] for table in measured])  # without the output layer
        return list(range(1, depth + 1)), gradients.reshape(len(measured), depth)

    def gradient_ratio(self, name: str) -> float:
        """Return first over last hidden layer's gradient at the start, the median over seeds."""
        _, gradients = self.gradient_at_start(name)
        if not len(gradients):
            return math.nan
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.median(gradients[:, 0] / gradients[:, -1]))

    def table(self) -> list[list[str]]:
        """Return the table's cells, the header first."""
        header = ["arm", "test accuracy"]
        header += [f"steps to {target:.0%}" for target in TARGETS]
        header += ["gradient first/last", "diverged"]
        return [header, *(self._row(name) for name in self.names)]

    def _row(self, name: str) -> list[str]:
        runs = self.arm(name)
        row = [name, spread_text([a for a in self.accuracies(name) if a == a], "{:.2%}")]
        for target in TARGETS:
            reached = [steps for r in runs if (steps := r.history.steps_to(target)) is not None]
            row.append(f"{statistics.median_low(reached):,}" if reached else "not reached")
            if 0 < len(reached) < len(runs):
                row[-1] += f" ({len(reached)} of {len(runs)} runs)"
        diverged = sum(r.history.diverged for r in runs)
        return [*row, f"{self.gradient_ratio(name):.2g}", f"{diverged} of {len(runs)}"]

    def differences(self) -> list[float]:
        """Return, for each seed run in both arms, accuracy with minus without; a diverged run counts as 0."""
        by_seed: dict[int, dict[str, float]] = {}
        for result in self.results:
            accuracy = 0.0 if result.history.diverged else result.history.final("validation_accuracy")
            by_seed.setdefault(result.settings.seed, {})[ARM_NAMES[result.settings.norm]] = accuracy
        plain, *others = self.names
        return [pair[others[0]] - pair[plain] for pair in by_seed.values() if others and len(pair) == 2]

    def verdict(self) -> str:
        """Return one sentence, computed from the runs: which arm is more accurate, by how much, how surely."""
        differences = self.differences()
        if not differences or any(r.interrupted for r in self.results):
            return "Not shown: the comparison was interrupted before every pair of runs was complete."
        name = self.names[1].capitalize()
        n, points = len(differences), [100 * d for d in differences]
        middle = statistics.median(points)
        spread = (
            f"median difference {middle:+.1f} points of test accuracy, range {min(points):+.1f} to {max(points):+.1f}"
        )
        if n < 3:
            return f"Not shown: {n} paired {'seed is' if n == 1 else 'seeds are'} too few ({spread})."
        if min(points) > 0:
            return f"Holds: {name} is more accurate in all {n} paired seeds ({spread})."
        if max(points) < 0:
            return f"Does not hold: {name} is less accurate in all {n} paired seeds ({spread})."
        better = sum(p > 0 for p in points)
        return f"Not shown: {name} is more accurate in {better} of {n} paired seeds only ({spread})."

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        header, *rows = self.table()
        return {
            "verdict": self.verdict(),
            "differences": self.differences(),
            "table": [dict(zip(header, row, strict=True)) for row in rows],
            "gradient_ratio": {name: self.gradient_ratio(name) for name in self.names},
            "runs": [
                {
                    "arm": ARM_NAMES[r.settings.norm],
                    "settings": dataclasses.asdict(r.settings),
                    "interrupted": r.interrupted,
                    "history": dataclasses.asdict(r.history),
                    "probe": {"steps": r.probe.steps, "values": r.probe.values},
                }
                for r in self.results
            ],
        }


def spread_text(values: Sequence[float], form: str) -> str:
    """Return the median of the values and, if there are several, their range."""
    if not values:
        return "none"
    text = form.format(statistics.median(values))
    return text if len(values) == 1 else f"{text} ({form.format(min(values))} to {form.format(max(values))})"


def compare(base: RunSettings, norm: Literal["batch", "layer"], seeds: int, jobs: int) -> Comparison:
    """Train both arms for every seed.

    Parameters
    ----------
    base : RunSettings
        Its norm and seed do not matter.
    norm : {"batch", "layer"}
        Of the normalized arm.
    seeds : int
        Pairs of runs: seeds 0, 1, ...
    jobs : int
        Worker processes; a script that asks for some is guarded by ``if __name__ == "__main__":``.

    Raises
    ------
    InputError
        If a worker process was killed, say for want of memory.
    """
    return Comparison(run_all(arms(base, norm, seeds), jobs=jobs, description="compare"))


CAPTIONS = {
    "convergence": (
        "Accuracy on the test set while training, running statistics in use. "
        "Both arms start from the same weights and see the same batches, seed by seed."
    ),
    "gradient_by_layer": (
        "Root mean square per weight of each hidden layer's gradient, on the first batch with the initial weights. "
        "A fall toward the left is a vanishing gradient; a level line is none."
    ),
    "gradient_over_training": (
        "The same gradient over training, one line a hidden layer, from dark (first) to light (last); seed {seed}."
    ),
    "activation_percentiles": (
        "15th, 50th and 85th percentile, over a batch and all units, of what goes into the last hidden layer's "
        "{activation}; seed {seed}."
    ),
}


def draw(comparison: Comparison) -> dict[str, Figure]:
    """Return the figures of `CAPTIONS`, by name; those that no run reached are left out."""
    settings = comparison.results[0].settings
    title = f"{settings.depth} x {settings.width} {settings.activation}, learning rate {settings.lr:g}"
    fig, (ax,) = plots.figure()
    plots.curves(comparison.histories(), ax, title=title)
    figures = {"convergence": fig}

    # a run whose very first loss is not finite has no gradient to show
    probes = {name: [r.probe for r in comparison.arm(name) if r.probe.steps] for name in comparison.names}
    probes = {name: measured for name, measured in probes.items() if measured}
    if not probes:
        return figures
    fig, (ax,) = plots.figure()
    starts = {name: comparison.gradient_at_start(name) for name in probes}
    plots.gradient_by_layer(starts, ax, title="Gradient by layer, before the first update")
    figures["gradient_by_layer"] = fig

    fig, axes = plots.figure(columns=len(probes))
    for ax, (name, (probe, *_)) in zip(axes, probes.items(), strict=True):
        gradients = probe.table("gradient_rms")[1][:, :-1]
        plots.gradient_over_training(probe.steps, gradients, ax, title=name.capitalize())
    figures["gradient_over_training"] = fig

    fig, axes = plots.figure(columns=len(probes))
    for ax, (name, (probe, *_)) in zip(axes, probes.items(), strict=True):
        p15, p50, p85 = (probe.table(f"input_{p}")[1][:, -1] for p in ("p15", "p50", "p85"))
        plots.percentiles(probe.steps, p15, p50, p85, ax, title=name.capitalize())
    figures["activation_percentiles"] = fig
    return figures
