import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinynet as tn
from tinynet.experiments import statistics_at_test_time
from tinynet.experiments.arms import Results
from tinynet.experiments.statistics_at_test_time import (
    ACTIVATIONS,
    EXPERIMENT,
    RunningAverages,
    StatisticsSettings,
    with_batch_statistics,
)

DIVERGED = {"diverged": True}


def result(population: float, running: float = 0.9, single: float = 0.1) -> dict[str, Any]:
    return {
        "diverged": False,
        "chance": 0.11,
        "running": {"0.5": running, "0.9": running, "0.99": 0.5, "0.999": 0.2},
        "population": population,
        "minibatch": population,
        "batch": {"1": single, "2": 0.5, "5": 0.7, "10": 0.8, "60": 0.85, "500": 0.9},
    }


def results(*populations: float, **others: float) -> dict[Any, dict[str, Any]]:
    """Return made-up runs of both activations, one seed for each accuracy with population statistics."""
    return {
        StatisticsSettings(steps=steps, activation=activation, seed=seed): result(population, **others)
        for steps in (100, 600)
        for activation in ACTIVATIONS
        for seed, population in enumerate(populations)
    }


def outcome(made_up: Results) -> str:
    return EXPERIMENT.verdict(made_up).outcome


def test_both_forms_train_short_and_long_with_three_seeds() -> None:
    for quick, schedules in ((True, {100, 600}), (False, {100, 1000, 10_000})):
        runs = EXPERIMENT.runs(quick)
        assert {s.steps for s in runs} == schedules
        assert {s.seed for s in runs} == {0, 1, 2}
        assert len(set(runs)) == len(runs) == 6 * len(schedules)
        assert {s.norm for s in runs} == {"batch"}


def test_the_claim_holds_if_population_statistics_lose_in_no_seed() -> None:
    verdict = EXPERIMENT.verdict(results(0.91, 0.92, 0.90))
    assert verdict.outcome == "holds"
    gain = "+1.00 (range +0.00 to +2.00 over 3 seeds)"
    later = "+41.00 (range +40.00 to +42.00 over 3 seeds)"
    assert verdict.sentence == (
        "After 100 steps, test accuracy with the whole training set's statistics minus that with running ones is, in "
        f"points, {gain} for sigmoid and {gain} for relu. With decay 0.99 in place of 0.9: {later} for sigmoid and "
        f"{later} for relu. After 600 steps: {gain} for sigmoid and {gain} for relu. Single images with batch "
        "statistics score 10.0 to 10.0 %, where one answer for all can score 11.0 % and the whole training set's "
        "statistics 90.0 to 92.0 %."
    )


def test_the_claim_does_not_hold_if_population_statistics_lose_in_every_seed() -> None:
    assert outcome(results(0.89, 0.88, 0.85)) == "does not hold"


def test_the_claim_does_not_hold_if_single_images_can_be_told_apart() -> None:
    assert outcome(results(0.91, 0.92, 0.90, single=0.12)) == "does not hold"


def test_mixed_few_or_no_seeds_show_nothing() -> None:
    assert outcome(results(0.91, 0.92, 0.89)) == "not shown"
    assert outcome(results(0.91, 0.92)) == "not shown"
    assert outcome({}) == "not shown"


def test_only_the_short_schedule_decides() -> None:
    made_up = results(0.91, 0.92, 0.93)
    assert outcome({s: result(0.8) if s.steps == 600 else r for s, r in made_up.items()}) == "holds"


def test_diverged_runs_are_counted_and_take_their_seed_out() -> None:
    made_up = results(0.91, 0.92, 0.93)
    made_up[StatisticsSettings(steps=100, activation="relu", seed=1)] = DIVERGED
    verdict = EXPERIMENT.verdict(made_up)
    assert verdict.outcome == "not shown"
    assert "over 2 seeds" in verdict.sentence
    assert verdict.sentence.endswith(" %. 1 of 12 runs diverged.")
    assert [row[-1] for row in EXPERIMENT.table(made_up)] == ["diverged", "0 of 3", "1 of 3", "0 of 3", "0 of 3"]
    (ax,) = EXPERIMENT.draw(made_up)["schedule"].axes
    assert "relu: 1 of 6 runs diverged" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_if_all_runs_diverged_there_is_only_that_to_show() -> None:
    made_up = dict.fromkeys(results(0.9, 0.9, 0.9), DIVERGED)
    assert EXPERIMENT.verdict(made_up).sentence == "No seed has a whole run of each activation; 12 runs diverged."
    assert EXPERIMENT.table(made_up)[1][2:] == ["no run"] * 5 + ["3 of 3"]
    assert list(EXPERIMENT.draw(made_up)) == ["schedule"]


def test_missing_runs_are_left_out() -> None:
    made_up = {s: r for s, r in results(0.91, 0.92, 0.93).items() if s.activation == "relu" or s.seed}
    assert "over 2 seeds" in EXPERIMENT.verdict(made_up).sentence
    assert set(EXPERIMENT.draw(made_up)) == set(EXPERIMENT.captions)
    assert EXPERIMENT.draw({}) == {}
    assert len(EXPERIMENT.table({})) == 1


def test_figures_have_labels_with_units_and_points_where_the_numbers_are() -> None:
    figures = EXPERIMENT.draw(results(0.91, 0.92, 0.93))
    assert list(figures) == list(EXPERIMENT.captions)
    (ax,) = figures["test_batch_size_relu"].axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("test batch size, images", "test accuracy, %")
    np.testing.assert_allclose(ax.lines[0].get_xydata()[:2], [[1, 10], [2, 50]])
    np.testing.assert_allclose(ax.lines[1].get_ydata(), 92)
    (ax,) = figures["schedule"].axes
    assert ax.get_ylabel().endswith("points")
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[100, 2], [600, 2]])
    (ax,) = figures["decay"].axes
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[2, 2], [10, 2], [100, 42], [1000, 72]])


def net_and_data() -> tuple[tn.Network, tn.Dataset]:
    rng = np.random.default_rng(0)
    net = tn.mlp(6, [5, 4], 3, activation="relu", norm="batch", seed=1, dtype="float64")
    for name in net.params:
        if "batch_norm" in name:
            net.params[name] = rng.normal(size=net.params[name].shape)
    return net, tn.Dataset(rng.normal(size=(60, 6)), rng.integers(0, 3, 60))


@pytest.mark.parametrize("m", [2, 5, 60])
def test_batch_statistics_are_those_that_the_network_trains_with(m: int) -> None:
    net, data = net_and_data()
    before = {name: value.copy() for name, value in net.state.items()}
    outputs = with_batch_statistics(net, data.x, m)
    for name, value in before.items():
        np.testing.assert_array_equal(net.state[name], value, err_msg="running statistics are not touched")
    trained = [net.forward(data.x[k : k + m], training=True) for k in range(0, 60, m)]
    np.testing.assert_allclose(outputs, np.concatenate(trained), rtol=1e-10)


def test_a_single_image_gets_the_answer_of_beta_alone() -> None:
    net, data = net_and_data()
    outputs = with_batch_statistics(net, data.x, 1)
    beta, weight = net.params["batch_norm_2.beta"], net.params["dense_3.weight"]
    np.testing.assert_allclose(outputs, np.tile(np.maximum(beta, 0) @ weight + net.params["dense_3.bias"], (60, 1)))


def test_running_averages_are_the_layers_own_at_each_decay() -> None:
    for k, decay in enumerate(statistics_at_test_time.DECAYS):
        (net, data), (usual, _) = net_and_data(), net_and_data()
        running = RunningAverages(net)
        tn.fit(net, data, steps=7, batch_size=10, callbacks=[running])
        for layer in usual.layers.values():
            if isinstance(layer, tn.BatchNorm):
                layer.decay = decay
        tn.fit(usual, data, steps=7, batch_size=10)
        for name, value in usual.state.items():
            np.testing.assert_allclose(running.averages[name][k], value, rtol=1e-9)


@pytest.mark.slow
def test_a_real_run_is_accurate_but_for_single_images(idx_folder: Path) -> None:
    settings = StatisticsSettings(depth=2, width=16, steps=100, batch_size=20, data=str(idx_folder), activation="relu")
    measured = settings.run()
    _, test = tn.datasets.idx(str(idx_folder))
    assert measured["chance"] == pytest.approx(np.bincount(test.y).max() / 100)
    assert measured["batch"]["1"] in [pytest.approx(share) for share in np.bincount(test.y) / 100]
    assert list(measured["batch"]) == ["1", "2", "5", "10", "60"], "no batch of 500 in 100 images"
    assert min(measured["population"], measured["minibatch"], measured["running"]["0.9"]) > 0.9
    assert dataclasses.replace(settings, activation="relu").run() == measured, "a function of its settings"


@pytest.mark.slow
def test_a_run_that_diverges_is_a_result(idx_folder: Path) -> None:
    settings = StatisticsSettings(depth=1, width=4, steps=50, batch_size=20, lr=1e30, data=str(idx_folder))
    assert settings.run() == DIVERGED
