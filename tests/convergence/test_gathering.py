from itertools import pairwise

import numpy as np
import pytest

import tinynet as tn
from tinynet.convergence import gathering
from tinynet.convergence.gathering import Gathering, Points


def gathered(x, values, *, units=("step",), **more):
    made = Gathering("a.csv", units, **more)
    for k, (at, value) in enumerate(zip(x, values, strict=True)):
        at = dict(zip(units, at, strict=True)) if isinstance(at, tuple) else {units[0]: at}
        made.add(at, {"loss": value} if np.isscalar(value) else value, k + 2)
    return made


def steps(log, metric="loss"):
    return log.curves[metric].x["step"].tolist()


@pytest.mark.parametrize("most", [2, 7, 10, 11])
def test_of_a_long_curve_every_second_or_fourth_value_is_kept_and_the_first_and_last(most):
    for count in range(1, 200):
        points = Points(["step"])
        for k in range(count):
            points.put(k, {"step": k}, most)
        points.settle()
        kept = list(points.values)
        assert (kept[0], kept[-1], kept) == (0, count - 1, list(points.x["step"]))
        assert len(kept) <= most + 1
        assert {b - a for a, b in pairwise(kept[:-1])} <= {points.every}


def test_that_values_were_dropped_is_said(monkeypatch):
    monkeypatch.setattr(gathering, "MOST", 10)
    monkeypatch.setattr(gathering, "LEAST", 5)
    log = gathered(range(1, 34), np.linspace(1, 0, 33)).log("a", "p")
    assert len(log.curves["loss"]) <= 11
    assert (steps(log)[0], steps(log)[-1]) == (1, 33)
    assert log.notes == ("long: of the longest curve every 4th value was kept, and the last one",)


def test_the_more_curves_the_fewer_values_are_kept_of_each(monkeypatch):
    monkeypatch.setattr(gathering, "MOST_TOGETHER", 100)
    monkeypatch.setattr(gathering, "LEAST", 5)
    made = Gathering("a", ["step"])
    for k in range(50):
        made.add({"step": k}, {f"m{n}": k for n in range(10)}, "")
    assert sum(len(points.values) for points in made.metrics.values()) <= 100
    monkeypatch.setattr(gathering, "CURVE_LIMIT", 10)
    with pytest.raises(tn.FileFormatError, match="a: more than 10 curves"):
        made.add({"step": 50}, {"another": 1}, 51)


def test_after_a_restart_the_later_values_are_taken_for_all_metrics():
    made = Gathering("a", ["step"])
    for step in (1, 2, 3, 4):
        made.add({"step": step}, {"loss": step}, "")
        made.add({"step": step}, {"val_loss": step}, "")
    made.add({"step": 3}, {"loss": 30}, "")
    log = made.log("a", "p")
    assert log.curves["loss"].values.tolist() == [1, 2, 30]
    assert log.curves["val_loss"].values.tolist() == [1, 2, 3], "what was measured after the restart is gone"
    assert log.notes == ("begun again once: later values take the place of 3 earlier",)


def test_metrics_that_come_one_after_the_other_restart_each_on_its_own():
    made = Gathering("a", ["step"], together=False)
    for metric in ("loss", "acc"):
        for step in (1, 2):
            made.add({"step": step}, {metric: 0.5}, "")
    made.add({"step": 1}, {"acc": 0.75}, "")
    log = made.log("a", "p")
    assert (steps(log), steps(log, "acc")) == ([1, 2], [1])


def test_a_value_at_the_same_place_replaces_the_one_before():
    log = gathered([1, 2, 2, 3], [4, 3, 2, 1]).log("a", "p")
    assert log.curves["loss"].values.tolist() == [4, 2, 1]
    assert log.notes == ("1 value has the step of the value before, and replaces it",)
    assert gathered([1, 2, 2], [4, 3, 3]).log("a", "p").notes == (), "the same number, as Lightning's epoch"


@pytest.mark.parametrize(("x", "line"), [([3, 2, 1], 3), ([1, 3, 2], 4), ([1, 2, 3, 2, 1], 6)])
def test_x_that_runs_backward_is_named(x, line):
    with pytest.raises(tn.InputError, match=rf"a\.csv: line {line}: column 'n' runs backward, from \d to \d"):
        gathered(x, x, names={"step": "column 'n'"})


def test_a_step_that_counts_within_an_epoch_is_not_taken_for_a_restart():
    with pytest.raises(tn.InputError, match="line 4: step begins again at 0 in the next epoch"):
        gathered([(0, 0), (1, 0), (0, 1)], [3, 2, 1], units=("step", "epoch"))


def test_x_that_is_no_number_is_named_and_a_row_without_x_is_counted():
    with pytest.raises(tn.InputError, match=r"a\.csv: line 3: step is nan"):
        gathered([1, np.nan], [2, 1])
    made = gathered([1], [2])
    made.add({}, {"loss": 5}, "line 3")
    assert made.log("a", "p").notes == ("left out: 1 row without step",)


def test_epochs_from_0_are_counted_as_completed():
    log = gathered([0, 1], [2, 1], units=("epoch",)).log("a", "p")
    assert log.curves["loss"].x["epoch"].tolist() == [1, 2]
    assert log.notes == ("epochs from 0 became epochs completed",)
    for x in ([1, 2], [0, 0.5]):
        assert gathered(x, [2, 1], units=("epoch",)).log("a", "p").curves["loss"].x["epoch"].tolist() == x
    resumed = gathered([5, 6], [2, 1], units=("epoch",)).log("a", "p", epochs="indices")
    assert resumed.curves["loss"].x["epoch"].tolist() == [6, 7]


@pytest.mark.parametrize(
    ("x", "epochs"),
    [([(0, 0), (100, 1)], [0, 1]), ([(100, 0), (200, 1)], [1, 2]), ([(0, 0), (1, 1)], [1, 2])],
    ids=["before the first update", "after a pass", "entries of a log"],
)
def test_epoch_0_is_none_completed_at_step_0_if_steps_are_updates(x, epochs):
    log = gathered(x, [2, 1], units=("step", "epoch")).log("a", "p")
    assert log.curves["loss"].x["epoch"].tolist() == epochs


def test_passes_under_way_give_epochs_if_the_updates_of_a_pass_are_known():
    x = [(2, 0), (4, 0), (5, 0), (6, 1), (8, 1), (10, 1)]
    values = [{"loss_step": 1}, {"loss_step": 1}, {"val_loss": 1}, {"loss_step": 1}, {"loss_step": 1}, {"val_loss": 1}]
    log = gathered(x, values, units=("step", "epoch")).log("a", "p", epochs="under way")
    assert log.curves["val_loss"].x["epoch"].tolist() == [1, 2]
    assert log.curves["loss_step"].x["epoch"].tolist() == [0.4, 0.8, 1.2, 1.6]
    assert log.notes == ("epochs completed are updates / 5",)


def test_one_pass_under_way_does_not_tell_how_long_it_is():
    log = gathered([(2, 0), (4, 0)], [{"loss": 1}, {"loss_epoch": 1}], units=("step", "epoch"))
    log = log.log("a", "p", epochs="under way")
    assert list(log.curves["loss"].x) == ["step"]
    assert log.curves["loss_epoch"].x["epoch"].tolist() == [1]


@pytest.mark.parametrize("unit", [1, 1000])
def test_times_of_day_become_seconds_from_the_first_value(unit):
    log = gathered([(1, 1.7e9 * unit), (2, (1.7e9 + 3) * unit)], [2, 1], units=("step", "seconds")).log("a", "p")
    assert log.curves["loss"].x["seconds"].tolist() == [0, 3]
    assert log.notes == ("seconds are counted from the first value",)


def test_an_x_that_does_not_rise_is_left_out_if_another_does():
    log = gathered([(1, 0), (2, 0)], [2, 1], units=("step", "epoch")).log("a", "p")
    assert list(log.curves["loss"].x) == ["step"]


@pytest.mark.parametrize(
    ("values", "shares"),
    [([50, 93], [0.5, 0.93]), ([0.5, 1.5], [0.5, 1.5]), ([0.5, 120], [0.5, 120]), ([-3, 9], [-3, 9])],
)
def test_an_accuracy_in_percent_becomes_a_share(values, shares):
    log = gathered([1, 2], [{"val_acc": value} for value in values]).log("a", "p")
    assert log.curves["val_acc"].values.tolist() == shares
    assert log.notes == (("val_acc: percent became shares",) if shares != values else ())
    assert gathered([1, 2], [50, 93]).log("a", "p").curves["loss"].values.tolist() == [50, 93]


@pytest.mark.parametrize(("end", "diverged"), [(np.nan, True), (np.inf, True), (1.0, False)])
def test_a_loss_that_is_not_finite_at_the_end_says_that_the_run_diverged(end, diverged):
    assert gathered([1, 2], [2, end]).log("a", "p").diverged == diverged
    assert not gathered([1, 2, 3], [2, np.nan, 1]).log("a", "p").diverged
    assert not gathered([1, 2], [{"acc": 0.5}, {"acc": end}]).log("a", "p").diverged


def test_nan_alone_is_a_diverged_run_if_it_is_of_a_loss_and_no_log_else():
    log = gathered([1], [np.nan]).log("a", "p")
    assert (log.diverged, log.notes) == (True, ("nan from the first value on",))
    with pytest.raises(tn.FileFormatError, match=r"a\.csv: acc: nan only"):
        gathered([1], [{"acc": np.nan}]).log("a", "p")


def test_no_number_is_said():
    with pytest.raises(tn.FileFormatError, match=r"a\.csv: no number in it"):
        gathered([], []).log("a", "p")
