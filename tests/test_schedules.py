import copy
import dataclasses
import math
import pickle

import numpy as np
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
        (lambda: tn.StepDecay(1, 0), "every must be a whole number of at least 1, not 0"),
        (lambda: tn.StepDecay(1, 10, 0), "factor must be above 0 and at most 1, not 0"),
        (lambda: tn.Cosine(math.nan, 10), "lr must be a positive number, not nan"),
        (lambda: tn.Cosine(1, 0), "steps must be a whole number of at least 1, not 0"),
        (lambda: tn.Warmup(0.1, 0), "steps must be a whole number of at least 1, not 0"),
        (lambda: tn.Warmup(-0.1, 10), "lr must be a positive number, not -0.1"),
        (lambda: tn.Warmup("slow", 10), "lr must be a number or a schedule, not 'slow'"),
        (lambda: tn.Constant("0.1"), "lr must be a positive number, not 0.1"),
        (lambda: tn.Constant(None), "lr must be a positive number, not None"),
        (lambda: tn.StepDecay(1, 2.5), "every must be a whole number of at least 1, not 2.5"),
        (lambda: tn.StepDecay(1, 10, "half"), "factor must be a number, not 'half'"),
        (lambda: tn.StepDecay(1, 10, math.nan), "factor must be a finite number, not nan"),
        (lambda: tn.Cosine(1, 10, math.inf), "final must be a finite number, not inf"),
        (lambda: tn.Cosine(1, 10, -0.1), "final must not be negative, not -0.1"),
        (lambda: tn.Cosine(1, 0.5), "steps must be a whole number of at least 1, not 0.5"),
        (lambda: tn.Cosine(1, [10]), "steps must be a whole number of at least 1"),
        (lambda: tn.Warmup(0.1, math.inf), "steps must be a whole number of at least 1, not inf"),
        (lambda: tn.Warmup(tn.Cosine, 10), r"lr: Cosine needs its settings, as in tn\.Cosine\(0\.1"),
        (lambda: tn.SGD(tn.Cosine), r"lr: Cosine needs its settings, as in tn\.Cosine\(0\.1"),
        (lambda: tn.SGD({"dense_1.weight": 0}), r"not parameters: those go to step\(net\.params, net\.grads\)"),
    ],
)
def test_bad_settings_are_refused_when_the_schedule_is_made(make, message):
    with pytest.raises(tn.InputError, match=message):
        make()


SCHEDULES = [
    tn.Constant(0.25),
    tn.StepDecay(0.5, every=100, factor=0.5),
    tn.Cosine(0.5, steps=100, final=0.125),
    tn.Warmup(0.5, steps=10),
    tn.Warmup(tn.Warmup(tn.Cosine(0.5, steps=100), steps=10), steps=5),
]
TYPES = [np.float32, np.float64, np.array, np.longdouble]


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_numbers_of_any_type_become_pythons_own(schedule, kind):
    settings = {field.name: getattr(schedule, field.name) for field in dataclasses.fields(schedule)}
    twin = type(schedule)(**{name: value if callable(value) else kind(value) for name, value in settings.items()})
    assert repr(twin) == repr(schedule)
    assert twin == schedule
    for name, value in settings.items():
        assert type(getattr(twin, name)) is type(value)
        if name in ("steps", "every"):
            assert type(value) is int
    assert [twin(step) for step in range(130)] == [schedule(step) for step in range(130)]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_a_setting_cannot_be_assigned_and_it_is_said_what_to_write(schedule):
    before, kind = repr(schedule), type(schedule).__name__
    for name in [*(field.name for field in dataclasses.fields(schedule)), "rate"]:
        with pytest.raises(tn.InputError, match=rf"{kind}: {name} cannot be assigned.* optimizer\.lr = tn\.{kind}\("):
            setattr(schedule, name, 1)
    with pytest.raises(tn.InputError, match="cannot be deleted"):
        del schedule.lr
    assert repr(schedule) == before


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_a_copy_is_equal_and_has_the_same_hash(schedule):
    for other in (copy.copy(schedule), copy.deepcopy(schedule), pickle.loads(pickle.dumps(schedule))):
        assert other == schedule
        assert hash(other) == hash(schedule)
    assert len({*SCHEDULES, schedule}) == len(SCHEDULES)


def test_another_is_made_from_one_with_replace():
    assert dataclasses.replace(SCHEDULES[2], lr=0.25) == tn.Cosine(0.25, steps=100, final=0.125)
