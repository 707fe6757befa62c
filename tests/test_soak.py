"""The short form of ``python -m tests.soak``: memory stays flat, and what is dropped is gone."""

import gc
import json
import subprocess
import sys
import tracemalloc
import weakref
from pathlib import Path

import numpy as np
import pytest

import tinynet as tn

ROOT = Path(__file__).parents[1]
needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory in use is read from /proc")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory in use is read from /proc")
@pytest.mark.slow
def test_the_program_finds_memory_flat_over_ten_thousand_steps_and_thirty_networks(tmp_path):
    command = [sys.executable, "-m", "tests.soak", "--steps=10000", "--networks=30", f"--out={tmp_path / 'out'}"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads((tmp_path / "out").read_text())
    assert len(found["steps"]["resident"]) == 100
    assert found["steps"]["growth"] < 2e5  # fifty bytes a step
    # a network has half a megabyte of weights: those of the last dozen would show
    assert found["networks"]["growth"] < 3e6
    assert found["networks"]["traced growth"] < 3e4


DATA = tn.Dataset(np.random.default_rng(0).normal(size=(20, 50)), np.arange(20) % 3)


def trained(seed):
    """A network of 8 kB after one step."""
    net = tn.mlp(50, [40], 3, norm="batch", dropout=0.1, seed=seed)
    tn.fit(net, DATA, steps=1, batch_size=20, seed=0, optimizer=tn.SGD(0.1, momentum=0.9))
    return net


def test_a_network_that_is_dropped_is_gone_at_once_without_the_garbage_collector():
    """Its arrays are large and its objects few: a cycle would keep the arrays until much else is allocated."""
    gc.collect()
    gc.disable()
    try:
        net = trained(0)
        tn.evaluate(net, DATA)
        net.calibrate(DATA.x)
        net.fold().forward(DATA.x)
        watched = [weakref.ref(thing) for thing in (net, *net.layers.values())]
        watched += [weakref.ref(array) for array in (*net.params.values(), *net.grads.values(), *net.state.values())]
        del net
        assert [ref() for ref in watched if ref() is not None] == []
    finally:
        gc.enable()


@pytest.mark.slow
def test_a_thousand_networks_built_trained_for_a_step_and_dropped_leave_nothing():
    for seed in range(20):  # what is loaded and cached once
        trained(seed)
    left = []
    tracemalloc.start()
    try:
        for hundred in range(10):
            before = tracemalloc.get_traced_memory()[0]
            for seed in range(100):
                trained(100 * hundred + seed)
            gc.collect()
            left.append(tracemalloc.get_traced_memory()[0] - before)
    finally:
        tracemalloc.stop()
    # the median, since Python now and then moves a table of its own that was there before the tracing
    assert np.median(left) < 40 * 100, f"bytes left by each hundred: {left}"
