"""Vanishing gradients: how the gradient changes from layer to layer before any training, beside the theory."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tinynet import plots
from tinynet.experiments.experiment import Experiment, Results, Verdict, by_step, decide, interval, rows_by_seed
from tinynet.experiments.gradients import (
    BATCH,
    GradientSettings,
    MeanFieldSettings,
    mean_field_rate,
    vanishing_index,
)
from tinynet.experiments.runs import RunSettings
from tinynet.typing import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ARMS: dict[str, Literal["batch"] | None] = {"plain": None, "batch norm": "batch"}
NETWORKS = [("sigmoid", "lecun_normal"), ("tanh", "lecun_normal"), ("relu", "lecun_normal"), ("relu", "he_normal")]
THEORY = {  # of the squared gradient, per layer, without batch norm: Glorot and Bengio (2010), He et al. (2015)
    ("sigmoid", "lecun_normal"): 0.056,
    ("relu", "lecun_normal"): 0.5,
    ("relu", "he_normal"): 1.0,
}
NAMES = {"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "ReLU", "linear": "No activation"}
SCALES = {"lecun_normal": "LeCun's scale", "he_normal": "He's scale"}
TICKS = (0.05, 0.1, 0.2, 0.5, 1, 1.5)
PROMISED = range(16, 129)  # the batch sizes at which the mean-field rate is to be met ...
TOLERANCE = 0.02  # ... within this share of it


def runs(quick: bool) -> list[GradientSettings | MeanFieldSettings | RunSettings]:
    """Return the runs on MNIST, those beside the mean-field theory, and trained ones; all paired by seed."""
    seeds = range(3) if quick else range(5)
    on_mnist = [
        GradientSettings(depth=depth, activation=activation, init=init, norm=norm, seed=seed)
        for depth in ((2, 10, 30) if quick else (2, 5, 10, 20, 30, 50))
        for activation, init in NETWORKS
        for seed in seeds
        for norm in ARMS.values()
    ]
    wide = [
        MeanFieldSettings(activation=activation, batch_size=batch_size, depth=20 if quick else 30, seed=seed)
        for activation in ("relu", "linear")
        for batch_size in ((16, 32, 64, 128) if quick else (8, 16, 32, 64, 128, 256))
        for seed in seeds
    ]
    steps = 400 if quick else 4000
    trained = [
        RunSettings(depth=5, lr=1.0, norm=norm, steps=steps, record_every=steps // 20, seed=seed)
        for seed in seeds
        for norm in ARMS.values()
    ]
    return [*on_mnist, *wide, *trained]


def fit_width(results: Iterable[dict[str, Any]]) -> str:
    """Return the half width of one fit's 95 % interval, relative to the factor, the median over runs."""
    fits = [vanishing_index(result["squared"]) for result in results]
    widths = [math.sqrt(high / low) - 1 for _, low, high in fits if math.isfinite(low)]
    return f"+- {statistics.median(widths):.1%}" if widths else ""


def factors(results: Results, activation: str, init: str, arm: str, depth: int) -> dict[int, float]:
    """Return the fitted factor by seed."""
    found = selected(results, activation, init, arm, depth)
    by_seed = {seed: vanishing_index(result["squared"])[0] for seed, result in found.items()}
    return {seed: value for seed, value in by_seed.items() if math.isfinite(value)}


def selected(results: Results, activation: str, init: str, arm: str, depth: int) -> dict[int, dict[str, Any]]:
    """Return the results on MNIST of one network and arm, by seed."""
    wanted = (activation, init, ARMS[arm], depth)
    return {
        s.seed: result
        for s, result in sorted(results.items(), key=lambda pair: int(pair[0].seed))
        if isinstance(s, GradientSettings) and (s.activation, s.init, s.norm, s.depth) == wanted
    }


def depths(results: Results) -> list[int]:
    """Return the depths that were run on MNIST."""
    return sorted({s.depth for s in results if isinstance(s, GradientSettings)})


def wide_factors(results: Results, activation: str) -> dict[int, list[float]]:
    """Return the fitted factors of the wide networks, one a seed, by batch size."""
    found: dict[int, list[float]] = {}
    for s, result in results.items():
        if isinstance(s, MeanFieldSettings) and s.activation == activation:
            found.setdefault(s.batch_size, []).append(vanishing_index(result["squared"])[0])
    finite = {size: [f for f in values if math.isfinite(f)] for size, values in sorted(found.items())}
    return {size: values for size, values in finite.items() if values}


def last_outputs(results: Results, arm: str) -> tuple[list[float], Array]:
    """Return the steps, and the mean output of the last hidden sigmoid over training: an array (runs, steps).

    It has nan where a run was not measured, as after it diverged.
    """
    probes = [r["probe"] for s, r in results.items() if isinstance(s, RunSettings) and s.norm == ARMS[arm]]
    measured = [(probe["steps"], list(probe["values"]["mean"].values())[-1]) for probe in probes if probe["steps"]]
    steps, rows = by_step(measured)
    return steps, np.array(rows)


def distance_from_theory(results: Results) -> float:
    """Return the largest relative distance of a mean over seeds from the mean-field rate; nan without any run."""
    distances = [
        abs(statistics.fmean(values) / mean_field_rate(activation, size) - 1)
        for activation in ("relu", "linear")
        for size, values in wide_factors(results, activation).items()
        if size in PROMISED
    ]
    return max(distances, default=math.nan)


# -- what they say ------------------------------------------------------------------------------------------


def verdict(results: Results) -> Verdict:
    """Return whether batch norm brings the deepest sigmoid network's factor per layer closer to 1 for every seed."""
    deep = max(depths(results), default=0)
    plain, normalized = (factors(results, "sigmoid", "lecun_normal", arm, deep) for arm in ARMS)
    seeds = sorted(plain.keys() & normalized.keys())
    if not seeds:
        return Verdict("not shown", "No pair of sigmoid networks has a gradient to measure.")
    closer = [abs(math.log(normalized[seed])) < abs(math.log(plain[seed])) for seed in seeds]
    sentence = (
        f"Through {deep} sigmoid layers the squared gradient changes per layer toward the input by a factor of "
        f"{interval([normalized[seed] for seed in seeds])} with batch norm and "
        f"{interval([plain[seed] for seed in seeds])} without."
    )
    relu = list(factors(results, "relu", "he_normal", "batch norm", deep).values())
    if relu:
        powers = [(deep - 1) * math.log10(f) for f in relu]
        kind = "an explosion" if min(powers) > 1 else "vanishing" if max(powers) < -1 else "no explosion"
        sentence += (
            f" With ReLU and batch norm a factor of {interval(relu)} per layer (theory "
            f"{mean_field_rate('relu', BATCH):.3g}) makes {interval(powers, '10^{:.1f}')} in all: {kind}."
        )
    distance = distance_from_theory(results)
    if math.isfinite(distance):
        met = "met within" if distance <= TOLERANCE else "missed by up to"
        sentence += f" Mean-field rates at width 1000, batch 16 to 128, ReLU and linear: {met} {distance:.1%}."
    return Verdict(decide(closer), sentence)


def table(results: Results) -> list[list[str]]:
    """Return the factor of every network that is deep enough for a fit, and of the wide ones, beside the theory."""
    rows = [["network", "layers", "batch", "arm", "factor per layer", "95 % of one fit", "theory"]]
    for activation, init in NETWORKS:
        for depth in depths(results):
            for arm in ARMS:
                values = list(factors(results, activation, init, arm, depth).values())
                if not values:
                    continue
                known = THEORY.get((activation, init)) if ARMS[arm] is None else None
                if ARMS[arm] and activation == "relu":
                    known = mean_field_rate("relu", BATCH)
                width = fit_width(selected(results, activation, init, arm, depth).values())
                cells = [interval(values), width, f"{known:.3g}" if known else ""]
                rows.append([f"{activation}, {init}", str(depth), str(BATCH), arm, *cells])
    for activation in ("relu", "linear"):
        wide = [s for s in results if isinstance(s, MeanFieldSettings) and s.activation == activation]
        for size, values in wide_factors(results, activation).items():
            of_size = [s for s in wide if s.batch_size == size]
            width = fit_width(results[s] for s in of_size)
            name = f"{activation}, width {of_size[0].width}, Gaussian data"
            cells = [interval(values, "{:.4f}"), width, f"{mean_field_rate(activation, size):.4f}"]
            rows.append([name, str(of_size[0].depth), str(size), "batch norm", *cells])
    return rows


FIRST_LAYERS = (
    "Root mean square per weight of each hidden layer's gradient, on one batch of MNIST with the initial weights. "
    "Both arms have the same weights, seed by seed. "
)
CAPTIONS = {
    "sigmoid": FIRST_LAYERS
    + "The sigmoid's slope is at most 1/4: without batch norm nothing reaches the first layers.",
    "tanh": FIRST_LAYERS + "At this initialization tanh loses little: batch norm makes the gradient grow instead.",
    "relu": (
        FIRST_LAYERS
        + "A weight's gradient is what comes forward times what comes back. With LeCun's scale each of the "
        "two halves its square per layer, so that the product is level and tiny; with He's neither changes. With "
        "batch norm (He's scale; LeCun's gives the same factors) the gradient explodes toward the data."
    ),
    "saturation": (
        "Mean output of the last hidden layer's sigmoid over training, 5 x 100 at learning rate 1. It starts at 0.5, "
        "where the sigmoid is steepest; toward 0 it is saturated and hardly lets the gradient pass, as in Figure 2 of "
        "Glorot and Bengio (2010)."
    ),
    "factor": (
        "Factor of the squared gradient per layer toward the input, against depth, from a straight line through its "
        "logarithm; 1 is a gradient that neither vanishes nor explodes."
    ),
    "mean_field": (
        "The same factor in networks of width 1000 with batch norm, for Gaussian data and a Gaussian gradient at the "
        "last layer, against the batch size; lines: Yang et al. (2019), for infinite width. Without an activation "
        "the points lie above the line at large batches: there the width is not so much larger than the batch."
    ),
}


def draw(results: Results) -> dict[str, Figure]:
    """Return the figures of `CAPTIONS`; those that no run reached are left out."""
    drawn = {kind: _draw_by_layer(results, kind) for kind in ("sigmoid", "tanh", "relu")}
    drawn |= {
        "saturation": _draw_saturation(results),
        "factor": _draw_factor(results),
        "mean_field": _draw_mean_field(results),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _draw_by_layer(results: Results, kind: str) -> Figure | None:
    deep = max(depths(results), default=0)
    arms: dict[str, tuple[list[int], Array]] = {}
    for activation, init in NETWORKS:
        for arm in ARMS:
            found = selected(results, activation, init, arm, deep)
            if activation == kind and found and not (ARMS[arm] and init == "lecun_normal" and kind == "relu"):
                name = f"{arm}, {SCALES[init]}" if kind == "relu" and ARMS[arm] is None else arm
                arms[name] = list(range(1, deep + 1)), np.array([r["gradient_rms"] for r in found.values()])
    if not arms:
        return None
    fig, (ax,) = plots.figure()
    plots.gradient_by_layer(arms, ax, title=f"{NAMES[kind]}, {deep} hidden layers, before any training")
    legend = ax.get_legend()
    if kind == "relu" and legend is not None:  # three lines: between the lower two there is room
        legend.set_loc((0.04, 0.24))
    return fig


def _draw_saturation(results: Results) -> Figure | None:
    outputs = {arm: last_outputs(results, arm) for arm in ARMS}
    outputs = {arm: (steps, rows) for arm, (steps, rows) in outputs.items() if steps}
    if not outputs:
        return None
    fig, (ax,) = plots.figure()
    plots.lines_with_bands(
        outputs,
        ax,
        xlabel="step (one update each)",
        ylabel="mean output of the last sigmoid",
        title="Saturation while training",
    )
    return fig


def _draw_factor(results: Results) -> Figure | None:
    lines: dict[str, tuple[list[float], Array]] = {}
    for activation, init in (("sigmoid", "lecun_normal"), ("relu", "he_normal")):
        for arm in ARMS:
            by_depth = {depth: factors(results, activation, init, arm, depth) for depth in depths(results)}
            by_depth = {depth: by_seed for depth, by_seed in by_depth.items() if by_seed}
            if by_depth:
                rows = np.array(rows_by_seed(by_depth.values()))
                lines[f"{NAMES[activation]}, {arm}"] = [float(depth) for depth in by_depth], rows
    if not lines:
        return None
    fig, (ax,) = plots.figure()
    plots.lines_with_bands(
        lines,
        ax,
        xlabel="hidden layers",
        ylabel="factor of the squared gradient",
        title="Change per layer toward the data",
        logy=True,
        points=True,
        theory={"1: neither vanishes nor explodes": ([0, max(depths(results))], [1, 1])},
    )
    ax.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
    ax.minorticks_off()
    return fig


def _draw_mean_field(results: Results) -> Figure | None:
    points: dict[str, tuple[list[float], Array]] = {}
    theory: dict[str, tuple[list[float], list[float]]] = {}
    for activation in ("relu", "linear"):
        measured = wide_factors(results, activation)
        if not measured:
            continue
        most = max(map(len, measured.values()))
        rows = [[f[k] if k < len(f) else math.nan for f in measured.values()] for k in range(most)]
        points[f"{NAMES[activation]}, measured"] = [float(size) for size in measured], np.array(rows)
        sizes = np.geomspace(min(measured), max(measured)).tolist()
        theory[f"{NAMES[activation]}, theory"] = sizes, [mean_field_rate(activation, n) for n in sizes]
    if not points:
        return None
    fig, (ax,) = plots.figure()
    plots.lines_with_bands(
        points,
        ax,
        xlabel="batch size",
        ylabel="factor per layer",
        title="Growth of the squared gradient with batch norm",
        logx=True,
        points=True,
        theory=theory,
    )
    sizes = sorted({int(size) for x, _ in points.values() for size in x})
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.minorticks_off()
    return fig


EXPERIMENT = Experiment(
    name="vanishing-gradients",
    title="Vanishing gradients",
    claim="Batch normalization reduces the vanishing gradients problem.",
    method=(
        "Networks of 2 to 50 layers of 100 units (quick form: to 30), before any training, on one batch of "
        f"{BATCH} MNIST images: the gradient of every hidden layer. The vanishing index is the factor per layer, "
        "toward the input, of the squared gradient of what goes into the activations: a straight line through its "
        "logarithm over the interior layers. The claim holds if in the deepest sigmoid network (LeCun initialization: "
        "variance 1 / inputs) the factor's logarithm is closer to 0 with batch norm for every seed. Beside it, wide "
        "networks measure how fast batch norm makes the gradient explode, against the mean-field theory; and "
        "trained 5-layer sigmoid networks show the last layer saturate without batch norm (drawn, not judged)."
    ),
    runs=runs,
    verdict=verdict,
    table=table,
    draw=draw,
    captions=CAPTIONS,
)
