"""One thread or all: what is faster at the moment is what is done most, and a wrong guess costs little."""

import random

import numpy as np
import pytest

import tinynet as tn
from tinynet.machinery import blas, pace
from tinynet.machinery.pace import Pace

ONE = 1.0  # the time on one thread

needs_threads = pytest.mark.skipif(
    blas.library() is None or not blas.library().chosen_by_itself(),
    reason="no BLAS whose number of threads can be set",
)


def mean_time(steps, on_all, *, noise=0.02, allowed=True):
    """The mean time of a step, over that on one thread, where all threads take on_all(step)."""
    one, rng, total = Pace(lambda: allowed), random.Random(0), 0.0
    for step in range(steps):
        seconds = (on_all(step) if one.all else ONE) * (1 + noise * abs(rng.gauss(0, 1)))
        one.learn(seconds)
        total += seconds
    return total / steps


@pytest.mark.parametrize("gain", [0.55, 0.8])
def test_on_an_idle_machine_nearly_all_steps_take_all_threads(gain):
    assert mean_time(5000, lambda step: gain) < gain + 0.03


@pytest.mark.parametrize("cost", [1.0, 1.5, 4.0, 20.0])
def test_where_all_threads_are_slower_trying_them_costs_little(cost):
    assert mean_time(1000, lambda step: cost) < 1.15
    assert mean_time(20_000, lambda step: cost) < 1.05


def test_where_they_are_faster_in_most_steps_and_twenty_times_slower_in_some_it_stays_with_one():
    rng = random.Random(1)
    assert mean_time(20_000, lambda step: 20.0 if rng.random() < 0.2 else 0.55) < 1.15


def test_one_slow_step_among_fast_ones_does_not_send_it_back_to_one_thread():
    rng = random.Random(1)
    assert mean_time(20_000, lambda step: 2.0 if rng.random() < 0.04 else 0.55) < 0.72  # 0.61, if it never went back


def test_a_quarter_of_slower_steps_does_not_either():
    rng = random.Random(3)
    assert mean_time(20_000, lambda step: 1.3 if rng.random() < 0.25 else 0.55) < 0.85  # 0.74, if it never went back


@pytest.mark.parametrize("first", [1.9, 3.0])
def test_threads_that_have_to_wake_up_first_are_not_judged_by_that(first):
    one, woken, total = Pace(lambda: True), 0, 0.0
    for _ in range(5000):
        woken = woken + 1 if one.all else 0
        seconds = (first if 0 < woken <= 2 else 0.7) if one.all else ONE
        one.learn(seconds)
        total += seconds
    assert total / 5000 < 0.75


def test_it_changes_its_mind_when_the_machine_gets_busy_and_when_it_gets_idle():
    def busy(step):
        return 20.0 if 5000 <= step < 10_000 else 0.55

    assert mean_time(5000, busy) < 0.6
    assert mean_time(10_000, busy) - mean_time(5000, busy) / 2 < 1.15 / 2
    assert mean_time(30_000, busy) < (25_000 * 0.65 + 5000 * 1.15) / 30_000


def test_work_that_all_threads_do_to_other_bits_stays_on_one():
    one, asked = Pace(lambda: bool(asked.append(1))), []
    for _ in range(2 * pace.MOST):
        one.learn(ONE)
        assert not one.all
    assert len(asked) <= 3


@needs_threads
@pytest.mark.parametrize("order", ["as it is", "transposed"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("m", "k", "n"), [(60, 784, 100), (784, 60, 100), (256, 300, 256), (512, 1024, 128), (256, 784, 1024)]
)
def test_what_is_said_to_give_the_same_bits_does_so_for_other_numbers(m, k, n, dtype, order):
    rng, found = np.random.default_rng(1), blas.library()
    a = rng.normal(size=(m, k)) if order == "as it is" else rng.normal(size=(k, m)).T
    a, b = np.asarray(a, dtype), rng.normal(size=(k, n)).astype(dtype)
    outs = [np.empty((m, n), dtype) for _ in range(2)]
    for number, out in zip((1, found.threads), outs, strict=True):
        try:
            found.set_threads(number)
            found.gemm[dtype](*blas.gemm_arguments(a, b, out))
        finally:
            found.set_threads(found.threads)
    assert blas.same_bits(dtype, *blas.gemm_arguments(a, b, outs[0])[1:6]) == np.array_equal(*outs)


@needs_threads
@pytest.mark.skipif(blas.library() is None or blas.library().kernels not in blas.BLOCKS, reason="other kernels")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("terms", [300, 449, 500, 784, 895, 1000, 1500, 3000])
def test_a_large_product_is_cut_as_on_one_thread_and_so_has_the_same_bits_on_all(terms, dtype):
    rng, found = np.random.default_rng(0), blas.library()
    a, b = (rng.normal(size=shape).astype(dtype) for shape in ((64, terms), (terms, 1024)))
    whole, cut = (np.empty((64, 1024), dtype) for _ in range(2))
    parts = list(blas.parts(a, b, cut))
    assert sum(part.shape[1] for part, *_ in parts) == terms
    assert all(blas.same_bits(dtype, *blas.gemm_arguments(*part)[1:6]) for part in parts)
    found.on(1, lambda: found.gemm[dtype](*blas.gemm_arguments(a, b, whole)))
    blas.matmul(a, b, cut)
    np.testing.assert_array_equal(cut, whole)


@needs_threads
def test_a_step_gives_the_same_bits_whatever_the_pace(monkeypatch):
    def trained(always):
        monkeypatch.setattr(Pace, "learn", lambda self, seconds: setattr(self, "all", always and self.allowed()))
        blas._pace.cache_clear()
        net, optimizer = tn.mlp(300, [256, 256], 256, norm="batch", seed=0), tn.SGD(0.1, momentum=0.9)
        rng = np.random.default_rng(0)
        for _ in range(5):
            x, dy = (rng.normal(size=(256, width)).astype("float32") for width in (300, 256))
            net.forward(x, training=True)
            net.backward(dy)
            optimizer.step(net.params, net.grads)
        programs = [part for (r,) in net._passes.recorder.recordings.training.values() for part in r.replayer._parts]
        assert any(getattr(part, "pace", None) for part in programs)
        return [array.tobytes() for array in (net.params | net.state).values()]

    assert trained(always=True) == trained(always=False)
    blas._pace.cache_clear()
    assert blas.library().get_threads() == blas.library().threads
