"""The main job: one network with and without normalization, as an experiment whose settings a user chooses."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tinynet import plots
from tinynet.experiments.arms import (
    NAMES,
    Result,
    Results,
    accuracy,
    by_seed,
    difference,
    diverged,
    history,
    paired,
    reached,
)
from tinynet.experiments.experiment import Experiment, Finding, Verdict
from tinynet.experiments.figures import figure_of, titled
from tinynet.experiments.runner import run_all
from tinynet.experiments.runs import RunSettings
from tinynet.probes import Probe
from tinynet.typing import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TARGETS = (0.90, 0.95)


def arms(base: RunSettings, norm: Literal["batch", "layer"], seeds: int) -> list[RunSettings]:
    """Return the runs: for each seed one without and one with ``norm``, from the same weights and batches."""
    return [dataclasses.replace(base, norm=arm, seed=seed) for seed in range(seeds) for arm in (None, norm)]


def identity(base: RunSettings, norm: Literal["batch", "layer"], seeds: int) -> dict[str, Any]:
    """Return, as plain data, what tells one comparison from another."""
    settings = dataclasses.asdict(base)
    for name in ("norm", "seed", "probed"):
        del settings[name]
    data = None if base.data is None else str(Path(base.data).resolve())
    return {**settings, "data": data, "norm": norm, "seeds": seeds}


def experiment(base: RunSettings, norm: Literal["batch", "layer"], seeds: int) -> Experiment:
    """Return the comparison as an experiment. It has one form, so that ``quick`` does not matter."""
    return Experiment(
        name="comparison",
        title=f"With and without {NAMES[norm]}",
        claim=f"With {NAMES[norm]} the network is more accurate.",
        method="Both arms are paired seed by seed. The claim holds if every pair, of three or more, says so.",
        runs=lambda quick: arms(base, norm, seeds),
        verdict=verdict,
        table=table,
        draw=draw,
        captions=CAPTIONS,
    )


def compare(base: RunSettings, norm: Literal["batch", "layer"], seeds: int, jobs: int) -> Finding:
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

    Returns
    -------
    Finding
        ``.verdict``, ``.table``, ``.figures`` and ``.results``: what `RunSettings.run` returns, by settings. After
        Ctrl-C they have what was recorded until then.

    Raises
    ------
    InputError
        If a worker process was killed, say for want of memory.
    """
    asked = experiment(base, norm, seeds)
    found = run_all(arms(base, norm, seeds), jobs=jobs, description="compare")
    about = {"activation": base.activation, "seed": " and ".join(dict.fromkeys(str(s.seed) for s in shown(found)))}
    captions = {name: caption.format(**about) for name, caption in CAPTIONS.items()}
    return dataclasses.replace(asked, captions=captions).finding(found)


# -- what the runs say --------------------------------------------------------------------------------------


def by_arm(results: Results) -> dict[str, list[dict[str, Any]]]:
    """Return each arm's results, seed by seed, those of the plain arm first."""
    norms = dict.fromkeys(s.norm for s in results)
    return {NAMES[norm]: list(by_seed(results, norm=norm).values()) for norm in norms}


def interrupted(settings: RunSettings, result: Result) -> bool:
    """Return whether a run was ended before its time."""
    return not result["diverged"] and result["steps"][-1] != settings.steps


def differences(results: Results) -> list[float]:
    """Return the `difference` of accuracy, with minus without, for each seed that was run in both arms."""
    pairs = paired(by_seed(results, norm=None), {s.seed: r for s, r in results.items() if s.norm})
    return [difference(accuracy(plain), accuracy(normalized)) for plain, normalized in pairs.values()]


def verdict(results: Results) -> Verdict:
    """Return which arm is more accurate, by how much, and how surely."""
    found = differences(results)
    if not found or any(interrupted(s, r) for s, r in results.items()):
        return Verdict("not shown", "the comparison was interrupted before every pair of runs was complete.")
    name, n, spread = list(by_arm(results))[1].capitalize(), len(found), _spread(results, found)
    if n < 3:
        return Verdict("not shown", f"{n} paired {'seed is' if n == 1 else 'seeds are'} too few ({spread}).")
    if all(d > 0 for d in found):
        return Verdict("holds", f"{name} is more accurate in all {n} paired seeds ({spread}).")
    if all(d < 0 for d in found):
        return Verdict("does not hold", f"{name} is less accurate in all {n} paired seeds ({spread}).")
    better = sum(d > 0 for d in found)
    return Verdict("not shown", f"{name} is more accurate in {better} of {n} paired seeds only ({spread}).")


def _spread(results: Results, found: Sequence[float]) -> str:
    """Return the differences in words: the median and range of those that are numbers, and what diverged."""
    points = [100 * d for d in found if math.isfinite(d)]
    parts = []
    if points:
        parts.append(
            f"median difference {statistics.median(points):+.1f} points of test accuracy, "
            f"range {min(points):+.1f} to {max(points):+.1f}"
        )
    gone = {name: runs for name, runs in by_arm(results).items() if any(r["diverged"] for r in runs)}
    if gone:
        parts.append(" and ".join(f"{name} diverged in {diverged(runs)}" for name, runs in gone.items()))
        parts.append("a diverged run has no accuracy and counts as worse than any")
    return "; ".join(parts)


def table(results: Results) -> list[list[str]]:
    """Return a row an arm: accuracy, steps to a good one, the gradient at the start, and how many runs diverged."""
    reach = [f"steps to {target:.0%}" for target in TARGETS]
    rows = [["arm", "test accuracy", *reach, "gradient first/last", "diverged"]]
    for name, runs in by_arm(results).items():
        known = [a for a in map(accuracy, runs) if not math.isnan(a)]
        ratio = gradient_ratio(runs)
        cells = [_steps(runs, target) for target in TARGETS] + ["none" if math.isnan(ratio) else f"{ratio:.2g}"]
        rows.append([name, _median(known, "{:.2%}"), *cells, diverged(runs)])
    return rows


def _median(values: Sequence[float], form: str) -> str:
    """Return the median of the values and, if there are several, their range."""
    if not values:
        return "none"
    low, middle, high = (form.format(f(values)) for f in (min, statistics.median, max))
    return f"{middle} ({low} to {high})" if len(values) > 1 else middle


def _steps(runs: Sequence[Result], target: float) -> str:
    """Return the median steps to a test accuracy, and how many runs reached it if not all did."""
    steps = reached(runs, target)
    some = f" ({len(steps)} of {len(runs)} runs)" if len(steps) < len(runs) else ""
    return f"{statistics.median_low(steps):,}{some}" if steps else "not reached"


def layers(result: Result, measure: str) -> Array:
    """Return a measure of the run's probe, an array (measurements, layers)."""
    return Probe(**result["probe"]).table(measure)[1]


def gradients_at_start(runs: Sequence[Result]) -> Array:
    """Return the gradient by hidden layer before any update, an array (runs, layers), of the runs that have one."""
    return np.array([layers(r, "gradient_rms")[0, :-1] for r in runs if r["probe"]["steps"]])


def gradient_ratio(runs: Sequence[Result]) -> float:
    """Return first over last hidden layer's gradient at the start, the median over seeds; nan if both are 0."""
    gradients = gradients_at_start(runs)
    if not len(gradients):
        return math.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = gradients[:, 0] / gradients[:, -1]
    known = ratios[~np.isnan(ratios)]
    return float(np.median(known)) if len(known) else math.nan


def as_json(finding: Finding) -> dict[str, Any]:
    """Return everything as plain data."""
    header, *rows = finding.table
    return {
        "verdict": str(finding.verdict),
        "differences": differences(finding.results),
        "table": [dict(zip(header, row, strict=True)) for row in rows],
        "gradient_ratio": {name: gradient_ratio(runs) for name, runs in by_arm(finding.results).items()},
        "runs": [
            {
                "arm": NAMES[s.norm],
                "settings": dataclasses.asdict(s),
                "interrupted": interrupted(s, result),
                "history": dataclasses.asdict(history(result)),
                "probe": result["probe"],
            }
            for s, result in finding.results.items()
        ],
    }


# -- its figures --------------------------------------------------------------------------------------------


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


def draw(results: Results) -> dict[str, Figure]:
    """Return the figures of `CAPTIONS`, by name; those that no run reached are left out."""
    by_name, settings = by_arm(results), next(iter(results))
    panels = {NAMES[s.norm]: result for s, result in shown(results).items()}
    histories = {name: list(map(history, runs)) for name, runs in by_name.items()}
    title = f"{settings.depth} x {settings.width} {settings.activation}, learning rate {settings.lr:g}"
    figures = {"convergence": figure_of(plots.curves, histories, title=title)}
    if not panels:
        return figures
    numbers, title = list(range(1, settings.depth + 1)), "Gradient by layer, before the first update"
    starts = {name: (numbers, gradients_at_start(by_name[name])) for name in panels}
    figures["gradient_by_layer"] = figure_of(plots.gradient_by_layer, starts, title=title)
    figures["gradient_over_training"], axes = plots.figure(columns=len(panels))
    figures["activation_percentiles"], others = plots.figure(columns=len(panels))
    for ax, other, (name, run) in zip(axes, others, panels.items(), strict=True):
        steps, how = run["probe"]["steps"], titled(name, run)
        plots.gradient_over_training(steps, layers(run, "gradient_rms")[:, :-1], ax, **how)
        p15, p50, p85 = (layers(run, f"input_{p}")[:, -1] for p in ("p15", "p50", "p85"))
        plots.percentiles(steps, p15, p50, p85, other, **how)
    return figures


def shown(results: Results) -> dict[RunSettings, dict[str, Any]]:
    """Return the run of each arm whose inside is drawn: of one seed, the first in which every arm was measured."""
    # a run whose very first loss is not finite has no gradient to show
    measured = {s: r for s, r in results.items() if r["probe"]["steps"]}
    seeds = [{s.seed for s in measured if s.norm == norm} for norm in dict.fromkeys(s.norm for s in measured)]
    seed = min(set.intersection(*seeds), default=None) if seeds else None
    first = {s.norm: s for s in reversed(measured)} | {s.norm: s for s in measured if s.seed == seed}
    return {s: r for s, r in measured.items() if s in first.values()}
