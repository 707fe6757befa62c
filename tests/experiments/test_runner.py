import dataclasses
import json
import os
import re
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinynet as tn
from tests.timeless import timeless
from tinynet.experiments import runner, runs
from tinynet.experiments.compare import interrupted
from tinynet.experiments.dissection import DissectionSettings
from tinynet.experiments.figure_1 import Figure1Settings
from tinynet.experiments.gradients import GradientSettings, MeanFieldSettings
from tinynet.experiments.initialization import ActivationSettings
from tinynet.experiments.learning_rate import LargestRate
from tinynet.experiments.prediction_cost import PredictionSettings
from tinynet.experiments.regularization import FitSettings
from tinynet.experiments.replication import ReplicationSettings
from tinynet.experiments.runs import RunSettings


@pytest.fixture
def settings(idx_folder: Path) -> RunSettings:
    return RunSettings(depth=2, width=8, steps=40, batch_size=20, record_every=10, data=str(idx_folder), norm="batch")


def numbers(result: dict[str, Any]) -> str:
    return json.dumps(timeless(result))


def test_a_run_is_a_function_of_its_settings(settings: RunSettings) -> None:
    assert numbers(settings.run()) == numbers(settings.run())
    assert numbers(settings.run()) != numbers(dataclasses.replace(settings, seed=1).run())


def test_a_run_records_the_test_set_on_schedule(settings: RunSettings) -> None:
    result = settings.run()
    assert result["steps"] == [10, 20, 30, 40]
    assert result["probe"]["steps"] == [0, 10, 20, 30]
    assert "probe" not in dataclasses.replace(settings, probed=False).run()


def test_both_arms_start_from_the_same_weights(settings: RunSettings) -> None:
    train, _ = runs.load_data(settings.data)
    with_norm = settings.network(train)
    without = dataclasses.replace(settings, norm=None).network(train)
    for name in ("dense_1.weight", "dense_2.weight", "dense_3.weight"):
        np.testing.assert_array_equal(with_norm.params[name], without.params[name])


@pytest.mark.slow
def test_worker_processes_give_the_numbers_of_this_process(settings: RunSettings) -> None:
    several = [dataclasses.replace(settings, seed=seed) for seed in range(3)]
    results = runner.run_all(several, jobs=2, description="test")
    assert list(results) == several
    assert {s: numbers(r) for s, r in results.items()} == {s: numbers(s.run()) for s in several}


@pytest.mark.slow
def test_ctrl_c_returns_what_was_recorded(settings: RunSettings) -> None:
    settings.run()  # compiles the kernels
    endless = [dataclasses.replace(settings, steps=10_000_000, record_every=1, seed=seed) for seed in range(4)]
    timer = threading.Timer(6.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    results = runner.run_all(endless, jobs=2, description="test")
    assert list(results) == endless[:2], "the other two had not begun"
    assert all(interrupted(s, r) and r["steps"] for s, r in results.items())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"depth": 0}, "depth must be a whole number (an int) of at least 1, not 0"),
        ({"width": -3}, "width must be a whole number"),
        ({"steps": 0}, "steps must be a whole number"),
        ({"steps": 10.0}, "steps must be a whole number (an int) of at least 1, not 10.0"),
        ({"record_every": 0}, "record_every must be"),
        ({"train_size": 0}, "train_size must be"),
        ({"seed": -1}, "seed must be a whole number (an int) of at least 0"),
        ({"batch_size": 0, "norm": None}, "batch_size must be a whole number (an int) of at least 1, not 0"),
        (
            {"batch_size": 1},
            "must be a whole number (an int) of at least 2 with batch normalization, not 1",
        ),
        ({"lr": -0.1}, "lr must be a positive number, not -0.1"),
        ({"lr": float("nan")}, "lr must be a positive number, not nan"),
        ({"momentum": 1.0}, "momentum must be at least 0 and below 1"),
        ({"activation": "sigmod"}, "unknown activation 'sigmod'; did you mean 'sigmoid'?"),
        ({"init": "normal(-1)"}, "initializer 'normal(-1)' needs a finite number"),
        ({"norm": "btach"}, "unknown norm (None for none) 'btach'; did you mean 'batch'?"),
        ({"dropout": 1.0}, "Dropout: rate must be at least 0 and below 1"),
    ],
)
def test_settings_that_cannot_train_are_refused_as_they_are_made(
    settings: RunSettings, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(tn.InputError, match=re.escape(message)):
        dataclasses.replace(settings, **wrong)


def test_batches_of_one_are_fine_without_batch_normalization(settings: RunSettings) -> None:
    assert dataclasses.replace(settings, norm=None, batch_size=1, steps=3).run()["steps"] == [3]


def test_settings_of_other_kinds_are_checked_too() -> None:
    for make, message in (
        (lambda: Figure1Settings(activation="sigmod"), "did you mean 'sigmoid'"),
        (lambda: ReplicationSettings(activation="relu", lr=0.0), "lr must be"),
        (lambda: LargestRate(depth=0), "depth must be"),
        (lambda: GradientSettings(depth=2, activation="relu", init="he"), "unknown initializer 'he'"),
        (lambda: DissectionSettings(variant="mean"), "unknown variant 'mean'"),
        (lambda: FitSettings(norm="batch", batch_size=1), "at least 2 with batch normalization"),
        (lambda: ActivationSettings(width=0), "width must be"),
        (lambda: MeanFieldSettings(activation="relu", batch_size=0), "batch_size must be"),
        (lambda: PredictionSettings(seed=-1), "seed must be"),
    ):
        with pytest.raises(tn.InputError, match=message):
            make()
