"""Statistics at test time: the batch's own, a running average, or those of the whole training set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tinynet.datasets import Dataset
from tinynet.evaluation import evaluate
from tinynet.experiments.arms import Results, by_seed, decide, diverged, in_words, rows_by_seed, select
from tinynet.experiments.experiment import Experiment, Verdict
from tinynet.experiments.figures import crosses, drawn, lines
from tinynet.experiments.runs import RunSettings
from tinynet.layers import BatchNorm
from tinynet.network import Network
from tinynet.training import Callback, Run
from tinynet.typing import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SEEDS = 3
STEPS = {True: [100, 600], False: [100, 1000, 10_000]}
ACTIVATIONS = ["sigmoid", "relu"]
TEST_BATCH_SIZES = [1, 2, 5, 10, 60, 500]
DECAYS = [0.5, 0.9, 0.99, 0.999]
USUAL = "0.9"  # BatchNorm's default decay: "running statistics" means these
LONG_MEMORY = "0.99"  # the default of Keras


@dataclass(frozen=True, kw_only=True)
class StatisticsSettings(RunSettings):
    """A training run with batch norm, tested with every kind of statistics."""

    depth: int = 3
    norm: Literal["batch", "layer"] | None = "batch"
    probed: bool = False

    def run(self) -> dict[str, Any]:
        """Train; return test accuracy by kind of statistics.

        Returns
        -------
        dict
            ``running``: by decay; ``population``, ``minibatch``: after `Network.calibrate`; ``batch``: by test batch
            size; ``chance``: the share of the most common class, the most that one answer for all can score.
            Only ``diverged`` if it did: there is then nothing to compare.
        """
        train, test = self.sets()
        net = self.network(train)
        running = RunningAverages(net)
        history = self.fit(net, train, running)
        if history.diverged:
            return {"diverged": True}
        with np.errstate(all="ignore"):  # the last update may have overflowed: a result, not a warning
            return self.test(net, running, train, test)

    def test(self, net: Network, running: RunningAverages, train: Dataset, test: Dataset) -> dict[str, Any]:
        """Return what `run` does, of a trained network."""
        accuracy: dict[str, Any] = {"running": {}, "batch": {}}
        for k, decay in enumerate(DECAYS):
            net.state.update({name: averages[k] for name, averages in running.averages.items()})
            accuracy["running"][str(decay)] = evaluate(net, test)[1]
        net.calibrate(train.x, method="minibatch", batch_size=self.batch_size)
        accuracy["minibatch"] = evaluate(net, test)[1]
        net.calibrate(train.x)
        loss, accuracy["population"] = evaluate(net, test)
        if not math.isfinite(loss):
            return {"diverged": True}
        for m in [m for m in TEST_BATCH_SIZES if m <= len(test)]:
            rows = len(test) // m * m  # a last, short batch is left out
            outputs = with_batch_statistics(net, test.x[:rows], m)
            right = float(np.mean(outputs.argmax(axis=1) == test.y[:rows]))
            accuracy["batch"][str(m)] = right if np.isfinite(outputs).all() else math.nan
        return {"diverged": False, "chance": float(np.bincount(test.y).max() / len(test)), **accuracy}


class RunningAverages(Callback):
    """Running statistics at several decays in one training run, which itself never reads them."""

    def __init__(self, net: Network) -> None:
        self.averages = {name: np.array([start] * len(DECAYS)) for name, start in net.state.items()}
        for layer in net.layers.values():
            if isinstance(layer, BatchNorm):
                layer.decay = 0.0  # keeps nothing: its state is the last batch's mean and unbiased variance

    def on_step(self, run: Run) -> None:
        """Apply BatchNorm's rule, running = decay running + (1 - decay) batch."""
        decays = np.array(DECAYS)[:, None]
        for name, batch in run.net.state.items():
            self.averages[name][:] = decays * self.averages[name] + (1 - decays) * batch


def with_batch_statistics(net: Network, x: Array, m: int) -> Array:
    """Return a chain's outputs for x, each m rows normalized by their own mean and (biased) variance.

    The layer itself refuses a batch of one example. By its formula x - mu is then 0, so that x_hat is 0, the output
    is beta whatever x is, and the network gives one answer to every image.
    """
    for layer in net.layers.values():
        if isinstance(layer, BatchNorm):
            batches = x.reshape(-1, m, x.shape[1])
            mu = batches.mean(axis=1, keepdims=True)
            var = np.square(batches - mu).mean(axis=1, keepdims=True)
            x_hat = (batches - mu) / np.sqrt(var + layer.eps)
            x = layer.params["gamma"] * x_hat.reshape(x.shape) + layer.params["beta"]
        else:
            x = layer.forward(x, training=False)
    return x


def runs(quick: bool) -> list[StatisticsSettings]:
    """Return one run a schedule, activation and seed."""
    return [
        StatisticsSettings(steps=steps, activation=activation, seed=seed)
        for steps in STEPS[quick]
        for activation in ACTIVATIONS
        for seed in range(SEEDS)
    ]


def schedules(results: Results) -> list[int]:
    """Return the numbers of steps trained, the short schedule first."""
    return sorted({settings.steps for settings in results})


def whole(results: Results, activation: str, steps: int) -> dict[int, dict[str, Any]]:
    """Return, by seed, the results of one activation and schedule that did not diverge."""
    chosen = by_seed(results, activation=activation, steps=steps)
    return {seed: result for seed, result in chosen.items() if not result["diverged"]}


def gain(result: Mapping[str, Any], decay: str = USUAL) -> float:
    """Return the points of test accuracy by which population statistics beat running ones."""
    return 100 * (float(result["population"]) - float(result["running"][decay]))


def verdict(results: Results) -> Verdict:
    """Return whether population statistics are as good as running ones, and batch statistics useless for one image."""
    lost = sum(result["diverged"] for result in results.values())
    short, *_, long = schedules(results) * 2 or [0, 0]
    first, last = ({a: whole(results, a, steps) for a in ACTIVATIONS} for steps in (short, long))
    seeds = sorted(set.intersection(*(set(found) for found in first.values())))
    if not seeds:
        return Verdict("not shown", f"No seed has a whole run of each activation; {lost} runs diverged.")
    first = {a: {seed: found[seed] for seed in seeds} for a, found in first.items()}
    pairs = [[found[seed] for found in first.values()] for seed in seeds]
    good = [all(gain(r) >= 0 and r["batch"]["1"] <= r["chance"] for r in pair) for pair in pairs]
    alone = [100 * r["batch"]["1"] for pair in pairs for r in pair]
    population = [100 * r["population"] for pair in pairs for r in pair]
    sentence = (
        f"After {short:,} steps, test accuracy with the whole training set's statistics minus that with running ones "
        f"is, in points, {_gains(first, USUAL)}. With decay {LONG_MEMORY} in place of {USUAL}: "
        f"{_gains(first, LONG_MEMORY)}."
    )
    if long > short:
        sentence += f" After {long:,} steps: {_gains(last, USUAL)}."
    sentence += (
        f" Single images with batch statistics score {min(alone):.1f} to {max(alone):.1f} %, where one answer for "
        f"all can score {100 * pairs[0][0]['chance']:.1f} % and the whole training set's statistics "
        f"{min(population):.1f} to {max(population):.1f} %."
    )
    return Verdict(decide(good), sentence + (f" {diverged(results.values())} runs diverged." if lost else ""))


def _gains(found: Mapping[str, Mapping[int, Mapping[str, Any]]], decay: str) -> str:
    return " and ".join(
        f"{in_words([gain(r, decay) for r in whole_runs.values()], '{:+.2f}')} for {activation}"
        for activation, whole_runs in found.items()
    )


def table(results: Results) -> list[list[str]]:
    """Return a row a schedule and activation: test accuracy in percent by kind of statistics."""
    header = ["steps", "activation", "running (decay 0.9)", "whole training set", "average of mini-batches"]
    header += ["single images", "batches of 60", "diverged"]
    body = []
    for steps in schedules(results):
        for activation in ACTIVATIONS:
            found = whole(results, activation, steps)
            done = by_seed(results, activation=activation, steps=steps).values()
            accuracies = [
                (r["running"][USUAL], r["population"], r["minibatch"], r["batch"]["1"], r["batch"].get("60", math.nan))
                for r in found.values()
            ]
            known = [[100 * row[k] for row in accuracies if not math.isnan(row[k])] for k in range(5)]
            cells = [in_words(values, "{:.2f}") for values in known]
            body.append([f"{steps:,}", activation, *cells, diverged(done)])
    return [header, *body]


_OWN = (
    "Test accuracy of the {} networks trained longest when batch norm uses each test batch's own statistics, by the "
    "size of that batch. Lines across: running and whole-training-set statistics, which need no batch."
)
CAPTIONS = {
    "test_batch_size_sigmoid": _OWN.format("sigmoid"),
    "test_batch_size_relu": _OWN.format("ReLU"),
    "schedule": (
        "Test accuracy with the whole training set's statistics minus that with running ones (decay 0.9), in points, "
        "by length of training."
    ),
    "decay": (
        "The same difference after the shortest training, by how far back the running average looks: 1 / (1 - decay) "
        "steps. The average starts at mean 0 and variance 1, which a long memory still holds."
    ),
}


def draw(results: Results) -> dict[str, Figure]:
    """Return the figures of `CAPTIONS`, by name; those that no run reached are left out."""
    steps, sizes = schedules(results) or [0], TEST_BATCH_SIZES
    shortest, longest = ({a: whole(results, a, n) for a in ACTIVATIONS} for n in (steps[0], steps[-1]))
    figures = {}
    for a, runs in longest.items():
        rows = {
            "the test batch's": [[100 * r["batch"].get(str(m), math.nan) for m in sizes] for r in runs.values()],
            "whole training set's": [[100 * r["population"]] * len(sizes) for r in runs.values()],
            f"running, decay {USUAL}": [[100 * r["running"][USUAL]] * len(sizes) for r in runs.values()],
        }
        how = {"xlabel": "test batch size, images", "ylabel": "test accuracy, %"}
        title = f"Statistics at test time: {a}, {steps[-1]:,} steps"
        figures[f"test_batch_size_{a}"] = _over(sizes, rows, title=title, **how)

    how = {"xlabel": "steps of training", "ylabel": "accuracy, whole set - running, points"}
    title = "Whole set against running, by length of training"
    rows = {
        a: rows_by_seed({seed: gain(r) for seed, r in whole(results, a, n).items()} for n in steps)
        for a in ACTIVATIONS
    }
    crossed = crosses({a: [(s.steps, r) for s, r in select(results, activation=a).items()] for a in ACTIVATIONS})
    figures["schedule"] = _over(steps, rows, title=title, crosses=crossed, **how)

    how["xlabel"] = "memory, 1 / (1 - decay), steps"
    title = f"Whole set against running, by memory, after {steps[0]:,} steps"
    rows = {a: [[gain(r, str(d)) for d in DECAYS] for r in runs.values()] for a, runs in shortest.items()}
    figures["decay"] = _over([round(1 / (1 - decay)) for decay in DECAYS], rows, title=title, **how)
    return drawn(figures)


def _over(x: Sequence[int], rows: Mapping[str, list[list[float]]], **how: Any) -> Figure:
    return lines({arm: (x, of_arm) for arm, of_arm in rows.items()}, ticks=x, logx=True, **how)


EXPERIMENT = Experiment(
    name="test-time-statistics",
    title="The whole training set's statistics at test time",
    claim=(
        "At test time the whole training set's statistics are at least as accurate as running ones after short "
        "training, and those of a single image are useless."
    ),
    method=(
        "784-100-100-100-10 networks with batch norm, sigmoid and ReLU, learning rate 0.1, batches of 60, trained for "
        "short and long, then tested with running statistics (several decays), those of the whole training set, the "
        "average over mini-batches, and each test batch's own for batches of 1 to 500 images. A seed is for the claim "
        "if, after the shortest training of either activation, the whole training set's statistics are no less "
        "accurate than running ones (decay 0.9), and single images with batch statistics score no more than one "
        "answer for all can. It holds if every seed is for it, and does not if none is."
    ),
    runs=runs,
    verdict=verdict,
    table=table,
    draw=draw,
    captions=CAPTIONS,
)
