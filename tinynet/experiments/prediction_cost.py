"""Prediction cost: what batch norm adds to a prediction, and that folding takes it away again."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tinynet.experiments.arms import Results, by_value, decide, in_words, rows_by_seed
from tinynet.experiments.experiment import Experiment, Verdict
from tinynet.experiments.figures import lines
from tinynet.experiments.runs import NetworkSettings
from tinynet.models import mlp
from tinynet.network import Network
from tinynet.typing import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INPUTS, CLASSES = 784, 10
NETWORKS = ("plain", "batch norm", "folded")
SEEDS = 3
BATCH_SIZES = {True: [1, 16, 60, 1024], False: [2**k for k in range(13)]}
ROUNDS = {True: 150, False: 300}
BLOCK = 5e-4  # seconds of calls timed as one: far above the clock's resolution
# The thread's processor time: on one thread of an idle machine that is the time on the wall, and on a busy one the
# waiting for a processor, which can hit one network more than another, is not in it. On Windows it ticks too slowly.
CLOCK = time.perf_counter if sys.platform == "win32" else time.thread_time
TICKS = [digit * 10.0**k for k in range(-2, 4) for digit in (1, 2, 3, 5, 7)]  # less than a decade has some too
# rounding of some ten float32 operations, each 6e-8 of its result, through four layers
TOLERANCE = 1e-5


@dataclass(frozen=True, kw_only=True)
class PredictionSettings(NetworkSettings):
    """Networks to time at one batch size.

    A timing depends on the machine and on what else it does, so `run` is not a function of these settings alone as
    other runs are. It is kept like the others all the same: to time again, use another results folder. It needs a
    single BLAS thread, as the runner gives it.
    """

    depth: int = 3
    activation: str = "relu"
    rounds: int = 150

    def networks(self) -> dict[str, Network]:
        """Return the plain network, the batch-normalized one with the same weights, and that one folded."""
        hidden, rng = [self.width] * self.depth, np.random.default_rng(self.seed)
        plain = mlp(INPUTS, hidden, CLASSES, activation=self.activation, seed=self.seed)
        normalized = mlp(INPUTS, hidden, CLASSES, activation=self.activation, norm="batch", seed=self.seed)
        for name, values in {**normalized.params, **normalized.state}.items():
            if name.startswith("batch_norm"):  # as after training: no longer 0 and 1, where folding changes nothing
                values[...] = rng.uniform(0.5, 1.5, values.shape)
        return dict(zip(NETWORKS, (plain, normalized, normalized.fold()), strict=True))

    def run(self) -> dict[str, Any]:
        """Time the networks in turns; return quartiles over rounds and how far folding moves the outputs.

        Returns
        -------
        dict
            ``seconds``: by network the first quartile, median and third quartile of the time of a call;
            ``ratio``: the same of that time over the plain network's in the same round, which a machine that
            slows down for a while does not move; ``difference``: the largest between folded and unfolded
            outputs, relative to the largest output.
        """
        nets = self.networks()
        x = np.random.default_rng(self.seed).random((self.batch_size, INPUTS), dtype=np.float32)
        times = in_turns([partial(net.forward, x) for net in nets.values()], self.rounds)
        outputs, folded = (nets[name].forward(x) for name in ("batch norm", "folded"))
        return {
            "seconds": {name: _quartiles(row) for name, row in zip(nets, times, strict=True)},
            "ratio": {name: _quartiles(row / times[0]) for name, row in zip(nets, times, strict=True)},
            "difference": float(np.abs(outputs - folded).max() / np.abs(outputs).max()),
        }


def in_turns(calls: Sequence[Callable[[], object]], rounds: int) -> Array:
    """Return seconds a call, an array (calls, rounds): A B C A B C, so that a change of the machine meets all."""
    for call in calls:
        call()  # compiles the kernels
    repeat = max(1, round(BLOCK / min(_seconds(call, 2) for _ in range(5) for call in calls)))
    times = np.empty((len(calls), rounds))
    for k in range(rounds):
        for row, call in zip(times, calls, strict=True):
            if repeat > 1:
                call()  # brings this network's weights back into the cache
            row[k] = _seconds(call, repeat)
    return times


def _seconds(call: Callable[[], object], repeats: int) -> float:
    start = CLOCK()
    for _ in range(repeats):
        call()
    return (CLOCK() - start) / repeats


def _quartiles(values: Array) -> list[float]:
    return [float(q) for q in np.percentile(values, [25, 50, 75])]


def runs(quick: bool) -> list[PredictionSettings]:
    """Return one run a batch size and seed."""
    sizes, rounds = BATCH_SIZES[quick], ROUNDS[quick]
    return [PredictionSettings(batch_size=b, seed=s, rounds=rounds) for s in range(SEEDS) for b in sizes]


def rows(results: Results, measure: str, name: str) -> Array:
    """Return medians over rounds, an array (seeds, batch sizes); nan where the run is missing."""
    by_size = by_value(results, "batch_size").values()
    return np.array(rows_by_seed({seed: r[measure][name][1] for seed, r in runs.items()} for runs in by_size))


def ratios(results: Results, name: str) -> list[float]:
    """Return, for each seed with all batch sizes, the median over batch sizes of the time over the plain one's."""
    return [statistics.median(row.tolist()) for row in rows(results, "ratio", name) if not np.isnan(row).any()]


def verdict(results: Results) -> Verdict:
    """Return whether a prediction with batch norm takes longer than without, in every seed."""
    slower, folded = ratios(results, "batch norm"), ratios(results, "folded")
    if not slower:
        return Verdict("not shown", "No seed was timed at every batch size.")
    sizes = list(by_value(results, "batch_size"))
    alone = (rows(results, "ratio", name)[:, 0] for name in ("batch norm", "folded"))
    first = [[float(ratio) for ratio in found if not np.isnan(ratio)] for found in alone]
    difference = max(result["difference"] for result in results.values())
    same = "the same function" if difference <= TOLERANCE else "not the same function"
    return Verdict(
        decide([ratio > 1 for ratio in slower]),
        f"At the median over batch sizes {sizes[0]:,} to {sizes[-1]:,}, a prediction with batch norm takes "
        f"{in_words(slower, '{:.2f}')} times as long as without, and {in_words(folded, '{:.2f}')} times once folded. "
        f"At batch size {sizes[0]:,} alone, {in_words(first[0], '{:.2f}')} and {in_words(first[1], '{:.2f}')} times. "
        f"Folded and unfolded outputs differ by at most {difference:.1g} of their size: {same}.",
    )


def table(results: Results) -> list[list[str]]:
    """Return a row a batch size: time of a call, throughput, ratio to plain; medians over seeds, with quartiles."""
    header = ["batch size", "network", "time of a call (quartiles), µs", "examples a second", "time over plain"]
    body = []
    for size, runs in by_value(results, "batch_size").items():
        for name in NETWORKS:
            q1, middle, q3 = (statistics.median(r["seconds"][name][k] for r in runs.values()) for k in range(3))
            ratio = statistics.median(r["ratio"][name][1] for r in runs.values())
            time_of_call = f"{1e6 * middle:,.1f} ({1e6 * q1:,.1f} to {1e6 * q3:,.1f})"
            body.append([f"{size:,}", name, time_of_call, f"{size / middle:,.0f}", f"{ratio:.2f}"])
    return [header, *body]


CAPTIONS = {
    "time": (
        "Processor time of one call, divided by the examples in it, of three networks of the same shape on one "
        "thread. Each run is the median over rounds of timing the three in turns."
    ),
    "ratio": (
        "The same times over those of the plain network in the same round: above 1, a prediction is slower. The "
        "folded network is the batch-normalized one, with batch norm multiplied into its weights."
    ),
}


def draw(results: Results) -> dict[str, Figure]:
    """Return the figures of `CAPTIONS`, by name; none if there was no run."""
    if not results:
        return {}
    sizes = list(by_value(results, "batch_size"))
    seconds, ratio = ({name: rows(results, measure, name) for name in NETWORKS} for measure in ("seconds", "ratio"))
    ticks, xlabel = sizes[:: -(-len(sizes) // 7)], "batch size, examples a call"
    how: dict[str, Any] = {"ticks": ticks, "logx": True, "xlabel": xlabel}
    each = {name: (sizes, 1e6 * values / sizes) for name, values in seconds.items()}
    time = lines(each, ylabel="time per example, µs", title="Time of a prediction", logy=True, **how)
    low, high = time.axes[0].get_ylim()
    time.axes[0].set_yticks(shown := [t for t in TICKS if low <= t <= high], [f"{t:g}" for t in shown])
    over_plain = {name: (sizes, values) for name, values in ratio.items()}
    ylabel = "time, over the plain network's"
    return {
        "time": time,
        "ratio": lines(over_plain, ylabel=ylabel, title=f"Time of a prediction, {ylabel[6:]}", **how),
    }


EXPERIMENT = Experiment(
    name="prediction-cost",
    title="Slower predictions",
    claim="With batch norm a prediction is slower, for the extra computation at each layer; folding takes that away.",
    method=(
        "A plain, a batch-normalized and the folded network, 784-100-100-100-10 with ReLU, predict the same batches "
        "on one thread, from one example to thousands. Before batch norm there is no bias, so that what it adds is a "
        "scaling of each layer. They are timed in turns (processor time), warmed up, and the ratio to plain is taken "
        "round by round; each run gives its median. The claim holds if, at the median over batch sizes, batch norm "
        "over plain is above 1 in every seed. Folded and unfolded outputs must agree to float32 rounding."
    ),
    runs=runs,
    verdict=verdict,
    table=table,
    draw=draw,
    captions=CAPTIONS,
)
