"""Figure 1 of Ioffe and Szegedy 2015, run again, and a published replication's numbers beside measured ones."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tinynet import plots
from tinynet.datasets import Dataset
from tinynet.errors import InputError
from tinynet.evaluation import evaluate
from tinynet.experiments import replication
from tinynet.experiments.arms import ARMS, Results, accuracy, by_arm, decide, diverged, history, in_words, paired
from tinynet.experiments.experiment import Experiment, Verdict
from tinynet.experiments.figures import figure_of, titled
from tinynet.experiments.replication import ReplicationSettings
from tinynet.experiments.runs import RunSettings
from tinynet.layers import Activation
from tinynet.training import Callback, Run
from tinynet.typing import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PERCENTILES = (15, 50, 85)
WATCHED = 1000  # test images over which the percentiles are taken


@dataclass(frozen=True, kw_only=True)
class Figure1Settings(RunSettings):
    """One training run of a 784-100-100-100-10 network with plain SGD, on pixels that are 0 or 1."""

    depth: int = 3
    init: str | None = "normal(0.05)"
    steps: int = 50_000
    record_every: int = 500
    probed: bool = False
    unit: int = 0  # of the last hidden layer, whose input is watched

    def run(self) -> dict[str, Any]:
        """Train; return the history, the unit's percentiles and the accuracy with whole-training-set statistics."""
        train, test = map(_black_and_white, self.sets())
        net, unit = self.network(train), UnitInput(test.x[:WATCHED], self.unit)
        history = self.fit(net, train, unit, validation=test, validate_every=self.record_every)
        if self.norm is not None and not history.diverged:
            net.calibrate(train.x)
        return dataclasses.asdict(history) | {
            "accuracy": math.nan if history.diverged else evaluate(net, test)[1],
            "percentile_steps": unit.steps,
            "percentiles": unit.percentiles,
        }


@functools.lru_cache(maxsize=2)  # a training and a test set
def _black_and_white(data: Dataset) -> Dataset:
    """Return a set with its pixels thresholded at 0.5."""
    return Dataset((data.x > 0.5).astype(np.float32), data.y)


@dataclass
class UnitInput(Callback):
    """Percentiles, over fixed images, of what goes into one unit of the last hidden layer's activation."""

    x: Array
    unit: int = 0
    steps: list[int] = field(default_factory=list)
    percentiles: list[list[float]] = field(default_factory=list)

    def on_backward(self, run: Run) -> None:
        """Measure the initial weights too."""
        if run.step == 0:
            self.on_record(run)

    def on_record(self, run: Run) -> None:
        """Measure as the network predicts: batch norm, if any, by its running statistics."""
        layers = list(run.net.layers.values())
        last = max(k for k, layer in enumerate(layers) if isinstance(layer, Activation))
        x = self.x
        for layer in layers[:last]:
            x = layer.forward(x, training=False)
        if not 0 <= self.unit < x.shape[1]:
            raise InputError(f"unit must be from 0 to {x.shape[1] - 1}, not {self.unit}")
        self.steps.append(run.step)
        self.percentiles.append(np.percentile(x[:, self.unit], PERCENTILES).tolist())


def runs(quick: bool) -> list[Figure1Settings | ReplicationSettings]:
    """Return both arms of Figure 1 for three seeds; in the full form also the replication's runs."""
    form: dict[str, Any] = {"steps": 1500, "record_every": 50, "lr": 1.0} if quick else {}
    figure = [Figure1Settings(norm=norm, seed=seed, **form) for seed in range(3) for norm in ARMS.values()]
    return [*figure, *(() if quick else replication.runs())]


def steps_to(result: dict[str, Any], target: float) -> float:
    """Return the first recorded step with at least this test accuracy, inf if there is none."""
    return history(result).steps_to(target) or math.inf


def drift(result: dict[str, Any]) -> float:
    """Return how far the unit's median wanders: its standard deviation over training, in mean 15-85 band widths."""
    measured = np.array(result["percentiles"], np.float64).reshape(-1, 3)
    measured = measured[np.isfinite(measured).all(axis=1)]
    width = (measured[:, 2] - measured[:, 0]).mean() if len(measured) else 0.0
    return float(measured[:, 1].std() / width) if width > 0 else math.nan


def as_published(plain: dict[str, Any], normalized: dict[str, Any]) -> bool:
    """Return whether batch norm is faster and higher, and the plain unit's median drifts more."""
    if normalized["diverged"] or plain["diverged"]:  # a plain run that diverged has no drift to compare
        return not normalized["diverged"]
    target = accuracy(plain)
    faster = steps_to(normalized, target) < plain["steps"][-1]
    return faster and accuracy(normalized) > target and drift(plain) > drift(normalized)


def verdict(results: Results) -> Verdict:
    """Return whether every pair comes out as published, and how near the replication's rows are."""
    pairs = list(paired(*by_arm(results, Figure1Settings).values()).values())
    gains = [100 * (accuracy(b) - accuracy(a)) for a, b in pairs]
    both = [pair for pair in pairs if not any(result["diverged"] for result in pair)]
    shares = [steps_to(b, accuracy(a)) / a["steps"][-1] for a, b in both]
    drifts = [in_words([drift(pair[k]) for pair in both], "{:.2f}") for k in range(2)]
    runs = [result for pair in pairs for result in pair]
    sentence = (
        f"With batch norm the final test accuracy differs by {in_words(gains, '{:+.1f}')} points, and the plain "
        f"network's final accuracy is reached in {in_words(shares, '{:.2f}')} of its steps. The median input of "
        f"one sigmoid wanders by {drifts[0]} widths of its 15-85 band without batch norm, {drifts[1]} with."
        + (f" {diverged(runs)} runs diverged." if len(both) < len(pairs) else "")
    )
    replicated = replication.sentence(results)
    return Verdict(decide([as_published(*pair) for pair in pairs]), f"{sentence} {replicated}".strip())


def table(results: Results) -> list[list[str]]:
    """Return both arms of Figure 1, then the replication's rows with the published accuracy beside ours."""
    rows = [["network", "arm", "test accuracy", "published", "diverged", "drift of the median"]]
    for name, runs in by_arm(results, Figure1Settings).items():
        if runs:
            whole = [result for result in runs.values() if not result["diverged"]]
            forms = ((accuracy, "{:.4f}"), (drift, "{:.2f}"))
            final, moved = (in_words([measure(r) for r in whole], form) for measure, form in forms)
            rows.append(["Figure 1: sigmoid, binary images", name, final, "a curve", diverged(runs.values()), moved])
    return rows + [[*row, ""] for row in replication.table(results)]


CAPTIONS = {
    "accuracy": (
        "(a) Accuracy on the test set while training: three hidden layers of 100 sigmoids on black-and-white digits, "
        "batch norm by its running statistics. Both arms start from the same weights and see the same batches."
    ),
    "percentiles": (
        "(b, c) 15th, 50th and 85th percentile, over 1,000 test images, of what goes into one sigmoid of the last "
        "hidden layer, as the network predicts; one seed. The claim: without batch norm they drift, with it they stay."
    ),
}


def draw(results: Results) -> dict[str, Figure]:
    """Return the figures of `CAPTIONS`, by name; those that no run reached are left out."""
    arms = {name: runs.values() for name, runs in by_arm(results, Figure1Settings).items() if runs}
    if not arms:
        return {}
    histories = {name: list(map(history, runs)) for name, runs in arms.items()}
    lr = next(s.lr for s in results if isinstance(s, Figure1Settings))
    title = f"3 x 100 sigmoid, binary images, learning rate {lr:g}"
    figures = {"accuracy": figure_of(plots.curves, histories, title=title)}
    measured = {name: result for name, runs in arms.items() if (result := _first_whole(runs)) is not None}
    if measured:
        figures["percentiles"], axes = plots.figure(columns=len(measured))
        for ax, (name, result) in zip(axes, measured.items(), strict=True):
            p15, p50, p85 = np.array(result["percentiles"], np.float64).T
            plots.percentiles(result["percentile_steps"], p15, p50, p85, ax, **titled(name, result))
    return figures


def _first_whole(runs: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the first seed's result; a diverged one only if there is no other, None if nothing was measured."""
    measured = [result for result in runs if result["percentiles"]]
    return min(measured, key=lambda result: bool(result["diverged"]), default=None)


EXPERIMENT = Experiment(
    name="figure-1",
    title="Figure 1 of the 2015 paper",
    claim="With batch norm a network of sigmoids learns faster, ends higher, and its inner inputs stay put.",
    method=(
        "784-100-100-100-10 sigmoids on binary MNIST (pixels above 0.5), batch 60, plain SGD, 50,000 steps, three "
        "paired seeds. The paper gives neither weight scale nor learning rate: weights are normal(0.05) as in the "
        "published replication, the learning rate is 0.1 (quick: 1,500 steps at 1, so that the plain network learns "
        "at all). It holds if in every pair batch norm reaches the plain network's final test accuracy in fewer steps "
        "than the plain network's training took, ends higher (statistics of the whole training set), and the plain "
        "median of one unit's input has the larger standard deviation over training, in mean widths of its 15-85 "
        "percentile band. A pair in which only the plain run diverged counts for batch norm. " + replication.METHOD
    ),
    runs=runs,
    verdict=verdict,
    table=table,
    draw=draw,
    captions=CAPTIONS,
)
