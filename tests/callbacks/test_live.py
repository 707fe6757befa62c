import base64
import math
from typing import Any

import numpy as np
import pytest

import tinynet as tn
from tinynet.callbacks import live

ipython = pytest.importorskip("IPython.display")


class Shown:
    """Stands for a notebook: what was shown in each place, and a clock that stands still but for drawing."""

    def __init__(self) -> None:
        self.places: list[list[dict[str, str]]] = []
        self.now, self.cost, self.drawing = 0.0, 0.0, 0.0

    def display(self, data: dict[str, str], *, display_id: bool, **_: Any) -> "Place":
        assert display_id
        self.places.append([])
        place = Place(self, self.places[-1])
        place.update(data)
        return place

    def monotonic(self) -> float:
        return self.now


class Place:
    def __init__(self, shown: Shown, pictures: list[dict[str, str]]) -> None:
        self.shown, self.pictures = shown, pictures

    def update(self, data: dict[str, str], **_: Any) -> None:
        self.pictures.append(data)
        self.shown.now += self.shown.cost
        self.shown.drawing += self.shown.cost


class Tick(tn.Callback):
    """A step takes so many seconds of the clock that stands still."""

    def __init__(self, shown: Shown, seconds: float) -> None:
        self.shown, self.seconds = shown, seconds

    def on_step(self, run: tn.Run) -> None:
        self.shown.now += self.seconds


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    found = Shown()
    monkeypatch.setattr(live, "in_notebook", lambda: True)
    monkeypatch.setattr(live, "time", found)
    monkeypatch.setattr(ipython, "display", found.display)
    monkeypatch.setattr(live.notebook, "png", lambda figure: (b"picture", {}))
    return found


MOONS = tn.datasets.moons(40, seed=0)


def train(*callbacks: tn.Callback, steps: int = 50, lr: float = 0.1) -> tn.History:
    net = tn.mlp(2, [4], 2, norm=None, seed=0)
    optimizer = tn.SGD(lr=lr)
    return tn.fit(net, MOONS, validation=MOONS, steps=steps, batch_size=10, optimizer=optimizer, callbacks=callbacks)


def test_curves_are_drawn_in_one_place_and_once_more_at_the_end(shown: Shown) -> None:
    history = train(tn.LiveCurves(seconds=1), Tick(shown, 0.1), steps=25)
    (pictures,) = shown.places
    assert len(pictures) == 3
    assert base64.b64decode(pictures[-1]["image/png"]) == b"picture"
    assert pictures[-1]["text/plain"] == str(history)


def test_a_run_that_is_over_before_the_first_drawing_is_drawn(shown: Shown) -> None:
    train(tn.LiveCurves(), steps=2)
    assert [len(pictures) for pictures in shown.places] == [1]


def test_every_run_has_a_place_of_its_own(shown: Shown) -> None:
    curves = tn.LiveCurves()
    train(curves, steps=2)
    train(curves, steps=2)
    assert [len(pictures) for pictures in shown.places] == [1, 1]


def test_drawing_between_the_first_and_the_last_takes_at_most_a_twentieth_of_the_time(shown: Shown) -> None:
    shown.cost = 2.0
    train(tn.LiveCurves(seconds=0.5), Tick(shown, 0.1), steps=2000)
    assert len(shown.places[0]) == 7
    assert shown.drawing - 2 * shown.cost <= 0.05 * shown.now


def test_a_run_that_diverges_at_once_is_drawn(shown: Shown) -> None:
    train(tn.LiveCurves(), lr=1e30)
    ((picture,),) = shown.places
    assert "diverged" in picture["text/plain"]


def test_a_run_that_another_callback_stops_is_drawn_to_its_end(shown: Shown) -> None:
    class Stop(tn.Callback):
        def on_step(self, run: tn.Run) -> None:
            run.stop = run.step == 7

    train(tn.LiveCurves(), Stop())
    ((picture,),) = shown.places
    assert "step 7" in picture["text/plain"]


def test_outside_a_notebook_nothing_is_drawn(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ipython, "display", None)
    assert train(tn.LiveCurves(seconds=1e-9)) == train()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf])
def test_seconds_that_make_no_sense_are_refused(seconds: float) -> None:
    with pytest.raises(tn.InputError, match="seconds must be a positive number"):
        tn.LiveCurves(seconds)


def test_the_training_loss_is_the_mean_of_parts_and_the_records_stay() -> None:
    losses = np.random.default_rng(0).random(1050).tolist()
    history = tn.History([500, 1050], [0.25, 0.75], [0.2, 0.3], [0.4, 0.5], [0.1, 0.1])
    fine = live.growing(history, 0, losses)
    ends = [step for step, loss in zip(fine.steps, fine.train_loss, strict=True) if loss == loss]
    assert len(ends) == live.POINTS
    assert ends[-1] == 1050
    start = 0
    for end in ends:
        assert 10 <= end - start <= 11
        expected = math.fsum(losses[start:end]) / (end - start)
        assert fine.train_loss[fine.steps.index(end)] == pytest.approx(expected, rel=1e-14)
        start = end
    records = {fine.steps[k]: (fine.validation_loss[k], a) for k, a in enumerate(fine.validation_accuracy) if a == a}
    assert records == {500: (0.2, 0.4), 1050: (0.3, 0.5)}
    assert fine.steps == sorted(set(fine.steps))


def test_records_from_before_a_resumed_run_keep_their_training_loss() -> None:
    history = tn.History([10, 20], [5.0, 7.0], [1.0, 2.0], [0.4, 0.5], [0.1, 0.1])
    fine = live.growing(history, 10, [3.0, 4.0])
    assert fine.steps == [10, 11, 12, 20]
    np.testing.assert_equal(fine.train_loss, [5, 3, 4, math.nan])


def test_a_run_without_a_step_keeps_the_loss_that_is_not_finite() -> None:
    history = tn.History([0], [math.inf], [math.nan], [math.nan], [1.0], True)
    fine = live.growing(history, 0, [])
    assert (fine.steps, fine.train_loss, fine.diverged) == ([0], [math.inf], True)
