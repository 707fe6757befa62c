import math

import pytest

import tinynet as tn


def test_constant_is_the_same_at_every_step():
    assert [tn.Constant(0.1)(step) for step in (0, 1, 10**6)] == [0.1] * 3


def test_step_decay_multiplies_after_every_so_many_steps():
    schedule = tn.StepDecay(1.0, every=10, factor=0.5)
    assert [schedule(step) for step in (0, 9, 10, 19, 20, 35)] == [1, 1, 0.5, 0.5, 0.25, 0.125]


def test_cosine_goes_from_lr_through_the_middle_to_final_and_stays():
    schedule = tn.Cosine(0.9, steps=100, final=0.1)
    assert schedule(0) == 0.9
    assert schedule(50) == pytest.approx(0.5, rel=1e-15)
    assert schedule(25) == pytest.approx(0.5 + 0.4 * math.sqrt(0.5), rel=1e-14)
    assert schedule(100) == schedule(1000) == pytest.approx(0.1, rel=1e-15)
    rates = [schedule(step) for step in range(101)]
    assert rates == sorted(rates, reverse=True)


def test_warm_up_rises_in_a_straight_line_to_the_full_rate():
    schedule = tn.Warmup(0.8, steps=4)
    assert [schedule(step) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8], rel=1e-15)


def test_after_warm_up_the_other_schedule_runs_from_its_start():
    then = tn.StepDecay(1.0, every=2, factor=0.5)
    schedule = tn.Warmup(then, steps=3)
    assert [schedule(3 + step) for step in range(5)] == [then(step) for step in range(5)]
    assert [schedule(step) for step in range(3)] == pytest.approx([1 / 3, 2 / 3, 1])


def test_any_function_of_the_step_is_a_schedule():
    optimizer = tn.SGD(lambda step: 1 / (1 + step))
    assert optimizer.lr == 1.0
    optimizer.steps = 3
    assert optimizer.lr == 0.25


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tn.Constant(0), "lr must be a positive number, not 0"),
        (lambda: tn.Constant(math.inf), "lr must be a positive number, not inf"),
        (lambda: tn.StepDecay(-1, 10), "lr must be a positive number"),
        (lambda: tn.StepDecay(1, 0), "every must be a positive number, not 0"),
        (lambda: tn.StepDecay(1, 10, 0), "factor must be above 0 and at most 1, not 0"),
        (lambda: tn.Cosine(math.nan, 10), "lr must be a positive number, not nan"),
        (lambda: tn.Cosine(1, 0), "steps must be a positive number, not 0"),
        (lambda: tn.Warmup(0.1, 0), "steps must be a positive number, not 0"),
        (lambda: tn.Warmup(-0.1, 10), "lr must be a positive number, not -0.1"),
        (lambda: tn.Warmup("slow", 10), "lr must be a number or a schedule, not 'slow'"),
    ],
)
def test_bad_settings_are_refused_when_the_schedule_is_made(make, message):
    with pytest.raises(tn.InputError, match=message):
        make()
