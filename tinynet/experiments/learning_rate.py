"""Much larger learning rates: which rates train, with and without batch normalization, and how fast the best is."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tinynet.experiments.arms import (
    ARMS,
    Result,
    Results,
    accuracy,
    by_arm,
    by_value,
    counted,
    decide,
    diverged,
    how_many,
    in_words,
    paired,
    reached,
    rows_by_seed,
    select,
)
from tinynet.experiments.experiment import Experiment, Verdict
from tinynet.experiments.figures import accuracy_over, drawn, lines
from tinynet.experiments.runs import NetworkSettings, RunSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEPTH = 5  # of the curve and the headline ratio
HIGHEST, COARSE, HALVINGS = 2.0, 0.5, 4  # powers of ten: 100, down in half decades, then to a factor of 1.075
LOWEST = -4.0
TRAINS = 0.9  # of ln(classes), the loss of a network that has learned nothing


@dataclass(frozen=True, kw_only=True)
class LargestRate(NetworkSettings):
    """The meter: the largest learning rate at which one network, one arm and one seed still trains.

    A rate trains if after ``steps`` updates the mean training loss of the last tenth of them is below 90 % of
    ln(classes), the loss of a guess, and no loss on the way was infinite or nan.

    Bisection needs a rate that trains below one that does not, and the smallest rates are too slow to train. So the
    rate comes down from 100 in half decades to the first that trains, and the half decade above that is then
    halved four times, on the log scale.
    """

    depth: int = DEPTH
    activation: str = "relu"
    init: str = "he_normal"
    norm: Literal["batch"] | None = None
    steps: int = 60

    def trains(self, rate: float) -> bool:
        """Return whether the network trains at this rate; the same weights and batches whatever the rate."""
        settings = RunSettings(**dataclasses.asdict(self), lr=rate)
        train, _ = settings.sets()
        history = settings.fit(settings.network(train), train, validate_every=max(1, self.steps // 10))
        # a nan is not below anything
        return not history.diverged and history.final("train_loss") < TRAINS * math.log(int(train.y.max()) + 1)

    def run(self) -> dict[str, Any]:
        """Search; ``rate`` is 0 if none down to 1e-4 trains, 100 if it does; ``tried``: [rate, whether it trains]."""
        tried: list[list[float | bool]] = []

        def trains(power: float) -> bool:
            tried.append([10**power, self.trains(10**power)])
            return bool(tried[-1][1])

        low = HIGHEST
        while not trains(low):
            low -= COARSE
            if low < LOWEST:
                return {"rate": 0.0, "tried": tried}
        high = low + COARSE
        for _ in range(HALVINGS if low < HIGHEST else 0):
            middle = (low + high) / 2
            low, high = (middle, high) if trains(middle) else (low, middle)
        return {"rate": 10**low, "tried": tried}


def runs(quick: bool) -> list[RunSettings | LargestRate]:
    """Return the curve's runs and the meter's, paired by seed."""
    seeds = range(3) if quick else range(5)
    steps, rates = (300, np.geomspace(1e-3, 30, 9)) if quick else (1000, np.geomspace(1e-3, 30, 13))
    base = RunSettings(depth=DEPTH, activation="relu", init="he_normal", steps=steps, probed=False)
    curve = [
        dataclasses.replace(base, record_every=100 if quick else 50, norm=norm, lr=float(f"{rate:.3g}"), seed=seed)
        for seed in seeds
        for rate in rates
        for norm in ARMS.values()
    ]
    depths = (DEPTH,) if quick else (2, DEPTH, 10, 20)
    meter = [
        LargestRate(depth=depth, norm=norm, seed=seed, steps=60 if quick else 200)
        for depth in depths
        for seed in seeds
        for norm in ARMS.values()
    ]
    return [*curve, *meter]


def largest_rates(results: Results, depth: int) -> dict[str, dict[int, float]]:
    """Return the meter's rate by arm and seed."""
    arms = by_arm(results, LargestRate, depth=depth)
    return {name: {seed: float(r["rate"]) for seed, r in runs.items()} for name, runs in arms.items()}


def ratios(results: Results, depth: int) -> list[float]:
    """Return the largest rate with over that without, seed by seed; where neither arm trains there is no ratio."""
    pairs = paired(*largest_rates(results, depth).values())
    return [b / a if a else math.inf for a, b in pairs.values() if a or b]


def depths(results: Results) -> list[int]:
    """Return the depths that the meter was put to."""
    return sorted({s.depth for s in select(results, LargestRate)})


def curve(results: Results, name: str) -> dict[float, dict[int, dict[str, Any]]]:
    """Return one arm's runs by learning rate and seed."""
    return by_value(results, "lr", RunSettings, norm=ARMS[name])


def best_rate(results: Results, name: str) -> float | None:
    """Return the rate of the highest median accuracy, a diverged run counted as 0; None without any run."""
    accuracies = {rate: map(accuracy, by.values()) for rate, by in curve(results, name).items()}
    scores = {rate: statistics.median(map(counted, values)) for rate, values in accuracies.items()}
    return max(scores, key=lambda rate: scores[rate], default=None)


def at_best_rate(results: Results, name: str) -> list[dict[str, Any]]:
    """Return one arm's runs at its best rate."""
    best = best_rate(results, name)
    return [] if best is None else list(curve(results, name)[best].values())


def steps_text(at_rate: Sequence[Result], target: float) -> str:
    """Return the median steps to a test accuracy and their range, and how many runs reached it if not all did."""
    steps = reached(at_rate, target)
    if not steps:
        return "not reached"
    text = f"{statistics.median_low(steps)}"
    if min(steps) < max(steps):
        text += f" (range {min(steps)} to {max(steps)})"
    return text if len(steps) == len(at_rate) else f"{text} in {len(steps)} of {len(at_rate)} runs"


def verdict(results: Results) -> Verdict:
    """Return whether the largest rate that trains is larger with batch norm for every seed."""
    found = ratios(results, DEPTH)
    if not found:
        return Verdict("not shown", "No pair of runs has a learning rate that trains.")
    plain, normalized = (in_words(by.values(), "{:.2g}") for by in largest_rates(results, DEPTH).values())
    sentence = (
        f"The largest learning rate that still trains {DEPTH} x 100 ReLU is {in_words(found, '{:.1f}')} times as "
        f"large with batch norm as without: {normalized} against {plain}."
    )
    words = []
    for name in ARMS:
        if runs := at_best_rate(results, name):
            known = [a for a in map(accuracy, runs) if not math.isnan(a)]
            gone = f"; {len(runs) - len(known)} diverged" if len(known) < len(runs) else ""
            about = f"rate {best_rate(results, name):g}; steps to 95 %: {steps_text(runs, 0.95)}{gone}"
            words.append(f"{name} has {f'{statistics.median(known):.1%}' if known else 'no accuracy'} ({about})")
    if len(words) == len(ARMS):
        sentence += f" Each at its own best rate: {' and '.join(words)}."
    return Verdict(decide([ratio > 1 for ratio in found]), sentence)


def table(results: Results) -> list[list[str]]:
    """Return the meter by depth, then the curve's best and its diverged runs."""
    rows = [["", *ARMS, "with / without"]]
    for depth in depths(results):
        cells = [in_words(by.values(), "{:.2g}") for by in largest_rates(results, depth).values()]
        ratio = in_words(ratios(results, depth), "{:.1f}")
        rows.append([f"largest rate that trains, {depth} layers", *cells, ratio])
    bests = [best_rate(results, name) for name in ARMS]
    at_best = [at_best_rate(results, name) for name in ARMS]
    everything = [select(results, RunSettings, norm=norm).values() for norm in ARMS.values()]
    curves = {
        "best rate of the curve": [f"{best:g}" if best else "no run" for best in bests],
        "test accuracy there": [in_words([*map(accuracy, runs)], "{:.2%}") for runs in at_best],
        "steps to 90% there": [steps_text(runs, 0.9) for runs in at_best],
        "steps to 95% there": [steps_text(runs, 0.95) for runs in at_best],
        "runs diverged, all rates": [diverged(runs) for runs in everything],
        "runs below 50 %, all rates": [how_many(counted(accuracy(r)) < 0.5 for r in runs) for runs in everything],
    }
    return [*rows, *([name, *cells, ""] for name, cells in curves.items())]


CAPTIONS = {
    "accuracy": (
        f"Test accuracy at the end of training against the learning rate, {DEPTH} x 100 ReLU, He initialization, "
        "plain gradient descent. Both arms start from the same weights and see the same batches, seed by seed. A "
        "cross is a rate at which at least one run diverged; line and band are of those that did not."
    ),
    "depth": (
        "The largest learning rate at which the training loss still falls 10 % below that of a guess, found by "
        "bisection to a factor of 1.08, against depth. A gap is a depth at which no rate does."
    ),
}


def draw(results: Results) -> dict[str, Figure]:
    """Return accuracy against rate, and the largest rate against depth if there are several depths."""
    curves = {name: curve(results, name) for name in ARMS}
    figures = {"accuracy": accuracy_over(curves, xlabel="learning rate", title="Accuracy against learning rate")}
    for ax in figures["accuracy"].axes:
        ax.set_ylim(0, 1)
    measured = depths(results)
    if len(measured) > 1:
        by_depth = [largest_rates(results, depth) for depth in measured]
        figures["depth"] = lines(
            {name: (measured, rows_by_seed(rates[name] for rates in by_depth)) for name in ARMS},
            xlabel="hidden layers",
            ylabel="learning rate",
            title="Largest rate that trains",
            logy=True,
        )
        figures["depth"].axes[0].set_xticks(measured)
    return drawn(figures)


EXPERIMENT = Experiment(
    name="learning-rate",
    title="Larger learning rates",
    claim="Batch normalization makes it possible to use much larger learning rates, which speeds up learning.",
    method=(
        f"For each arm and seed, bisection finds the largest learning rate that still trains {DEPTH} x 100 ReLU (He "
        "initialization, batches of 60, plain gradient descent): after 60 steps (full form: 200) the mean training "
        "loss of the last tenth is finite and below 90 % of ln(10). The claim holds if that rate is larger with batch "
        "norm for every seed. The curve of final test accuracy over rates from 0.001 to 30 shows each arm at its own "
        "best rate, that of the highest median, for which a diverged run counts as 0; the full form also measures 2, "
        "10 and 20 layers."
    ),
    runs=runs,
    verdict=verdict,
    table=table,
    draw=draw,
    captions=CAPTIONS,
)
