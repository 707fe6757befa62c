import dataclasses
import math
from typing import Any, Literal

import pytest

from tinynet.experiments import regularization
from tinynet.experiments.regularization import EXPERIMENT, SMALL, WHOLE, FitSettings
from tinynet.experiments.sweep import execute

Arms = dict[tuple[Literal["batch"] | None, int], tuple[float, float]]
REGULARIZES: Arms = {  # norm and batch size -> test accuracy and loss
    (None, SMALL): (0.88, 0.45),
    ("batch", SMALL): (0.90, 0.40),
    (None, WHOLE): (0.87, 0.50),
    ("batch", WHOLE): (0.87, 0.50),
}


def fitted(accuracy: float, loss: float) -> dict[str, Any]:
    found = {"train_loss": 0.02, "train_accuracy": 1.0, "test_loss": loss, "test_accuracy": accuracy}
    return {"steps": 100, "diverged": False, "fitted": True, **found}


def unfit(*, diverged: bool) -> dict[str, Any]:
    return fitted(0.1, math.nan) | {"fitted": False, "diverged": diverged, "train_loss": math.nan}


def results(arms: Arms, seeds: range = range(3)) -> dict[Any, dict[str, Any]]:
    """Made-up runs: every seed of an arm alike."""
    return {
        FitSettings(norm=norm, batch_size=size, seed=seed): fitted(*scores)
        for seed in seeds
        for (norm, size), scores in arms.items()
    }


def test_runs_are_paired_with_every_arm_in_every_seed() -> None:
    for quick, seeds in ((True, 3), (False, 5)):
        runs = EXPERIMENT.runs(quick)
        plain, normalized = ([s for s in runs if s.norm == norm] for norm in (None, "batch"))  # type: ignore[attr-defined]
        assert [dataclasses.replace(s, norm="batch") for s in plain] == normalized
        arms = regularization.by_arm({s: {} for s in runs})
        assert {len(arm) for arm in arms.values()} == {seeds}
        assert set(arms) >= {
            "plain, batch 20",
            "batch norm, batch 20",
            "plain, dropout 0.2, batch 20",
            "batch norm, dropout 0.2, batch 20",
            "plain, whole set",
            "batch norm, whole set",
        }


def test_the_claim_holds_if_error_and_loss_are_lower_and_it_is_the_noise() -> None:
    verdict = EXPERIMENT.verdict(results(REGULARIZES))
    assert verdict.outcome == "holds"
    assert verdict.sentence == (
        "At equal training loss and batches of 20, batch norm changes the test error, in points, by "
        "-2.0 (range -2.0 to -2.0 over 3 seeds): lower in 3 of 3 seeds; the test loss by "
        "-0.050 (range -0.050 to -0.050 over 3 seeds): lower in 3. With the mini-batch's noise taken away the error "
        "changes by +0.0 (range +0.0 to +0.0 over 3 seeds): the noise favours batch norm in 3."
    )


def test_it_does_not_hold_if_error_and_loss_are_higher() -> None:
    assert EXPERIMENT.verdict(results(REGULARIZES | {("batch", SMALL): (0.80, 0.60)})).outcome == "does not hold"


def test_it_does_not_hold_if_the_effect_is_as_large_without_the_noise() -> None:
    assert EXPERIMENT.verdict(results(REGULARIZES | {("batch", WHOLE): (0.95, 0.20)})).outcome == "does not hold"


def test_a_lower_loss_without_a_lower_error_is_not_enough() -> None:
    disagree: Arms = {("batch", SMALL): (0.875, 0.40), ("batch", WHOLE): (0.85, 0.50)}
    verdict = EXPERIMENT.verdict(results(REGULARIZES | disagree))
    assert verdict.outcome == "does not hold"
    assert "lower in 0 of 3 seeds" in verdict.sentence


def test_seeds_that_differ_or_are_few_show_nothing() -> None:
    worse = REGULARIZES | {("batch", SMALL): (0.80, 0.60)}
    assert EXPERIMENT.verdict(results(REGULARIZES) | results(worse, range(1, 2))).outcome == "not shown"
    assert EXPERIMENT.verdict(results(REGULARIZES, range(2))).outcome == "not shown"
    assert EXPERIMENT.verdict({}).outcome == "not shown"


def test_each_seed_is_compared_with_itself() -> None:
    better = REGULARIZES | {(None, SMALL): (0.5, 1.0), ("batch", SMALL): (0.6, 0.9)}
    runs = results(REGULARIZES, range(1)) | results(better, range(1, 2))
    assert regularization.effects(runs, SMALL, "test_accuracy") == pytest.approx({0: 0.02, 1: 0.1})


@pytest.mark.parametrize("diverged", [True, False])
def test_runs_that_are_not_fitted_are_counted_and_never_help_the_claim(diverged: bool) -> None:
    runs = results(REGULARIZES, range(4))
    runs[FitSettings(norm="batch", seed=3)] = unfit(diverged=diverged)
    verdict = EXPERIMENT.verdict(runs)
    assert verdict.outcome == "not shown"
    assert verdict.sentence.endswith("1 of 16 runs diverged or did not reach the training loss.")
    row = next(row for row in EXPERIMENT.table(runs) if row[0] == "batch norm, batch 20")
    assert row[-2:] == ["1 of 4", "1 of 4" if diverged else "0 of 4"]


def test_a_missing_run_takes_its_pair_out() -> None:
    runs = results(REGULARIZES, range(4))
    del runs[FitSettings(norm=None, seed=2)]
    assert list(regularization.effects(runs, SMALL, "test_loss")) == [0, 1, 3]
    assert EXPERIMENT.verdict(runs).outcome == "holds"


def test_the_table_has_errors_and_steps() -> None:
    header, plain, *_ = EXPERIMENT.table(results(REGULARIZES))
    assert header[:5] == ["arm", "train error", "test error", "test loss", "steps to fit"]
    assert [cell.split(" (")[0] for cell in plain] == [
        "plain, batch 20", "0.0%", "12.0%", "0.450", "100", "0 of 3", "0 of 3",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "runs",
    [
        results(REGULARIZES),
        {s: unfit(diverged=True) for s in results(REGULARIZES)},
        dict(list(results(REGULARIZES).items())[:1]),
        {},
    ],
    ids=["whole", "diverged", "missing", "none"],
)
def test_every_figure_has_labels_and_a_caption(runs: dict[Any, dict[str, Any]]) -> None:
    figures = EXPERIMENT.draw(runs)
    assert set(figures) <= set(EXPERIMENT.captions)
    assert set(figures) == (set(EXPERIMENT.captions) if runs else set())
    for name, figure in figures.items():
        (ax,) = figure.axes
        assert ax.get_xlabel(), name
        assert ax.get_ylabel(), name
        assert ax.get_title(), name


def test_runs_that_are_not_fitted_are_counted_in_the_figures() -> None:
    runs = results(REGULARIZES)
    runs[FitSettings(norm="batch", seed=1)] = unfit(diverged=True)
    for name in ("accuracy", "gap"):
        ax = EXPERIMENT.draw(runs)[name].axes[0]
        labels = [text.get_text().replace("\n", " ") for text in ax.get_xticklabels()]
        assert "batch norm, batch 20, 1 not fitted" in labels


def test_a_run_that_diverges_is_a_result() -> None:
    result = execute(FitSettings(depth=1, width=4, lr=1e30, steps=5, train_size=40))
    assert result["diverged"]
    assert not result["fitted"]


def test_a_run_ends_as_soon_as_it_fits() -> None:
    easy = FitSettings(depth=1, width=30, train_size=20, norm="batch", record_every=5, steps=500)
    result = execute(easy)
    assert result["fitted"]
    assert result["train_loss"] <= easy.target
    assert result["train_accuracy"] == 1
    before = execute(dataclasses.replace(easy, steps=result["steps"] - 5))
    assert before["train_loss"] > easy.target


def test_too_few_steps_do_not_fit() -> None:
    result = execute(FitSettings(depth=1, width=4, train_size=40, steps=3))
    assert (result["steps"], result["fitted"], result["diverged"]) == (3, False, False)


def test_without_noise_training_and_inference_agree() -> None:
    # one batch of all examples: its mean and variance are those of the whole training set
    from tinynet.experiments.runs import load_data
    from tinynet.losses import SoftmaxCrossEntropy

    train = load_data(None)[0][:100]
    net = FitSettings(norm="batch").network(train)
    net.calibrate(train.x)
    losses = [SoftmaxCrossEntropy()(net.forward(train.x, training=t), train.y)[0] for t in (False, True)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.slow
def test_a_tiny_real_sweep_gives_a_verdict() -> None:
    runs = [dataclasses.replace(s, width=30, train_size=200) for s in EXPERIMENT.runs(True) if s.seed == 0]  # type: ignore[attr-defined]
    found = {s: execute(s) for s in runs}
    assert all(r["fitted"] for r in found.values())
    assert EXPERIMENT.verdict(found).outcome == "not shown", "one seed shows nothing"
