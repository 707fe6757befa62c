import dataclasses
import json
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

import tinynet as tn
from tinynet.experiments import runner, runs
from tinynet.experiments.runs import RunSettings


@pytest.fixture
def settings(idx_folder: Path) -> RunSettings:
    return RunSettings(depth=2, width=8, steps=40, batch_size=20, record_every=10, data=str(idx_folder), norm="batch")


def numbers(result: runs.RunResult) -> str:
    return json.dumps([dataclasses.asdict(result.history), result.probe.values])


def test_a_run_is_a_function_of_its_settings(settings: RunSettings) -> None:
    assert numbers(runs.run(settings)) == numbers(runs.run(settings))
    assert numbers(runs.run(settings)) != numbers(runs.run(dataclasses.replace(settings, seed=1)))


def test_a_run_records_the_test_set_on_schedule(settings: RunSettings) -> None:
    result = runs.run(settings)
    assert result.history.steps == [10, 20, 30, 40]
    assert result.probe.steps == [0, 10, 20, 30]
    assert not result.interrupted


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
    assert [r.settings for r in results] == several
    assert [numbers(r) for r in results] == [numbers(runs.run(s)) for s in several]


@pytest.mark.slow
def test_ctrl_c_returns_what_was_recorded(settings: RunSettings) -> None:
    runs.run(settings)  # compiles the kernels
    endless = dataclasses.replace(settings, steps=10_000_000, record_every=1)
    timer = threading.Timer(6.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    results = runner.run_all([endless] * 4, jobs=2, description="test")
    assert len(results) == 2, "the other two had not begun"
    assert all(r.interrupted and r.history.steps for r in results)


def test_a_network_without_layers_is_refused(settings: RunSettings) -> None:
    with pytest.raises(tn.InputError, match="depth and width must be at least 1"):
        dataclasses.replace(settings, depth=0).network(runs.load_data(settings.data)[0])
