"""Something that happens at a step of a training, at once and not after some seconds."""

from collections.abc import Callable

import pytest

import tinynet as tn
from tinynet import training


class Watching(tn.Callback):
    """In place of the progress bar."""

    at, then = -1, staticmethod(lambda: None)

    def __init__(self, run: tn.Run) -> None:
        pass

    def on_step(self, run: tn.Run) -> None:
        if run.step == self.at:
            type(self).at = -1  # once
            type(self).then()

    def close(self) -> None:
        pass


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], None]], None]:
    def set_up(step: int, then: Callable[[], None]) -> None:
        monkeypatch.setattr(training, "StepBar", Watching)
        monkeypatch.setattr(Watching, "at", step)
        monkeypatch.setattr(Watching, "then", staticmethod(then))

    return set_up
