"""Vanishing gradients: how the gradient changes from layer to layer before any training, beside the theory."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tinynet import plots
from tinynet.experiments.arms import ARMS, Results, by_arm, by_step, by_value, decide, in_words, paired, rows_by_seed
from tinynet.experiments.experiment import Experiment, Verdict
from tinynet.experiments.figures import drawn, figure_of, lines
from tinynet.experiments.gradients import GradientSettings, MeanFieldSettings, mean_field_rate, vanishing_index
from tinynet.experiments.runs import RunSettings
from tinynet.typing import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BATCH = 60
NETWORKS = [("sigmoid", "lecun_normal"), ("tanh", "lecun_normal"), ("relu", "lecun_normal"), ("relu", "he_normal")]
THEORY = {  # of the squared gradient, per layer, without batch norm: Glorot and Bengio (2010), He et al. (2015)
    ("sigmoid", "lecun_normal"): 0.056,
    ("relu", "lecun_normal"): 0.5,
    ("relu", "he_normal"): 1.0,
}
NAMES = {"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "ReLU", "linear": "No activation"}
BY_LAYER = {  # the lines of the figures by layer: arm and initialization
    "sigmoid": {arm: (arm, "lecun_normal") for arm in ARMS},
    "tanh": {arm: (arm, "lecun_normal") for arm in ARMS},
    "relu": {
        "plain, LeCun's scale": ("plain", "lecun_normal"),
        "plain, He's scale": ("plain", "he_normal"),
        "batch norm": ("batch norm", "he_normal"),
    },
}
TICKS = (0.05, 0.1, 0.2, 0.5, 1, 1.5)
PROMISED = range(16, 129)  # the batch sizes at which the mean-field rate is to be met ...
TOLERANCE = 0.02  # ... within this share of it


def runs(quick: bool) -> list[GradientSettings | MeanFieldSettings | RunSettings]:
    """Return the runs on MNIST, those beside the mean-field theory, and trained ones; all paired by seed."""
    seeds = range(3) if quick else range(5)
    on_mnist = [
        GradientSettings(depth=depth, activation=activation, init=init, norm=norm, batch_size=BATCH, seed=seed)
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


def factors(runs: Mapping[int, dict[str, Any]]) -> dict[int, float]:
    """Return the fitted factor of every run that has one, by seed."""
    fitted = {seed: vanishing_index(result["squared"])[0] for seed, result in runs.items()}
    return {seed: factor for seed, factor in fitted.items() if math.isfinite(factor)}


def selected(results: Results, activation: str, init: str, depth: int) -> dict[str, dict[int, dict[str, Any]]]:
    """Return the results on MNIST of one network by arm and seed."""
    return by_arm(results, GradientSettings, activation=activation, init=init, depth=depth)


def depths(results: Results) -> list[int]:
    """Return the depths that were run on MNIST."""
    return sorted({s.depth for s in results if isinstance(s, GradientSettings)})


def wide(results: Results, activation: str) -> dict[int, dict[int, dict[str, Any]]]:
    """Return the results of the wide networks by batch size and seed."""
    return by_value(results, "batch_size", MeanFieldSettings, activation=activation)


def wide_factors(results: Results, activation: str) -> dict[int, dict[int, float]]:
    """Return the fitted factors of the wide networks by batch size and seed."""
    found = {size: factors(runs) for size, runs in wide(results, activation).items()}
    return {size: by_seed for size, by_seed in found.items() if by_seed}


def last_outputs(results: Results, arm: str) -> tuple[list[float], Array]:
    """Return the steps, and the mean output of the last hidden sigmoid over training: an array (runs, steps).

    It has nan where a run was not measured, as after it diverged.
    """
    probes = [result["probe"] for result in by_arm(results, RunSettings)[arm].values()]
    measured = [(probe["steps"], list(probe["values"]["mean"].values())[-1]) for probe in probes if probe["steps"]]
    steps, rows = by_step(measured)
    return steps, np.array(rows)


def distance_from_theory(results: Results) -> float:
    """Return the largest relative distance of a mean over seeds from the mean-field rate; nan without any run."""
    distances = [
        abs(statistics.fmean(found.values()) / mean_field_rate(activation, size) - 1)
        for activation in ("relu", "linear")
        for size, found in wide_factors(results, activation).items()
        if size in PROMISED
    ]
    return max(distances, default=math.nan)


# -- what they say ------------------------------------------------------------------------------------------


def verdict(results: Results) -> Verdict:
    """Return whether batch norm brings the deepest sigmoid network's factor per layer closer to 1 for every seed."""
    deep = max(depths(results), default=0)
    pairs = paired(*map(factors, selected(results, "sigmoid", "lecun_normal", deep).values())).values()
    if not pairs:
        return Verdict("not shown", "No pair of sigmoid networks has a gradient to measure.")
    closer = [abs(math.log(normalized)) < abs(math.log(plain)) for plain, normalized in pairs]
    plain, normalized = map(in_words, zip(*pairs, strict=True))
    sentence = (
        f"Through {deep} sigmoid layers the squared gradient changes per layer toward the input by a factor of "
        f"{normalized} with batch norm and {plain} without."
    )
    relu = list(factors(selected(results, "relu", "he_normal", deep)["batch norm"]).values())
    if relu:
        powers = [(deep - 1) * math.log10(f) for f in relu]
        kind = "an explosion" if min(powers) > 1 else "vanishing" if max(powers) < -1 else "no explosion"
        sentence += (
            f" With ReLU and batch norm a factor of {in_words(relu)} per layer (theory "
            f"{mean_field_rate('relu', BATCH):.3g}) makes {in_words(powers, '10^{:.1f}')} in all: {kind}."
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
            for arm, found in selected(results, activation, init, depth).items():
                values = factors(found).values()
                if not values:
                    continue
                known = THEORY.get((activation, init)) if ARMS[arm] is None else None
                if ARMS[arm] and activation == "relu":
                    known = mean_field_rate("relu", BATCH)
                cells = [in_words(values), fit_width(found.values()), f"{known:.3g}" if known else ""]
                rows.append([f"{activation}, {init}", str(depth), str(BATCH), arm, *cells])
    for activation in ("relu", "linear"):
        for size, fitted in wide_factors(results, activation).items():
            settings = next(s for s in results if isinstance(s, MeanFieldSettings))
            fit = fit_width(wide(results, activation)[size].values())
            name = f"{activation}, width {settings.width}, Gaussian data"
            cells = [in_words(fitted.values(), "{:.4f}"), fit, f"{mean_field_rate(activation, size):.4f}"]
            rows.append([name, str(settings.depth), str(size), "batch norm", *cells])
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
    outputs = {arm: last_outputs(results, arm) for arm in ARMS}
    how: dict[str, Any] = {"xlabel": "step (one update each)", "ylabel": "mean output of the last sigmoid"}
    figures = {kind: _draw_by_layer(results, kind) for kind in BY_LAYER}
    figures["saturation"] = lines(outputs, title="Saturation while training", **how)
    figures["factor"] = _draw_factor(results)
    figures["mean_field"] = _draw_mean_field(results)
    return drawn(figures)


def _draw_by_layer(results: Results, kind: str) -> Figure:
    deep = max(depths(results), default=0)
    arms: dict[str, tuple[list[int], Array]] = {}
    for name, (arm, init) in BY_LAYER[kind].items():
        if runs := selected(results, kind, init, deep)[arm]:
            arms[name] = list(range(1, deep + 1)), np.array([r["gradient_rms"] for r in runs.values()])
    title = f"{NAMES[kind]}, {deep} hidden layers, before any training"
    fig = figure_of(plots.gradient_by_layer, arms, title=title)
    legend = fig.axes[0].get_legend() if fig.axes else None
    if kind == "relu" and legend is not None:  # three lines: between the lower two there is room
        legend.set_loc((0.04, 0.24))
    return fig


def _draw_factor(results: Results) -> Figure:
    measured: dict[str, tuple[list[int], list[list[float]]]] = {}
    for activation, init in (("sigmoid", "lecun_normal"), ("relu", "he_normal")):
        for arm in ARMS:
            found = {depth: factors(selected(results, activation, init, depth)[arm]) for depth in depths(results)}
            found = {depth: by_seed for depth, by_seed in found.items() if by_seed}
            measured[f"{NAMES[activation]}, {arm}"] = list(found), rows_by_seed(found.values())
    fig = lines(
        measured,
        xlabel="hidden layers",
        ylabel="factor of the squared gradient",
        title="Change per layer toward the data",
        logy=True,
        points=True,
        theory={"1: neither vanishes nor explodes": ([0, max(depths(results), default=0)], [1, 1])},
    )
    for ax in fig.axes:
        ax.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
        ax.minorticks_off()
    return fig


def _draw_mean_field(results: Results) -> Figure:
    measured = {a: found for a in ("relu", "linear") if (found := wide_factors(results, a))}
    sizes = {a: np.geomspace(min(found), max(found)).tolist() for a, found in measured.items()}
    return lines(
        {f"{NAMES[a]}, measured": (list(found), rows_by_seed(found.values())) for a, found in measured.items()},
        ticks=sorted(set().union(*measured.values())),
        xlabel="batch size",
        ylabel="factor per layer",
        title="Growth of the squared gradient with batch norm",
        logx=True,
        points=True,
        theory={f"{NAMES[a]}, theory": (x, [mean_field_rate(a, n) for n in x]) for a, x in sizes.items()},
    )


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
