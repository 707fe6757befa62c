"""Is batch normalization less sensitive to the weight initialization? Accuracy over the scale of the weights."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure

from tinynet import plots
from tinynet.experiments.arms import ARMS, Results, accuracy, by_seed, counted, decide, diverged, in_words
from tinynet.experiments.experiment import Experiment, Verdict
from tinynet.experiments.figures import accuracy_over
from tinynet.experiments.runs import NetworkSettings, RunSettings
from tinynet.experiments.store import Settings
from tinynet.layers import Activation

SMALLEST, LARGEST = 1e-4, 5.0
QUICK_SCALES = 13
RATE = 0.1
MAP_RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
MAP_STEPS = 200
WITHIN = 0.02  # of its own best accuracy
TRAINED = 0.5  # an arm that is never above this has not trained: level at chance is not insensitive
HISTOGRAM_SCALES = {"too small": 0.01, "good": 0.1, "too large": 1.0}


@dataclass(frozen=True, kw_only=True)
class ActivationSettings(NetworkSettings):
    """What comes out of every hidden layer before any training: histograms over one batch."""

    activation: str = "tanh"
    batch_size: int = 1000
    norm: Literal["batch"] | None = None
    scale: float = 0.1
    bins: int = 41

    def run(self) -> dict[str, Any]:
        """Return the bins' edges on [-1, 1], where tanh lives, and each hidden layer's counts."""
        train, _ = self.sets()
        kind = {name: getattr(self, name) for name in ("depth", "width", "activation", "norm", "seed")}
        net = RunSettings(init=f"normal({self.scale:g})", **kind).network(train)
        net.forward(train.x[: self.batch_size], training=True)
        edges = np.linspace(-1.0, 1.0, self.bins + 1)
        values = net.values
        outputs = [values[name] for name, layer in net.layers.items() if isinstance(layer, Activation)]
        # float32 may round a saturated unit to just past 1
        counts = [np.histogram(np.clip(y, -1, 1), edges)[0].tolist() for y in outputs]
        return {"edges": edges.tolist(), "counts": counts}


def scales(count: int) -> list[float]:
    """Return so many standard deviations of the weights, each the same factor above the one before."""
    return [float(f"{scale:.3g}") for scale in np.geomspace(SMALLEST, LARGEST, count)]


def _training(norm: Literal["batch"] | None, scale: float, lr: float, steps: int, seed: int) -> RunSettings:
    base = RunSettings(depth=5, activation="tanh", steps=steps, record_every=steps, probed=False)
    return dataclasses.replace(base, norm=norm, init=f"normal({scale:g})", lr=lr, seed=seed)


def runs(quick: bool) -> list[Settings]:
    """Return the runs over the scale, the histograms, and in the full form those over scale and learning rate."""
    arms = ARMS.values()
    count, steps, seeds = (QUICK_SCALES, 200, 3) if quick else (19, 1000, 5)
    todo: list[Settings] = [
        _training(norm, scale, RATE, steps, seed) for seed in range(seeds) for scale in scales(count) for norm in arms
    ]
    todo += [ActivationSettings(norm=norm, scale=scale) for norm in arms for scale in HISTOGRAM_SCALES.values()]
    if not quick:
        todo += [
            _training(norm, scale, lr, MAP_STEPS, seed)
            for seed in range(3)
            for scale in scales(QUICK_SCALES)
            for lr in MAP_RATES
            for norm in arms
        ]
    return todo


def scale_of(settings: RunSettings) -> float:
    """Return the standard deviation of the weights."""
    return float(str(settings.init).removeprefix("normal(").removesuffix(")"))


def over_scale(results: Results) -> dict[RunSettings, dict[str, Any]]:
    """Return the runs of the curve: the longest there are, at its learning rate."""
    trained = {s: r for s, r in results.items() if isinstance(s, RunSettings)}
    longest = max((s.steps for s in trained), default=0)
    return {s: r for s, r in trained.items() if s.steps == longest and s.lr == RATE}


def over_map(results: Results) -> dict[RunSettings, dict[str, Any]]:
    """Return the runs over scale and learning rate: none in the quick form."""
    found = {s: r for s, r in results.items() if isinstance(s, RunSettings) and s.steps == MAP_STEPS}
    return found if len({s.lr for s in found}) > 1 else {}


def width(accuracies: Mapping[float, float]) -> float:
    """Return over how many factors of ten of the scale the accuracy, given by scale, stays within 0.02 of its best.

    It is the length of the stretch about the best scale, with straight lines between the measured scales; a diverged
    run, nan, counts as 0. An arm whose best is not above 0.5 has width 0.
    """
    x = np.log10(sorted(accuracies))
    y = np.array([counted(accuracies[scale]) for scale in sorted(accuracies)])
    best = int(y.argmax()) if len(y) else 0
    if not len(y) or y[best] <= TRAINED:
        return 0.0
    level = y[best] - WITHIN

    def end(step: int) -> float:
        k = best
        while 0 <= k + step < len(y) and y[k + step] >= level:
            k += step
        if not 0 <= k + step < len(y):
            return float(x[k])
        return float(x[k] + (x[k + step] - x[k]) * (y[k] - level) / (y[k] - y[k + step]))

    return end(1) - end(-1)


def widths(found: Mapping[RunSettings, dict[str, Any]]) -> dict[int, dict[str, float]]:
    """Return each arm's width by seed, at the best learning rate of each scale where there are several.

    A seed with a run missing in either arm is left out.
    """
    grid = {(s.init, s.lr) for s in found}
    measured: dict[int, dict[str, float]] = {}
    for seed in sorted({s.seed for s in found}):
        arms = {name: {s: r for s, r in found.items() if (s.norm, s.seed) == (ARMS[name], seed)} for name in ARMS}
        if all(len(arm) == len(grid) for arm in arms.values()):
            measured[seed] = {
                name: width({scale: max(map(counted, found)) for scale, found in _by_scale(arm).items()})
                for name, arm in arms.items()
            }
    return measured


def verdict(results: Results) -> Verdict:
    """Return whether batch norm trains over a wider range of scales in every seed."""
    pairs, tuned = widths(over_scale(results)), widths(over_map(results))
    if not pairs:
        return Verdict("not shown", "No seed has every run of both arms.")
    plain, normalized = ([pair[name] for pair in pairs.values()] for name in ARMS)
    wider = [b - a for a, b in zip(plain, normalized, strict=True)]
    sentence = (
        f"Accuracy stays within {100 * WITHIN:g} points of its best over {in_words(normalized, '{:.1f}')} "
        f"factors of ten of the weight scale with batch norm, over {in_words(plain, '{:.1f}')} without; the "
        f"difference, pair by pair, is {in_words(wider, '{:+.1f}')}."
    )
    if tuned:
        without, with_norm = (in_words([pair[name] for pair in tuned.values()], "{:.1f}") for name in ARMS)
        sentence += f" At each scale's best learning rate, {MAP_STEPS} steps: {with_norm} with, {without} without."
    return Verdict(decide([more > 0 for more in wider]), sentence)


def table(results: Results) -> list[list[str]]:
    """Return a row an arm: its best, where that is, how wide it is, and how many runs diverged."""
    rows = [["arm", "best accuracy", "at scale", "worst accuracy", "width in decades", "at best rates", "diverged"]]
    pairs, tuned = widths(over_scale(results)), widths(over_map(results))
    for name, norm in ARMS.items():
        arm = {s: r for s, r in over_scale(results).items() if s.norm == norm}
        by_scale = {x: found for x, found in _by_scale(arm).items() if not all(map(math.isnan, found))}
        middles = {x: statistics.median(a for a in found if not math.isnan(a)) for x, found in by_scale.items()}
        best = max(by_scale, key=lambda x: statistics.median(map(counted, by_scale[x])), default=math.nan)
        rows.append(
            [
                name,
                f"{middles[best]:.1%}" if middles else "none",
                f"{best:g}" if middles else "none",
                f"{min(middles.values()):.1%}" if middles else "none",
                in_words([pair[name] for pair in pairs.values()], "{:.1f}"),
                in_words([pair[name] for pair in tuned.values()], "{:.1f}"),
                diverged(arm.values()),
            ]
        )
    return rows


def _by_scale(arm: Mapping[RunSettings, dict[str, Any]]) -> dict[float, list[float]]:
    """Return the accuracies by scale."""
    found: dict[float, list[float]] = {}
    for s, r in arm.items():
        found.setdefault(scale_of(s), []).append(accuracy(r))
    return found


CAPTIONS = {
    "accuracy": (
        "Test accuracy against the standard deviation of the initial weights, at learning rate 0.1 in both arms. "
        "A cross at the bottom is a scale at which runs diverged; line and band are of those that did not."
    ),
    "width": "Over how many factors of ten of the scale an arm stays within 2 points of its own best, seed by seed.",
    "activations_plain": (
        "What comes out of each hidden layer before any training, without normalization, for three scales of the "
        "weights: all but zero, spread out, or saturated at -1 and 1. Each histogram has its own height; one seed."
    ),
    "activations_batch_norm": "The same weights with batch normalization, which divides by whatever scale there is.",
    "scale_and_rate": (
        "Test accuracy after 200 steps over weight scale and learning rate: the median of three seeds. A cross marks "
        "settings at which most runs diverged."
    ),
}


def draw(results: Results) -> dict[str, Figure]:
    """Return the figures of `CAPTIONS` that there are runs for."""
    figures = {}
    found = over_scale(results)
    if found:
        figures["accuracy"] = _draw_accuracy(found)
        fig, (ax,) = plots.figure()
        groups = {name: [pair[name] for pair in widths(found).values()] for name in ARMS}
        plots.dots({"width": groups}, ax, ylabel="width (factors of ten)", title="How far the scale may be off")
        ax.set_ylim(bottom=0)
        figures["width"] = fig
    for name, norm in ARMS.items():
        shown = {s.scale: r for s, r in results.items() if isinstance(s, ActivationSettings) and s.norm == norm}
        kinds = {kind: shown[scale] for kind, scale in HISTOGRAM_SCALES.items() if scale in shown}
        if kinds:
            fig, axes = plots.figure(columns=len(kinds))
            for ax, (kind, r) in zip(axes, kinds.items(), strict=True):
                title = f"{name}, scale {HISTOGRAM_SCALES[kind]:g} ({kind})"
                plots.histograms(r["edges"], np.array(r["counts"]), ax, xlabel="output of tanh", title=title)
            figures[f"activations_{name.replace(' ', '_')}"] = fig
    if mapped := over_map(results):
        figures["scale_and_rate"] = _draw_map(mapped)
    return figures


def _draw_accuracy(found: Mapping[RunSettings, dict[str, Any]]) -> Figure:
    grid = {scale_of(s): s.init for s in sorted(found, key=scale_of)}
    fig = accuracy_over(
        {name: {x: by_seed(found, norm=norm, init=init) for x, init in grid.items()} for name, norm in ARMS.items()},
        xlabel="standard deviation of the initial weights",
        title=f"5 x 100 tanh, {next(iter(found)).steps} steps",
    )
    fig.axes[0].set_ylim(0, 1.3)  # room for the legend
    fig.axes[0].set_yticks(np.linspace(0, 1, 6))
    return fig


def _draw_map(mapped: Mapping[RunSettings, dict[str, Any]]) -> Figure:
    fig, axes = plots.figure(columns=len(ARMS))
    grid, rates = sorted({scale_of(s) for s in mapped}), sorted({s.lr for s in mapped})
    for ax, (name, norm) in zip(axes, ARMS.items(), strict=True):
        cells: dict[tuple[float, float], list[float]] = {}
        for s, r in mapped.items():
            if s.norm == norm:
                cells.setdefault((s.lr, scale_of(s)), []).append(-math.inf if r["diverged"] else accuracy(r))
        values = [[statistics.median_low(cells.get((lr, x), [math.nan])) for x in grid] for lr in rates]
        plots.heat_map(
            grid,
            rates,
            np.array(values),
            ax,
            xlabel="standard deviation of the initial weights",
            ylabel="learning rate",
            title=name.capitalize(),
            colorbar="test accuracy" if ax is axes[-1] else "",
        )
    return fig


EXPERIMENT = Experiment(
    name="initialization",
    title="Less sensitive to the initialization",
    claim="With batch normalization a network is less sensitive to the scale of its initial weights.",
    method=(
        "5 x 100 tanh, every weight drawn from normal(0, scale), scales from 1e-4 to 5 in equal factors, SGD at "
        "learning rate 0.1 in both arms, batches of 60: test accuracy after 200 steps (full form: 1,000). An arm's "
        "width is the number of factors of ten of the scale, about its best one, over which the accuracy stays "
        "within 2 points of the arm's own best, with straight lines between the scales; a diverged run counts as "
        "accuracy 0, and an arm that is nowhere above 50 % has width 0. The claim holds if the width is larger "
        "with batch norm in every seed, and does not hold if it is larger in none. The full form also has every "
        "scale at nine learning rates from 0.003 to 30, 200 steps each, and the width at each scale's best rate."
    ),
    runs=runs,
    verdict=verdict,
    table=table,
    draw=draw,
    captions=CAPTIONS,
)
