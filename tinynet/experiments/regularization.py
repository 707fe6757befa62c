"""Does batch normalization act like a regularizer? Train and test on a small training set, with and without noise."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinynet import plots
from tinynet.evaluation import evaluate
from tinynet.experiments.arms import ARMS, Results, by_seed, decide, diverged, how_many, in_words, paired, select
from tinynet.experiments.experiment import Experiment, Verdict
from tinynet.experiments.figures import figure_of, lines
from tinynet.experiments.runs import RunSettings
from tinynet.training import Callback, Run
from tinynet.typing import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXAMPLES = 1000  # training examples: few enough to be learned by heart
SMALL, WHOLE = 20, EXAMPLES  # batch sizes: mean and variance of 20 examples are noisy, those of all have no noise
BETWEEN = (10, 60, 200)  # full form only: how the effect follows the noise
DROPOUT = 0.2


@dataclass(frozen=True, kw_only=True)
class FitSettings(RunSettings):
    """A run that ends once it fits its training set: at a mean loss of ``target``, or after ``steps``."""

    depth: int = 3
    activation: str = "relu"
    batch_size: int = SMALL
    steps: int = 8000
    train_size: int | None = EXAMPLES
    record_every: int = 20
    probed: bool = False
    target: float = 0.02

    def run(self) -> dict[str, Any]:
        """Train, then evaluate both sets in inference mode, with the statistics of the whole training set."""
        train, test = self.sets()
        net = self.network(train)
        until = _UntilFitted(self.record_every, self.target, train.x if self.norm == "batch" else None)
        history = self.fit(net, train, until, validation=train, validate_every=self.record_every)
        train_loss, train_accuracy = evaluate(net, train)
        test_loss, test_accuracy = evaluate(net, test)
        return {
            "steps": history.steps[-1],
            "diverged": history.diverged,
            "fitted": train_loss <= self.target and not history.diverged,
            "train_loss": train_loss,
            "train_accuracy": math.nan if history.diverged else train_accuracy,
            "test_loss": test_loss,
            "test_accuracy": math.nan if history.diverged else test_accuracy,
        }


class _UntilFitted(Callback):
    """Stop at a training loss; it is the loss of the network as it would be used, so with ``x``'s own statistics."""

    def __init__(self, every: int, target: float, x: Array | None) -> None:
        self.every, self.target, self.x = every, target, x

    def on_step(self, run: Run) -> None:
        if self.x is not None and (run.step % self.every == 0 or run.step == run.total_steps):
            run.net.calibrate(self.x)  # just before `fit` evaluates; training never reads these statistics

    def on_record(self, run: Run) -> None:
        run.stop = run.history.validation_loss[-1] <= self.target


def runs(quick: bool) -> list[FitSettings]:
    """Return the pairs at both batch sizes, those with dropout, and in the full form more seeds and batch sizes."""
    base = FitSettings(seed=0)
    arms = [base, dataclasses.replace(base, dropout=DROPOUT)]
    arms += [dataclasses.replace(base, batch_size=size) for size in (WHOLE, *(() if quick else BETWEEN))]
    seeds = range(3 if quick else 5)
    return [dataclasses.replace(arm, norm=norm, seed=seed) for seed in seeds for arm in arms for norm in ARMS.values()]


def name(settings: FitSettings) -> str:
    """Return the name of a run's arm."""
    parts = ["batch norm" if settings.norm == "batch" else "plain"]
    parts += [f"dropout {settings.dropout:g}"] if settings.dropout else []
    return ", ".join([*parts, "whole set" if settings.batch_size >= EXAMPLES else f"batch {settings.batch_size}"])


def by_arm(results: Results) -> dict[str, list[dict[str, Any]]]:
    """Return each arm's results, seed by seed: arms as in `runs`, plain before batch norm."""
    arms: dict[str, list[dict[str, Any]]] = {}
    for s in sorted(results, key=lambda s: (s.batch_size >= EXAMPLES, s.dropout, s.batch_size, s.norm or "", s.seed)):
        arms.setdefault(name(s), []).append(results[s])
    return arms


def effects(results: Results, batch_size: int, measure: str) -> dict[int, float]:
    """Return, for each seed, what batch norm adds to a measure, without dropout; only where both runs are fitted."""
    arms = [by_seed(results, dropout=0, batch_size=batch_size, norm=norm) for norm in ARMS.values()]
    fitted = [{seed: result for seed, result in arm.items() if result["fitted"]} for arm in arms]
    return {seed: normalized[measure] - plain[measure] for seed, (plain, normalized) in paired(*fitted).items()}


def _error(results: Results, batch_size: int) -> dict[int, float]:
    """Return what batch norm adds to the test error, in percentage points."""
    return {seed: 100 * (0 - added) for seed, added in effects(results, batch_size, "test_accuracy").items()}


def verdict(results: Results) -> Verdict:
    """Return whether batch norm lowers error and loss on the test set, and less so without the batches' noise."""
    small, whole, loss = _error(results, SMALL), _error(results, WHOLE), effects(results, SMALL, "test_loss")
    seeds = [seed for seed in small if seed in whole]
    needed = [r for s, r in results.items() if not s.dropout and s.batch_size in (SMALL, WHOLE)]
    unfit = sum(not r["fitted"] for r in needed)
    if not seeds:
        sentence = f"No seed has all four runs at equal training fit ({unfit} runs did not reach it)."
        return Verdict("not shown", sentence)
    less_error, less_loss = [small[seed] < 0 for seed in seeds], [loss[seed] < 0 for seed in seeds]
    by_noise = [small[seed] < whole[seed] for seed in seeds]
    parts = list(zip(less_error, less_loss, by_noise, strict=True))
    outcome = decide([all(seed) for seed in parts])
    sentence = (
        f"At equal training loss and batches of {SMALL}, batch norm changes the test error, in points, by "
        f"{in_words([small[seed] for seed in seeds], '{:+.1f}')}: lower in {sum(less_error)} of {len(seeds)} seeds; "
        f"the test loss by {in_words([loss[seed] for seed in seeds], '{:+.3f}')}: lower in {sum(less_loss)}. "
        f"With the mini-batch's noise taken away the error changes by "
        f"{in_words([whole[seed] for seed in seeds], '{:+.1f}')}: the noise favours batch norm in {sum(by_noise)}."
    )
    if unfit:  # pairs that are left out must not turn a mixed answer into a clear one
        outcome = "not shown"
        sentence += f" {unfit} of {len(needed)} runs diverged or did not reach the training loss."
    return Verdict(outcome, sentence)


def table(results: Results) -> list[list[str]]:
    """Return a row an arm: medians and ranges over the seeds that were fitted, and how many were not."""
    rows = [["arm", "train error", "test error", "test loss", "steps to fit", "not fitted", "diverged"]]
    for arm, all_runs in by_arm(results).items():
        fitted = [r for r in all_runs if r["fitted"]]
        rows.append(
            [
                arm,
                in_words([1 - r["train_accuracy"] for r in fitted], "{:.1%}"),
                in_words([1 - r["test_accuracy"] for r in fitted], "{:.1%}"),
                in_words([r["test_loss"] for r in fitted], "{:.3f}"),
                in_words([r["steps"] for r in fitted], "{:.0f}"),
                how_many(not r["fitted"] for r in all_runs),
                diverged(all_runs),
            ]
        )
    return rows


CAPTIONS = {
    "accuracy": (
        "Accuracy on the training set and on the test set, both in inference mode, once the training loss is down to "
        "the same value in every arm. Runs that did not get there are counted under their arm."
    ),
    "gap": "Training accuracy minus test accuracy: what was learned by heart. Lower is a stronger regularizer.",
    "noise": (
        "What batch norm adds to the test error at equal training loss, pair by pair, against the batch size: below "
        "zero it helps. The larger the batch, the less noise in its mean and variance; the whole set has none."
    ),
}


def draw(results: Results) -> dict[str, Figure]:
    """Return the figures of `CAPTIONS`: none without any run."""
    if not results:
        return {}
    arms = {}
    for arm, all_runs in by_arm(results).items():
        if "dropout" in arm or arm.endswith((f"batch {SMALL}", "whole set")):
            unfit = sum(not r["fitted"] for r in all_runs)
            arms[arm + (f", {unfit} not fitted" if unfit else "")] = [r for r in all_runs if r["fitted"]]
    sets = ("train", "test")
    shown = {kind: {arm: [r[f"{kind}_accuracy"] for r in fitted] for arm, fitted in arms.items()} for kind in sets}
    gaps = {arm: [100 * (r["train_accuracy"] - r["test_accuracy"]) for r in fitted] for arm, fitted in arms.items()}
    same, gap = "Trained to the same training loss", "train minus test accuracy, points"

    sizes = sorted({s.batch_size for s in select(results, dropout=0)})
    effect = [_error(results, size) for size in sizes]
    rows = [[by_seed.get(seed, math.nan) for by_seed in effect] for seed in sorted({s.seed for s in results})]
    noise = lines(
        {"batch norm minus plain": (sizes, rows)},
        xlabel="batch size (examples)",
        ylabel="change of the test error, points",
        title="The effect against the batch size",
        logx=True,
    )
    (ax,) = noise.axes
    ax.axhline(0, color="black", linewidth=1)
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.minorticks_off()
    return {
        "accuracy": figure_of(plots.dots, shown, ylabel="accuracy", title=same, percent=True),
        "gap": figure_of(plots.dots, {"gap": gaps}, ylabel=gap, title="Generalization gap"),
        "noise": noise,
    }


EXPERIMENT = Experiment(
    name="regularization",
    title="A regularizer",
    claim="Batch normalization acts like a regularizer, through the noise of the mini-batch's mean and variance.",
    method=(
        f"3 x 100 ReLU (He) on the first {EXAMPLES} training examples, SGD at learning rate 0.1 in every arm. Each "
        "run ends as soon as its training loss, in inference mode with the statistics of the whole training set, "
        f"is at most 0.02, so that the fit is equal. Batches of {SMALL} against batches of the whole set, in which "
        "mean, variance and gradient have no noise (the plain arm shows what the gradient's noise does by itself); "
        f"and both arms with dropout {DROPOUT:g}. The claim holds if, in every seed, at batches of {SMALL} both "
        "test error and test loss are lower with batch norm than without, and the change of the test error is less "
        "favourable with the whole set; it does not hold if in every seed one of the three fails. Where seeds "
        "disagree, or runs do not reach the training loss, it is not shown. (The small batch was chosen after a look "
        "at 10, 20, 60 and 200: 20 was the kindest to the claim.)"
    ),
    runs=runs,
    verdict=verdict,
    table=table,
    draw=draw,
    captions=CAPTIONS,
)
