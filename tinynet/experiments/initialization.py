"""Is batch normalization less sensitive to the weight initialization? Accuracy over the scale of the weights."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tinynet import plots
from tinynet.experiments.arms import ARMS, Results, accuracy, by_seed, counted, decide, diverged, in_words, select
from tinynet.experiments.experiment import Experiment, Verdict
from tinynet.experiments.figures import accuracy_over, beside, drawn, figure_of
from tinynet.experiments.runs import NetworkSettings, RunSettings
from tinynet.experiments.store import Settings
from tinynet.layers import Activation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALLEST, LARGEST = 1e-4, 5.0
QUICK_SCALES = 13
RATE = 0.1
MAP_RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
MAP_STEPS = 200
WITHIN = 0.02  # of its own best accuracy
TRAINED = 0.5  # an arm that is never above this has not trained: level at chance is not insensitive
SCALE = "standard deviation of the initial weights"
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
    trained = select(results, RunSettings)
    return select(trained, steps=max((s.steps for s in trained), default=0), lr=RATE)


def over_map(results: Results) -> dict[RunSettings, dict[str, Any]]:
    """Return the runs over scale and learning rate: none in the quick form."""
    found = select(results, RunSettings, steps=MAP_STEPS)
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


def by_scale(found: Results) -> dict[float, list[float]]:
    """Return the accuracies by scale."""
    accuracies: dict[float, list[float]] = {}
    for s, r in found.items():
        accuracies.setdefault(scale_of(s), []).append(accuracy(r))
    return accuracies


def widths(found: Results) -> dict[int, dict[str, float]]:
    """Return each arm's width by seed, at the best learning rate of each scale where there are several.

    A seed with a run missing in either arm is left out.
    """
    grid = {(s.init, s.lr) for s in found}
    measured: dict[int, dict[str, float]] = {}
    for seed in sorted({s.seed for s in found}):
        arms = {name: select(found, norm=norm, seed=seed) for name, norm in ARMS.items()}
        if all(len(arm) == len(grid) for arm in arms.values()):
            measured[seed] = {
                name: width({scale: max(map(counted, rates)) for scale, rates in by_scale(arm).items()})
                for name, arm in arms.items()
            }
    return measured


def widths_by_arm(found: Results) -> dict[str, list[float]]:
    """Return the same widths by arm."""
    return {name: [pair[name] for pair in widths(found).values()] for name in ARMS}


def verdict(results: Results) -> Verdict:
    """Return whether batch norm trains over a wider range of scales in every seed."""
    plain, normalized = widths_by_arm(over_scale(results)).values()
    if not plain:
        return Verdict("not shown", "No seed has every run of both arms.")
    wider = [b - a for a, b in zip(plain, normalized, strict=True)]
    sentence = (
        f"Accuracy stays within {100 * WITHIN:g} points of its best over {in_words(normalized, '{:.1f}')} "
        f"factors of ten of the weight scale with batch norm, over {in_words(plain, '{:.1f}')} without; the "
        f"difference, pair by pair, is {in_words(wider, '{:+.1f}')}."
    )
    without, with_norm = widths_by_arm(over_map(results)).values()
    if without:
        tuned = f"{in_words(with_norm, '{:.1f}')} with, {in_words(without, '{:.1f}')} without"
        sentence += f" At each scale's best learning rate, {MAP_STEPS} steps: {tuned}."
    return Verdict(decide([more > 0 for more in wider]), sentence)


def table(results: Results) -> list[list[str]]:
    """Return a row an arm: its best, where that is, how wide it is, and how many runs diverged."""
    rows = [["arm", "best accuracy", "at scale", "worst accuracy", "width in decades", "at best rates", "diverged"]]
    found = over_scale(results)
    fixed, tuned = widths_by_arm(found), widths_by_arm(over_map(results))
    for name, norm in ARMS.items():
        arm = select(found, norm=norm)
        trained = {x: values for x, values in by_scale(arm).items() if not all(map(math.isnan, values))}
        middles = {x: statistics.median(a for a in values if not math.isnan(a)) for x, values in trained.items()}
        cells = ["none"] * 3
        if trained:
            best = max(trained, key=lambda x: statistics.median(map(counted, trained[x])))
            cells = [f"{middles[best]:.1%}", f"{best:g}", f"{min(middles.values()):.1%}"]
        wide = [in_words(arms[name], "{:.1f}") for arms in (fixed, tuned)]
        rows.append([name, *cells, *wide, diverged(arm.values())])
    return rows


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
    if found := over_scale(results):
        figures["accuracy"] = _draw_accuracy(found)
        how: dict[str, Any] = {"ylabel": "width (factors of ten)", "title": "How far the scale may be off"}
        figures["width"] = figure_of(plots.dots, {"width": widths_by_arm(found)}, **how)
        figures["width"].axes[0].set_ylim(bottom=0)
    for name, norm in ARMS.items():
        made = {s.scale: r for s, r in select(results, ActivationSettings, norm=norm).items()}
        kinds = {kind: scale for kind, scale in HISTOGRAM_SCALES.items() if scale in made}
        shown = {f"{name}, scale {scale:g} ({kind})": made[scale] for kind, scale in kinds.items()}
        figures[f"activations_{name.replace(' ', '_')}"] = beside(shown, _histograms)
    if mapped := over_map(results):
        figures["scale_and_rate"] = _draw_map(mapped)
    return drawn(figures)


def _draw_accuracy(found: Results) -> Figure:
    grid = {scale_of(s): s.init for s in sorted(found, key=scale_of)}
    arms = {name: {x: by_seed(found, norm=norm, init=init) for x, init in grid.items()} for name, norm in ARMS.items()}
    fig = accuracy_over(arms, xlabel=SCALE, title=f"5 x 100 tanh, {next(iter(found)).steps} steps")
    fig.axes[0].set_ylim(0, 1.3)  # room for the legend
    fig.axes[0].set_yticks(np.linspace(0, 1, 6))
    return fig


def _histograms(run: dict[str, Any], ax: Axes, title: str) -> None:
    plots.histograms(run["edges"], np.array(run["counts"]), ax, xlabel="output of tanh", title=title)


def _draw_map(mapped: Results) -> Figure:
    fig, axes = plots.figure(columns=len(ARMS))
    grid, rates = sorted({scale_of(s) for s in mapped}), sorted({s.lr for s in mapped})
    for ax, (name, norm) in zip(axes, ARMS.items(), strict=True):
        found = [by_scale(select(mapped, norm=norm, lr=lr)) for lr in rates]
        cells = [[sorted(row.get(x, [math.nan]), key=counted) for x in grid] for row in found]
        # the lower median, which is that of a diverged run where most diverged: nan, drawn as a cross
        middles = np.array([[cell[(len(cell) - 1) // 2] for cell in row] for row in cells])
        labels = {"xlabel": SCALE, "ylabel": "learning rate", "colorbar": "test accuracy" if ax is axes[-1] else ""}
        plots.heat_map(grid, rates, middles, ax, title=name.capitalize(), **labels)
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
