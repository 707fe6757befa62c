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
from tinynet.experiments import figure_1, replication
from tinynet.experiments.figure_1 import EXPERIMENT, Figure1Settings, UnitInput
from tinynet.experiments.replication import ReplicationSettings

NAN = math.nan


def result(
    accuracies: list[float], medians: list[float] | None = None, *, diverged: bool = False, width: float = 2.0
) -> dict[str, Any]:
    """Return a made-up run: a record every 500 steps, and the unit's median in the middle of a band."""
    n = len(accuracies)
    medians = [0.0] * n if medians is None else medians
    return {
        "steps": [500 * (k + 1) for k in range(n)],
        "train_loss": [1.0] * n,
        "validation_loss": [1.0] * n,
        "validation_accuracy": accuracies,
        "lr": [0.1] * n,
        "diverged": diverged,
        "accuracy": 0.098 if diverged else accuracies[-1],
        "percentile_steps": [500 * (k + 1) for k in range(n)],
        "percentiles": [[m - width / 2, m, m + width / 2] for m in medians],
    }


PLAIN = result([0.1, 0.5, 0.9], [0.0, 1.0, 2.0])
NORMALIZED = result([0.9, 0.93, 0.97], [0.0, 0.1, 0.0])
DIVERGED = result([0.3, NAN], [0.0, NAN], diverged=True)


def three(plain: dict[str, Any], normalized: dict[str, Any]) -> dict[Figure1Settings, dict[str, Any]]:
    arms = {None: plain, "batch": normalized}
    return {s: arms[s.norm] for s in figure_1.runs(True)}


def legend(ax: Axes) -> list[str]:
    shown = ax.get_legend()
    assert shown is not None
    return [text.get_text() for text in shown.get_texts()]


def test_the_arms_are_paired() -> None:
    full = [s for s in figure_1.runs(False) if isinstance(s, Figure1Settings)]
    assert len(full) == 6
    for seed in range(3):
        arms = [dataclasses.replace(s, norm=None) for s in full if s.seed == seed]
        assert len(arms) == 2
        assert arms[0] == arms[1]
    assert all(s.steps == 50_000 and s.batch_size == 60 for s in full)


def test_drift_is_in_widths_of_the_band() -> None:
    medians = [0.0, 1.0, 2.0]
    assert figure_1.drift(result([0.1] * 3, medians)) == pytest.approx(math.sqrt(2 / 3) / 2)
    assert figure_1.drift(result([0.1] * 3, medians, width=4.0)) == pytest.approx(math.sqrt(2 / 3) / 4)
    assert math.isnan(figure_1.drift(result([0.1] * 3, medians, width=0.0)))


def test_it_holds_if_batch_norm_is_faster_higher_and_steadier() -> None:
    verdict = EXPERIMENT.verdict(three(PLAIN, NORMALIZED))
    assert verdict.outcome == "holds"
    assert "+7.0 (range +7.0 to +7.0 over 3 seeds) points," in verdict.sentence
    assert "in 0.33 (range 0.33 to 0.33 over 3 seeds) of its steps" in verdict.sentence, "500 of 1500"


@pytest.mark.parametrize(
    "normalized",
    [
        result([0.9, 0.93, 0.89], [0.0, 0.1, 0.0]),  # lower at the end
        result([0.1, 0.2, 0.97], [0.0, 0.1, 0.0]),  # not faster
        result([0.9, 0.93, 0.97], [0.0, 2.0, 4.0]),  # its median drifts more
        DIVERGED,
    ],
)
def test_it_does_not_hold_if_one_of_the_three_fails_in_every_pair(normalized: dict[str, Any]) -> None:
    assert EXPERIMENT.verdict(three(PLAIN, normalized)).outcome == "does not hold"


def test_mixed_pairs_and_missing_runs_show_nothing() -> None:
    results = three(PLAIN, NORMALIZED)
    mixed = results | {s: PLAIN for s in results if s.seed == 1}
    assert EXPERIMENT.verdict(mixed).outcome == "not shown"
    first, *rest = results
    assert EXPERIMENT.verdict({s: results[s] for s in rest}).outcome == "not shown", "two pairs are too few"
    assert EXPERIMENT.verdict({}).outcome == "not shown"
    assert EXPERIMENT.verdict({first: PLAIN}).outcome == "not shown"


def test_a_plain_run_that_diverged_counts_for_batch_norm() -> None:
    verdict = EXPERIMENT.verdict(three(DIVERGED, NORMALIZED))
    assert verdict.outcome == "holds"
    assert "3 of 6 runs diverged" in verdict.sentence


def test_the_full_form_has_the_replication_and_says_how_near_it_is() -> None:
    full = figure_1.runs(False)
    replicated = [s for s in full if isinstance(s, ReplicationSettings)]
    assert replicated == replication.runs()
    results = three(PLAIN, NORMALIZED) | {s: {"accuracy": 0.9, "diverged": False} for s in replicated}
    verdict = EXPERIMENT.verdict(results)
    assert verdict.outcome == "holds", "the replication has no say in it"
    assert verdict.sentence.endswith(f" with. {replication.sentence(results)}")
    table = EXPERIMENT.table(results)
    assert [row[1] for row in table[1:]] == ["plain", "batch norm"] * 5
    assert {len(row) for row in table} == {6}


@pytest.mark.parametrize("plain", [PLAIN, DIVERGED])
def test_the_figures_say_what_they_show(plain: dict[str, Any]) -> None:
    figures = EXPERIMENT.draw(three(plain, NORMALIZED))
    assert set(figures) == set(EXPERIMENT.captions)
    (curves,) = figures["accuracy"].axes
    assert ("plain: 3 of 3 runs diverged" in legend(curves)) == plain["diverged"]
    diverged = " (diverged)" if plain["diverged"] else ""
    assert [ax.get_title() for ax in figures["percentiles"].axes] == [f"Plain{diverged}", "Batch norm"]
    for figure in figures.values():
        figure.canvas.draw()
        assert figure.axes[0].get_ylabel()
        assert all(ax.get_xlabel() for ax in figure.axes)


def test_missing_arms_are_not_drawn() -> None:
    assert EXPERIMENT.draw({}) == {}
    only_plain = {s: PLAIN for s in figure_1.runs(True) if s.norm is None}
    assert len(EXPERIMENT.draw(only_plain)["percentiles"].axes) == 1
    assert len(EXPERIMENT.table(only_plain)) == 2


def test_the_watched_input_is_that_of_one_unit_of_the_last_hidden_layer() -> None:
    x = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    net = tn.mlp(4, [5, 3], 2, activation="sigmoid", seed=1)
    unit = UnitInput(x, unit=2)
    run = tn.Run(net, tn.SGD(0.1), tn.History(), 1)
    unit.on_record(run)
    p = net.params
    hidden = 1 / (1 + np.exp(-(x @ p["dense_1.weight"] + p["dense_1.bias"])))
    values = (hidden @ p["dense_2.weight"] + p["dense_2.bias"])[:, 2]
    np.testing.assert_allclose(unit.percentiles[0], np.percentile(values, [15, 50, 85]), rtol=1e-5)
    with pytest.raises(tn.InputError, match="from 0 to 2"):
        UnitInput(x, unit=3).on_record(run)


@pytest.mark.slow
@pytest.mark.parametrize("norm", [None, "batch"])
def test_a_tiny_run(norm: Any, idx_folder: Path) -> None:
    settings = Figure1Settings(norm=norm, steps=40, record_every=20, lr=1.0, data=str(idx_folder))
    first, again = settings.run(), settings.run()
    assert timeless(first) == timeless(again), "the same settings, the same numbers"
    assert first == json.loads(json.dumps(first))
    assert first["steps"] == [20, 40]
    assert first["percentile_steps"] == [0, 20, 40]
    assert 0 <= first["accuracy"] <= 1
    diverged = dataclasses.replace(settings, activation="relu", lr=1e9, norm=None).run()
    assert diverged["diverged"]
