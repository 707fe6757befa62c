import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

import tinynet as tn
from tests.timeless import timeless
from tinynet.experiments import dissection
from tinynet.experiments.dissection import EXPERIMENT, LARGE, SMALL, VARIANTS, DissectionSettings

NAN = math.nan
SCORES = {  # as the claim has it: variant -> mean accuracy at the small and at the large rate
    "none": (0.5, 0.1),
    "batch norm": (0.9, 0.9),
    "noise after batch norm": (0.88, 0.86),
    "mean only": (0.5, 0.9),
    "variance only": (0.9, 0.1),
}
LANDSCAPES = {"none": ([2.0, 4.0, 6.0], [0.1, 9.0]), "batch norm": ([1.0, 2.0, 3.0], [0.2, 0.3])}
Made = dict[DissectionSettings, dict[str, Any]]


def result(
    accuracy: float, *, diverged: bool = False, rough: float | None = None, loss: float = 1.0
) -> dict[str, Any]:
    """Return a made-up run of two records whose accuracies have the given mean."""
    measured = [] if rough is None else [rough, rough]
    return {
        "steps": [50, 100],
        "train_loss": [1.0, NAN if diverged else 1.0],
        "validation_loss": [1.0, NAN if diverged else 1.0],
        "validation_accuracy": [accuracy - 0.05, NAN if diverged else accuracy + 0.05],
        "lr": [0.1, 0.1],
        "diverged": diverged,
        "landscape": {
            "steps": [50, 100][: len(measured)],
            "loss_range": [loss] * len(measured),
            "gradient_change": measured,
            "smoothness": measured,
        },
    }


def results(scores: dict[str, tuple[float, float]] | None = None, **smoothness: float) -> Made:
    """Return results as the claim has them, but for what is given."""
    scores = SCORES | (scores or {})
    made = {}
    for s in dissection.runs(True):
        rough = {"none": smoothness.get("none", 3.0), "batch norm": 1.0}.get(s.variant)
        loss = smoothness.get("loss", 8.0) if s.variant == "none" else 1.0
        made[s] = result(scores.get(s.variant, (0.9, 0.9))[s.lr == LARGE], rough=rough, loss=loss)
    return made


def legend(ax: Axes) -> list[str]:
    shown = ax.get_legend()
    assert shown is not None
    return [text.get_text() for text in shown.get_texts()]


@pytest.mark.parametrize("quick", [True, False])
def test_every_variant_is_run_at_both_rates_for_three_seeds_or_more(quick: bool) -> None:
    runs = dissection.runs(quick)
    assert len(set(runs)) == len(runs)
    for seed in range(3):
        for lr in (SMALL, LARGE):
            assert [s.variant for s in runs if (s.seed, s.lr) == (seed, lr)] == list(VARIANTS)


def test_every_variant_starts_from_the_same_weights() -> None:
    nets = [DissectionSettings(variant=name, depth=2, width=5, seed=3).network(4, 3) for name in VARIANTS]
    for net in nets:
        for k in (1, 2, 3):
            weight = f"dense_{k}.weight"
            np.testing.assert_array_equal(net.params[weight], nets[0].params[weight])
    with pytest.raises(tn.InputError, match="did you mean 'mean only'"):
        DissectionSettings(variant="mean onyl").network(4, 3)


def test_a_variant_stands_where_its_name_says() -> None:
    kinds = {name: list(DissectionSettings(variant=name, depth=1).network(4, 3).layers) for name in VARIANTS}
    assert kinds["none"] == ["dense_1", "tanh_1", "dense_2"]
    assert kinds["batch norm"] == ["dense_1", "batch_norm_1", "tanh_1", "dense_2"]
    assert kinds["noise after batch norm"] == ["dense_1", "batch_norm_1", "moving_noise_1", "tanh_1", "dense_2"]
    assert kinds["after the activation"] == ["dense_1", "tanh_1", "batch_norm_1", "dense_2"]


def test_along_the_gradient_of_a_softmax_of_logits() -> None:
    """Of one example of class 0 with one input of 1, where loss and gradient are closed forms."""
    net = tn.Sequential([tn.Dense(2, init="constant(0)")], inputs=1, dtype="float64")
    data = tn.Dataset(np.array([[1.0]]), np.array([0]))
    before = {name: value.copy() for name, value in net.params.items()}
    measured = dissection.along_the_gradient(net, data, [1.0, 2.0])
    # the gradient of weight and bias is (p - 1, 1 - p) with p = 1/2; a step of size s makes both +-s/2, the logits +-s
    loss = {s: math.log1p(math.exp(-2 * s)) for s in (1, 2)}
    p = {s: 1 / (1 + math.exp(-2 * s)) for s in (1, 2)}
    change = {s: 2 * (p[s] - 0.5) for s in (1, 2)}  # four components, each p - 1/2 away
    assert measured["loss_range"] == pytest.approx(loss[1] - loss[2])
    assert measured["gradient_change"] == pytest.approx(change[2])
    assert measured["smoothness"] == pytest.approx(change[1] / 1.0), "the gradient's length is 1"
    for name, value in before.items():
        np.testing.assert_array_equal(net.params[name], value)


def test_measuring_leaves_weights_and_running_statistics_as_they_were() -> None:
    rng = np.random.default_rng(0)
    net = DissectionSettings(variant="batch norm", depth=2, width=5).network(4, 3)
    data = tn.Dataset(rng.normal(size=(20, 4)), rng.integers(0, 3, 20))
    before = {name: value.copy() for name, value in [*net.params.items(), *net.state.items()]}
    dissection.along_the_gradient(net, data, [0.5, 1.0])
    for name, value in before.items():
        np.testing.assert_array_equal({**net.params, **net.state}[name], value)


def test_it_holds_as_the_claim_has_it() -> None:
    verdict = EXPERIMENT.verdict(results())
    assert verdict.outcome == "holds"
    assert "noise after it leaves 95% (range 95% to 95% over 3 seeds) at learning rate 0.01" in verdict.sentence
    assert "the mean alone gives 0% (range 0% to 0% over 3 seeds) at learning rate 0.01 and 100%" in verdict.sentence
    assert "3.0 (range 3.0 to 3.0 over 3 seeds)" in verdict.sentence


@pytest.mark.parametrize(
    "against",
    [
        results({"noise after batch norm": (0.88, 0.5)}),  # distributions that move do hurt
        results({"mean only": (0.9, 0.9)}),  # the mean is enough
        results({"variance only": (0.9, 0.9)}),  # the variance is enough
        results({"none": (0.9, 0.1)}),  # there is no gain
        results(none=0.5),  # the gradient changes less without batch norm
        results(loss=0.5),  # the loss does
    ],
)
def test_it_does_not_hold_if_any_part_fails_in_every_seed(against: Made) -> None:
    assert EXPERIMENT.verdict(against).outcome == "does not hold"


def test_mixed_seeds_and_missing_runs_show_nothing() -> None:
    good, bad = results(), results(loss=0.5)
    mixed = {s: (bad if s.seed == 1 else good)[s] for s in good}
    assert EXPERIMENT.verdict(mixed).outcome == "not shown"
    missing = {s: r for s, r in good.items() if (s.seed, s.variant) != (2, "mean only")}
    assert EXPERIMENT.verdict(missing).outcome == "not shown"
    assert EXPERIMENT.verdict({}).outcome == "not shown"


def test_a_diverged_run_counts_as_no_accuracy_and_the_roughest_landscape() -> None:
    made = results()
    for s in made:
        if s.variant == "none" and s.lr == LARGE:
            made[s] = result(0.9, diverged=True, rough=NAN, loss=NAN)
    assert dissection.score(result(0.9, diverged=True)) == 0
    assert dissection.typical(result(0.9, rough=NAN), "smoothness") == math.inf
    verdict = EXPERIMENT.verdict(made)
    assert verdict.outcome == "holds"
    assert "3 of 48 runs diverged" in verdict.sentence
    assert next(row for row in EXPERIMENT.table(made) if row[:2] == ["none", "1"])[-1] == "3 of 3"
    figures = EXPERIMENT.draw(made)
    assert "none: 3 of 3 runs diverged" in legend(figures["curves"].axes[1])


def test_the_figures_say_what_they_show() -> None:
    figures = EXPERIMENT.draw(results())
    assert set(figures) == set(EXPERIMENT.captions)
    for figure in figures.values():
        figure.canvas.draw()
        assert figure.axes[0].get_ylabel()
        assert all(ax.get_xlabel() and ax.get_title() for ax in figure.axes)
    shown = [label.get_text().replace("\n", " ") for label in figures["accuracy"].axes[0].get_xticklabels()]
    assert shown == list(VARIANTS)


def test_what_is_missing_is_not_drawn() -> None:
    assert EXPERIMENT.draw({}) == {}
    one = {s: r for s, r in results().items() if s.variant == "layer norm" and s.lr == SMALL}
    assert set(EXPERIMENT.draw(one)) == {"accuracy"}
    assert len(EXPERIMENT.table(one)) == 2


@pytest.mark.slow
def test_a_tiny_run(idx_folder: Path) -> None:
    small = DissectionSettings(depth=2, width=8, steps=20, record_every=10, lr=0.1, data=str(idx_folder))
    for variant in VARIANTS:
        settings = dataclasses.replace(small, variant=variant)
        first = settings.run()
        assert first == json.loads(json.dumps(first)), variant
        assert timeless(first) == timeless(settings.run()), variant
        assert first["landscape"]["steps"] == ([10, 20] if variant in ("none", "batch norm") else [])
    diverged = dataclasses.replace(small, lr=1e38).run()
    assert diverged["diverged"]


@pytest.mark.slow
def test_watching_the_landscape_does_not_change_the_training(
    idx_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = DissectionSettings(
        variant="batch norm", depth=2, width=8, steps=20, record_every=5, data=str(idx_folder)
    )
    watched = settings.run()
    monkeypatch.setattr(dissection.Landscape, "on_record", lambda self, run: None)
    assert settings.run()["validation_loss"] == watched["validation_loss"]
