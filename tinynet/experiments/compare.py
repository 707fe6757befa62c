"""The main job: one network with and without normalization, paired seed by seed."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure

from tinynet import plots
from tinynet.experiments.runner import run_all
from tinynet.experiments.runs import RunResult, RunSettings
from tinynet.history import History

ARM_NAMES = {None: "plain", "batch": "batch norm", "layer": "layer norm"}
TARGETS = (0.90, 0.95)


def identity(base: RunSettings, norm: Literal["batch", "layer"], seeds: int) -> dict[str, Any]:
    """Return, as plain data, what tells one comparison from another."""
    settings = dataclasses.asdict(base)
    for name in ("norm", "seed", "probed"):
        del settings[name]
    data = None if base.data is None else str(Path(base.data).resolve())
    return {**settings, "data": data, "norm": norm, "seeds": seeds}


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
        """Return each run's last test accuracy; a diverged run has none, so that its is nan."""
        return [r.history.final("validation_accuracy") for r in self.arm(name)]

    def gradient_at_start(self, name: str) -> tuple[list[int], np.ndarray[Any, Any]]:
        """Return hidden layer numbers and an array (runs, layers): gradient by hidden layer before any update."""
        depth = self.results[0].settings.depth
        measured = [r.probe.table("gradient_rms")[1] for r in self.arm(name) if r.probe.steps]
        gradients = np.array([table[0, :depth] for table in measured])  # without the output layer
        return list(range(1, depth + 1)), gradients.reshape(len(measured), depth)

    def gradient_ratio(self, name: str) -> float:
        """Return first over last hidden layer's gradient at the start, the median over seeds; nan if both are 0."""
        _, gradients = self.gradient_at_start(name)
        if not len(gradients):
            return math.nan
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = gradients[:, 0] / gradients[:, -1]
        known = ratios[~np.isnan(ratios)]
        return float(np.median(known)) if len(known) else math.nan

    def table(self) -> list[list[str]]:
        """Return the table's cells, the header first."""
        header = ["arm", "test accuracy"]
        header += [f"steps to {target:.0%}" for target in TARGETS]
        header += ["gradient first/last", "diverged"]
        return [header, *(self._row(name) for name in self.names)]

    def _row(self, name: str) -> list[str]:
        runs = self.arm(name)
        accuracies = [a for a, r in zip(self.accuracies(name), runs, strict=True) if not r.history.diverged]
        row = [name, spread_text(accuracies, "{:.2%}")]
        for target in TARGETS:
            reached = [steps for r in runs if (steps := r.history.steps_to(target)) is not None]
            row.append(f"{statistics.median_low(reached):,}" if reached else "not reached")
            if 0 < len(reached) < len(runs):
                row[-1] += f" ({len(reached)} of {len(runs)} runs)"
        diverged = sum(r.history.diverged for r in runs)
        ratio = self.gradient_ratio(name)
        return [*row, "none" if math.isnan(ratio) else f"{ratio:.2g}", f"{diverged} of {len(runs)}"]

    def differences(self) -> list[float]:
        """Return, for each seed run in both arms, accuracy with minus without.

        A diverged run has no accuracy, and is worse than any that has one: inf if only the plain run diverged, -inf
        if only the other did, nan if both did.
        """
        by_seed: dict[int, dict[str, float]] = {}
        for result in self.results:
            accuracy = -math.inf if result.history.diverged else result.history.final("validation_accuracy")
            by_seed.setdefault(result.settings.seed, {})[ARM_NAMES[result.settings.norm]] = accuracy
        plain, *others = self.names
        return [pair[others[0]] - pair[plain] for pair in by_seed.values() if others and len(pair) == 2]

    def verdict(self) -> str:
        """Return one sentence, computed from the runs: which arm is more accurate, by how much, how surely."""
        differences = self.differences()
        if not differences or any(r.interrupted for r in self.results):
            return "Not shown: the comparison was interrupted before every pair of runs was complete."
        name = self.names[1].capitalize()
        n, spread = len(differences), self._spread(differences)
        if n < 3:
            return f"Not shown: {n} paired {'seed is' if n == 1 else 'seeds are'} too few ({spread})."
        if all(d > 0 for d in differences):
            return f"Holds: {name} is more accurate in all {n} paired seeds ({spread})."
        if all(d < 0 for d in differences):
            return f"Does not hold: {name} is less accurate in all {n} paired seeds ({spread})."
        better = sum(d > 0 for d in differences)
        return f"Not shown: {name} is more accurate in {better} of {n} paired seeds only ({spread})."

    def _spread(self, differences: Sequence[float]) -> str:
        """Return the differences in words: the median and range of those that are numbers, and what diverged."""
        points = [100 * d for d in differences if math.isfinite(d)]
        parts = []
        if points:
            parts.append(
                f"median difference {statistics.median(points):+.1f} points of test accuracy, "
                f"range {min(points):+.1f} to {max(points):+.1f}"
            )
        gone = [(name, sum(r.history.diverged for r in self.arm(name)), len(self.arm(name))) for name in self.names]
        diverged = [f"{name} diverged in {k} of {n}" for name, k, n in gone if k]
        if diverged:
            parts += [" and ".join(diverged), "a diverged run has no accuracy and counts as worse than any"]
        return "; ".join(parts)

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
    """Train both arms for every seed, on the same batches: how an epoch is cut into them, `tinynet.fit` says.

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
}  # the seed is that of `shown`


def draw(comparison: Comparison) -> dict[str, Figure]:
    """Return the figures of `CAPTIONS`, by name; those that no run reached are left out."""
    settings = comparison.results[0].settings
    title = f"{settings.depth} x {settings.width} {settings.activation}, learning rate {settings.lr:g}"
    fig, (ax,) = plots.figure()
    plots.curves(comparison.histories(), ax, title=title)
    figures = {"convergence": fig}

    panels = shown(comparison)
    if not panels:
        return figures
    fig, (ax,) = plots.figure()
    starts = {name: comparison.gradient_at_start(name) for name in panels}
    plots.gradient_by_layer(starts, ax, title="Gradient by layer, before the first update")
    figures["gradient_by_layer"] = fig

    over_training, axes = plots.figure(columns=len(panels))
    inputs, others = plots.figure(columns=len(panels))
    for ax, other, (name, run) in zip(axes, others, panels.items(), strict=True):
        end = run.history.steps[-1] if run.history.diverged else None
        title = f"{name.capitalize()}{' (diverged)' if run.history.diverged else ''}"
        gradients = run.probe.table("gradient_rms")[1][:, :-1]
        plots.gradient_over_training(run.probe.steps, gradients, ax, title=title, diverged_at=end)
        p15, p50, p85 = (run.probe.table(f"input_{p}")[1][:, -1] for p in ("p15", "p50", "p85"))
        plots.percentiles(run.probe.steps, p15, p50, p85, other, title=title, diverged_at=end)
    return {**figures, "gradient_over_training": over_training, "activation_percentiles": inputs}


def shown(comparison: Comparison) -> dict[str, RunResult]:
    """Return the run of each arm whose inside is drawn: of one seed, the first in which every arm was measured."""
    # a run whose very first loss is not finite has no gradient to show
    measured = {name: [r for r in comparison.arm(name) if r.probe.steps] for name in comparison.names}
    measured = {name: runs for name, runs in measured.items() if runs}
    seeds = set.intersection(*({r.settings.seed for r in runs} for runs in measured.values())) if measured else set()
    seed = min(seeds, default=None)
    return {name: next((r for r in runs if r.settings.seed == seed), runs[0]) for name, runs in measured.items()}
