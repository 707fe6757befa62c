"""Batch norm taken apart: which of its parts helps, and whether it does so by keeping distributions still."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tinynet import plots
from tinynet.datasets import Dataset
from tinynet.errors import unknown_name
from tinynet.experiments.arms import Results, accuracy, by_seed, by_step, decide, diverged, history, in_words, reached
from tinynet.experiments.experiment import Experiment, Verdict
from tinynet.experiments.figures import beside, drawn, figure_of
from tinynet.experiments.gradients import along_the_gradient
from tinynet.experiments.runs import TrainingSettings
from tinynet.experiments.variants import BEFORE, VARIANTS
from tinynet.layers import BatchNorm, Dense, Layer, LayerNorm, make_activation
from tinynet.network import Sequential
from tinynet.training import Callback, Run
from tinynet.typing import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATES = SMALL, LARGE = 0.01, 1.0  # learning rates: the plain network trains slowly at the one, not at all at the other
REFERENCES = ("none", "batch norm")
COUNTED = (*REFERENCES, "noise after batch norm", "mean only", "variance only")  # in the verdict
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
        watching = [landscape] if self.variant in REFERENCES else []
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
        measured = {"steps": run.step} | along_the_gradient(run.net, self.data, self.sizes)
        for name, value in measured.items():
            self.measured[name].append(value)


def runs(quick: bool) -> list[DissectionSettings]:
    """Return every variant at both learning rates: for three seeds, in the full form for five and longer."""
    form: dict[str, Any] = {"steps": 250, "test_size": 2000} if quick else {"steps": 1000}
    return [
        DissectionSettings(variant=variant, seed=seed, lr=lr, **form)
        for seed in range(3 if quick else 5)
        for lr in RATES
        for variant in VARIANTS
    ]


Arms = Mapping[float, Mapping[str, Mapping[int, dict[str, Any]]]]  # results by learning rate, variant and seed


def by_rate(results: Results, variants: Sequence[str] = VARIANTS) -> Arms:
    """Return the runs of these variants by learning rate, variant and seed, where there are any."""
    found = {lr: {name: runs for name in variants if (runs := by_seed(results, lr=lr, variant=name))} for lr in RATES}
    return {lr: arms for lr, arms in found.items() if arms}


def complete(arms: Arms) -> list[int]:
    """Return the seeds of which no run that counts is missing."""
    counted = [arms.get(lr, {}).get(name, {}) for lr in RATES for name in COUNTED]
    return sorted(set.intersection(*map(set, counted)))


def score(result: dict[str, Any]) -> float:
    """Return the test accuracy, the mean over training, so that learning sooner counts; 0 for a diverged run."""
    return 0.0 if result["diverged"] else float(np.mean(result["validation_accuracy"]))


def share(arms: Arms, seed: int, lr: float, variant: str) -> float:
    """Return which share of batch norm's gain over none a variant has, nan if there is no gain."""
    none, full, other = (score(arms[lr][name][seed]) for name in (*REFERENCES, variant))
    return (other - none) / (full - none) if full > none else math.nan


def typical(result: dict[str, Any], measure: str) -> float:
    """Return a measure of the landscape, the median over training; what is not finite is the largest of all."""
    values = np.array(result["landscape"][measure], np.float64)
    return float(np.median(np.where(np.isfinite(values), values, np.inf))) if len(values) else math.inf


def roughness(arms: Arms, seed: int, lr: float, measure: str) -> float:
    """Return how many times as large a measure of the landscape is without batch norm as with it."""
    none, full = (typical(arms[lr][name][seed], measure) for name in REFERENCES)
    return none / full if 0 < full < math.inf else math.nan


def explained(arms: Arms, seed: int) -> bool:
    """Return whether one seed's runs say that it takes mean and variance, not distributions that stay put."""
    kept = {name: [share(arms, seed, lr, name) >= KEPT for lr in RATES] for name in COUNTED}
    return (
        all(kept["batch norm"])  # there is a gain to explain
        and all(kept["noise after batch norm"])
        and not all(kept["mean only"])
        and not all(kept["variance only"])
        and all(roughness(arms, seed, lr, "smoothness") > 1 for lr in RATES)
        and roughness(arms, seed, LARGE, "loss_range") > 1
    )


def verdict(results: Results) -> Verdict:
    """Return whether every seed says so, with the share of the gain that each variant keeps."""
    arms = by_rate(results)
    seeds = complete(arms)

    def quoted(measure: Callable[[Arms, int, float, str], float], name: str, form: str) -> str:
        texts = []
        for lr in RATES:
            values = [measure(arms, k, lr, name) for k in seeds]
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
    return Verdict(decide([explained(arms, k) for k in seeds]), sentence)


def _steps_to_90(arm: Sequence[dict[str, Any]]) -> str:
    steps = reached(arm, 0.9)
    return in_words(steps, "{:,.0f}") if len(steps) == len(arm) else f"{len(steps)} of {len(arm)} runs reached it"


def table(results: Results) -> list[list[str]]:
    """Return a row for each variant and learning rate."""
    header = ["variant", "learning rate", "accuracy at the end", "mean while training", "steps to 90%"]
    rows = [[*header, "range of the loss", "gradient change per distance", "diverged"]]
    for lr, arms in by_rate(results).items():
        for variant, runs in arms.items():
            arm = list(runs.values())
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
    ends = {
        f"learning rate {lr:g}": {
            textwrap.fill(name, 9, break_long_words=False): list(map(accuracy, arm.values()))
            for name, arm in arms.items()
        }
        for lr, arms in by_rate(results).items()
    }
    how: dict[str, Any] = {"ylabel": "test accuracy at the end", "xlabel": "variant", "percent": True}
    curves = {
        f"Learning rate {lr:g}": {name: list(map(history, arm.values())) for name, arm in arms.items()}
        for lr, arms in by_rate(results, COUNTED).items()
    }
    figures = {
        "accuracy": figure_of(plots.dots, ends, title="Tanh network by what is left of batch norm", **how),
        "curves": beside(curves, plots.curves),
        "loss_range": _over_training(results, "loss_range", "range of the loss (nats)"),
        "smoothness": _over_training(results, "smoothness", "gradient change per distance"),
    }
    return drawn(figures)


def _over_training(results: Results, measure: str, ylabel: str) -> Figure:
    """Return a figure of a measure of the landscape of both references, with gaps where a run had diverged."""
    panels: dict[str, dict[str, tuple[list[float], Array]]] = {}
    for lr, arms in by_rate(results, REFERENCES).items():
        for name, arm in arms.items():
            measured = [result["landscape"] for result in arm.values()]
            steps, rows = by_step((landscape["steps"], landscape[measure]) for landscape in measured)
            if steps:
                known = np.where(np.isfinite(rows), rows, np.nan)
                panels.setdefault(f"Learning rate {lr:g}", {})[name] = steps, known
    return beside(panels, partial(plots.lines_with_bands, xlabel="step", ylabel=ylabel, logy=True))


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
