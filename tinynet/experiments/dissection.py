"""Batch norm taken apart: which of its parts helps, and whether it does so by keeping distributions still."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tinynet import plots
from tinynet.datasets import Dataset
from tinynet.errors import unknown_name
from tinynet.experiments.arms import Results, accuracy, by_step, counted, decide, diverged, history, in_words, reached
from tinynet.experiments.experiment import Experiment, Verdict
from tinynet.experiments.runs import TrainingSettings
from tinynet.experiments.variants import MovingNoise, PartialNorm
from tinynet.layers import BatchNorm, Dense, Layer, LayerNorm, make_activation
from tinynet.losses import SoftmaxCrossEntropy
from tinynet.network import Network, Sequential
from tinynet.training import Callback, Run
from tinynet.typing import Array

# what stands between a Dense layer and its activation; none of these needs the Dense layer's bias
BEFORE: Mapping[str, Callable[[], list[Layer]]] = {
    "batch norm": lambda: [BatchNorm()],
    "noise after batch norm": lambda: [BatchNorm(), MovingNoise()],
    "without gamma and beta": lambda: [PartialNorm(affine=False)],
    "mean only": lambda: [PartialNorm(variance=False)],
    "variance only": lambda: [PartialNorm(mean=False)],
}
VARIANTS = ("none", *BEFORE, "after the activation", "layer norm")
SMALL, LARGE = 0.01, 1.0  # learning rates: the plain network trains slowly at the one, not at all at the other
KEPT = 0.9  # the share of batch norm's gain that a variant must have to keep it
ALONG = (0.5, 1.0, 2.0, 4.0)  # step sizes along the gradient, in learning rates: Santurkar's half to four times
PROBED = 600  # training images on which loss and gradient are taken


@dataclass(frozen=True, kw_only=True)
class DissectionSettings(TrainingSettings):
    """One training run of a deep network with one variant of batch norm in every hidden layer."""

    activation: str = "tanh"
    lr: float = SMALL
    steps: int = 1000
    variant: str = "none"
    record_every: int = 50
    test_size: int | None = None  # only the first so many test examples

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variant not in VARIANTS:
            raise unknown_name("variant", self.variant, VARIANTS)

    def network(self, inputs: int, classes: int) -> Sequential:
        """Return the network before training: every variant of a seed starts from the same weights."""
        layers: list[Layer] = []
        for _ in range(self.depth):
            layers.append(Dense(self.width, bias=self.variant not in BEFORE, init="glorot_normal"))
            layers += BEFORE[self.variant]() if self.variant in BEFORE else []
            layers += [LayerNorm()] if self.variant == "layer norm" else []
            layers.append(make_activation(self.activation))
            layers += [BatchNorm()] if self.variant == "after the activation" else []
        layers.append(Dense(classes, init="glorot_normal"))
        return Sequential(layers, inputs=inputs, seed=self.seed)

    def run(self) -> dict[str, Any]:
        """Train; return the history and, for the two references, how smooth the loss is along the gradient."""
        train, test = self.sets()
        net = self.network(train.x.shape[1], int(train.y.max()) + 1)
        landscape = Landscape(train[:PROBED], [self.lr * along for along in ALONG])
        watching = [landscape] if self.variant in ("none", "batch norm") else []
        history = self.fit(net, train, *watching, validation=test[: self.test_size], validate_every=self.record_every)
        return dataclasses.asdict(history) | {"landscape": landscape.measured}


@dataclass
class Landscape(Callback):
    """At every record, walk from the weights along the gradient, measure, and go back."""

    data: Dataset
    sizes: Sequence[float]
    measured: dict[str, list[float]] = field(
        default_factory=lambda: {name: [] for name in ("steps", "loss_range", "gradient_change", "smoothness")}
    )

    def on_record(self, run: Run) -> None:
        """Add one measurement."""
        for name, value in along_the_gradient(run.net, self.data, self.sizes).items():
            self.measured[name].append(value)
        self.measured["steps"].append(run.step)


def along_the_gradient(net: Network, data: Dataset, sizes: Sequence[float]) -> dict[str, float]:
    """Measure the loss around the weights w, in training mode, at w - size g for the gradient g at w.

    Returns
    -------
    dict of str to float
        ``loss_range``, largest minus smallest loss over the sizes; ``gradient_change``, the largest l2 distance
        between the gradient there and g; ``smoothness``, the largest ratio of that distance to the distance walked
        (Santurkar's "effective beta-smoothness"). Weights and running statistics are as they were.
    """
    before = {name: value.copy() for name, value in [*net.params.items(), *net.state.items()]}
    x = np.ascontiguousarray(data.x, net.dtype)
    _, g = _loss_and_gradient(net, x, data.y)
    length = _norm(g)
    losses, changes, ratios = [], [], []
    for size in sizes:
        for name, weight in net.params.items():
            weight[...] = before[name] - size * g[name]
        loss, there = _loss_and_gradient(net, x, data.y)
        losses.append(loss)
        changes.append(_norm({name: there[name] - g[name] for name in g}))
        ratios.append(changes[-1] / (size * length) if length else 0.0)
    for arrays in (net.params, net.state):
        for name, value in arrays.items():
            value[...] = before[name]
    return {
        "loss_range": max(losses) - min(losses),
        "gradient_change": max(changes),
        "smoothness": max(ratios),
    }


def _loss_and_gradient(net: Network, x: Array, y: Array) -> tuple[float, dict[str, Array]]:
    loss, dy = SoftmaxCrossEntropy()(net.forward(x, training=True), y)
    net.backward(dy, input_gradient=False)
    return loss, {name: grad.astype(np.float64) for name, grad in net.grads.items()}


def _norm(arrays: Mapping[str, Array]) -> float:
    return math.sqrt(sum(float(np.square(a).sum()) for a in arrays.values()))


def runs(quick: bool) -> list[DissectionSettings]:
    """Return every variant at both learning rates: for three seeds, in the full form for five and longer."""
    form: dict[str, Any] = {"steps": 250, "test_size": 2000} if quick else {"steps": 1000}
    return [
        DissectionSettings(variant=variant, seed=seed, lr=lr, **form)
        for seed in range(3 if quick else 5)
        for lr in (SMALL, LARGE)
        for variant in VARIANTS
    ]


Cells = Mapping[tuple[int, float, str], dict[str, Any]]  # seed, learning rate, variant
COUNTED = ("none", "batch norm", "noise after batch norm", "mean only", "variance only")


def by_cell(results: Results) -> Cells:
    """Return the results by seed, learning rate and variant."""
    return {(s.seed, s.lr, s.variant): result for s, result in results.items()}


def complete(cells: Cells) -> list[int]:
    """Return the seeds of which no run that counts is missing."""
    seeds = sorted({seed for seed, _, _ in cells})
    return [k for k in seeds if all((k, lr, name) in cells for lr in (SMALL, LARGE) for name in COUNTED)]


def score(result: dict[str, Any]) -> float:
    """Return the test accuracy, the mean over training, so that learning sooner counts; 0 for a diverged run."""
    return counted(math.nan if result["diverged"] else float(np.mean(result["validation_accuracy"])))


def share(cells: Cells, seed: int, lr: float, variant: str) -> float:
    """Return which share of batch norm's gain over none a variant has, nan if there is no gain."""
    none, full, other = (score(cells[seed, lr, name]) for name in ("none", "batch norm", variant))
    return (other - none) / (full - none) if full > none else math.nan


def typical(result: dict[str, Any], measure: str) -> float:
    """Return a measure of the landscape, the median over training; what is not finite is the largest of all."""
    values = np.array(result["landscape"][measure], np.float64)
    return float(np.median(np.where(np.isfinite(values), values, np.inf))) if len(values) else math.inf


def roughness(cells: Cells, seed: int, lr: float, measure: str) -> float:
    """Return how many times as large a measure of the landscape is without batch norm as with it."""
    none, full = (typical(cells[seed, lr, name], measure) for name in ("none", "batch norm"))
    return none / full if 0 < full < math.inf else math.nan


def explained(cells: Cells, seed: int) -> bool:
    """Return whether one seed's runs say that it takes mean and variance, not distributions that stay put."""
    kept = {name: [share(cells, seed, lr, name) >= KEPT for lr in (SMALL, LARGE)] for name in COUNTED}
    return (
        all(kept["batch norm"])  # there is a gain to explain
        and all(kept["noise after batch norm"])
        and not all(kept["mean only"])
        and not all(kept["variance only"])
        and all(roughness(cells, seed, lr, "smoothness") > 1 for lr in (SMALL, LARGE))
        and roughness(cells, seed, LARGE, "loss_range") > 1
    )


def verdict(results: Results) -> Verdict:
    """Return whether every seed says so, with the share of the gain that each variant keeps."""
    cells = by_cell(results)
    seeds = complete(cells)

    def quoted(measure: Callable[[Cells, int, float, str], float], name: str, form: str) -> str:
        texts = []
        for lr in (SMALL, LARGE):
            values = [measure(cells, k, lr, name) for k in seeds]
            texts.append(in_words([v for v in values if not math.isnan(v)], form))
        return f"{texts[0]} at learning rate {SMALL:g} and {texts[1]} at {LARGE:g}"

    kept = [quoted(share, name, "{:z.0%}") for name in COUNTED[2:]]
    rough = [quoted(roughness, name, "{:,.1f}") for name in ("smoothness", "loss_range")]
    sentence = (
        f"Of batch norm's gain over none, noise after it leaves {kept[0]}; the mean alone gives {kept[1]}; the "
        f"variance alone gives {kept[2]}. Walking along the gradient without batch norm, as a multiple of the same "
        f"with it: the gradient changes per distance by {rough[0]}, the loss varies by {rough[1]}"
        + (f"; {diverged(results.values())} runs diverged" if any(r["diverged"] for r in results.values()) else "")
        + "."
    )
    return Verdict(decide([explained(cells, k) for k in seeds]), sentence)


def _steps_to_90(arm: Sequence[dict[str, Any]]) -> str:
    steps = reached(arm, 0.9)
    return in_words(steps, "{:,.0f}") if len(steps) == len(arm) else f"{len(steps)} of {len(arm)} runs reached it"


def _arm(cells: Cells, lr: float, variant: str) -> list[dict[str, Any]]:
    return [result for (_, rate, name), result in sorted(cells.items()) if (rate, name) == (lr, variant)]


def table(results: Results) -> list[list[str]]:
    """Return a row for each variant and learning rate."""
    cells = by_cell(results)
    header = ["variant", "learning rate", "accuracy at the end", "mean while training", "steps to 90%"]
    rows = [[*header, "range of the loss", "gradient change per distance", "diverged"]]
    for lr in (SMALL, LARGE):
        for variant in VARIANTS:
            arm = _arm(cells, lr, variant)
            if not arm:
                continue
            whole = [result for result in arm if not result["diverged"]]
            row = [variant, f"{lr:g}", *(in_words([f(r) for r in whole], "{:.2%}") for f in (accuracy, score))]
            row.append(_steps_to_90(arm))
            for measure in ("loss_range", "smoothness"):
                measured = [typical(result, measure) for result in arm if result["landscape"]["steps"]]
                row.append(in_words(measured, "{:.2g}") if measured else "")
            rows.append([*row, diverged(arm)])
    return rows


CAPTIONS = {
    "accuracy": (
        "Test accuracy at the end by what stands in each hidden layer, at a small and at a large learning rate; a "
        "diverged run has none: a cross at the bottom."
    ),
    "curves": (
        "Test accuracy while training. The noise gives every unit another mean and standard deviation at every step."
    ),
    "loss_range": (
        "Largest minus smallest training loss over steps of half to four learning rates along the gradient, at the "
        "weights met in training."
    ),
    "smoothness": (
        "Change of the gradient per distance walked along it, the largest over the same steps: the effective "
        "beta-smoothness of Santurkar et al. 2018. Smaller means that a gradient can be trusted for longer."
    ),
}


def draw(results: Results) -> dict[str, Figure]:
    """Return the figures of `CAPTIONS`, by name; those that no run reached are left out."""
    cells = by_cell(results)
    rates = sorted({lr for _, lr, _ in cells})
    if not rates:
        return {}
    fig, (ax,) = plots.figure()
    groups = {
        f"learning rate {lr:g}": {
            textwrap.fill(name, 9, break_long_words=False): [accuracy(r) for r in arm]
            for name in VARIANTS
            if (arm := _arm(cells, lr, name))
        }
        for lr in rates
    }
    title = "Tanh network by what is left of batch norm"
    plots.dots(groups, ax, ylabel="test accuracy at the end", xlabel="variant", title=title, percent=True)
    figures = {"accuracy": fig}

    drawn = {lr: {name: list(map(history, arm)) for name in COUNTED if (arm := _arm(cells, lr, name))} for lr in rates}
    figures["curves"] = _beside(drawn, plots.curves)
    for measure, ylabel in (
        ("loss_range", "range of the loss (nats)"),
        ("smoothness", "gradient change per distance"),
    ):
        over_training = partial(plots.lines_with_bands, xlabel="step", ylabel=ylabel, logy=True)
        figures[measure] = _beside({lr: _landscapes(cells, lr, measure) for lr in rates}, over_training)
    return {name: figure for name, figure in figures.items() if figure.axes}


def _beside(arms: Mapping[float, Mapping[str, Any]], draw: Callable[..., object]) -> Figure:
    """Return a figure of the arms at each learning rate that has some, side by side."""
    arms = {lr: at_rate for lr, at_rate in arms.items() if at_rate}
    figure, axes = plots.figure(columns=len(arms)) if arms else (Figure(), [])
    for ax, (lr, at_rate) in zip(axes, arms.items(), strict=True):
        draw(at_rate, ax, title=f"Learning rate {lr:g}")
        ax.label_outer()
    return figure


def _landscapes(cells: Cells, lr: float, measure: str) -> dict[str, tuple[list[float], Array]]:
    """Return steps and one row a run, nan where it had diverged, of both references."""
    arms = {}
    for name in ("none", "batch norm"):
        measured = [result["landscape"] for result in _arm(cells, lr, name)]
        steps, rows = by_step((landscape["steps"], landscape[measure]) for landscape in measured)
        if steps:
            arms[name] = (steps, np.where(np.isfinite(rows), rows, np.nan))
    return arms


EXPERIMENT = Experiment(
    name="dissection",
    title="What in batch norm helps",
    claim="It takes both the mean and the variance, and helps by a smoother loss, not by distributions that stay put.",
    method=(
        f"784-5x100-10 tanh, batch 60, plain SGD at the learning rates {SMALL:g} and {LARGE:g}, 1,000 steps and five "
        "seeds (quick: 250, three); every variant of a seed has the same weights and batches. A variant's gain is its "
        "test accuracy, the mean over training, minus that with none (a diverged run counts as 0); it keeps batch "
        f"norm's gain if it has at least {KEPT:.0%} of it. At every record the loss and gradient on {PROBED} training "
        "images are taken at 0.5, 1, 2 and 4 learning rates along the gradient; of these measures the median over "
        "training counts. It holds if in every seed batch norm gains at both rates; noise after batch norm keeps the "
        "gain at both; mean only, and variance only, each lose it at one of them or both; the gradient changes less "
        "per distance with batch norm at both; and the loss varies less at the large rate. (At the small rate the "
        "gradient itself is larger with batch norm, so that a step changes the loss more: shown, not counted.)"
    ),
    runs=runs,
    verdict=verdict,
    table=table,
    draw=draw,
    captions=CAPTIONS,
)
