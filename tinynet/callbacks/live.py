"""Curves that grow in a notebook while a network trains (the only IPython import)."""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from tinynet.history import History
from tinynet.plots import notebook
from tinynet.progress import in_notebook
from tinynet.settings import finite_above_0
from tinynet.training import Callback, Run

POINTS = 100  # of the training loss: each is the mean over some batches
SHARE = 0.05  # of the time: the most that drawing may take, except the first and the last time


class LiveCurves(Callback):
    """Draw loss and accuracy in a notebook while ``fit(callbacks=[tn.LiveCurves()])`` trains.

    The curves are drawn again in the same place as they grow, and stay when training ends. Each point of the training
    loss is the mean over a few batches. Outside a notebook nothing is drawn.

    Parameters
    ----------
    seconds : float
        The least time between drawings. It is longer if drawing would take more than a twentieth of the time.

    Raises
    ------
    InputError
        If ``seconds`` is not a positive number.
    """

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds = finite_above_0("LiveCurves: seconds", seconds)
        self._run: Run | None = None

    def _begin(self, run: Run) -> None:
        self._run, self._first, self._losses = run, run.step, list[float]()
        self._place: Any = None  # IPython's handle of the curves that are shown
        self._next = time.monotonic() + self.seconds if in_notebook() else math.inf

    def on_step(self, run: Run) -> None:
        """Note the batch's loss; draw if it is time."""
        if run is not self._run:
            self._begin(run)
            self._first -= 1
        self._losses.append(run.loss)
        if time.monotonic() >= self._next:
            self._draw(run)

    def on_record(self, run: Run) -> None:
        """Draw for the last time, if the run is at its end."""
        if run is not self._run:
            self._begin(run)
        if run.step == run.total_steps or run.stop or run.history.diverged:
            if self._next < math.inf:
                self._draw(run)
            self._run = None

    def _draw(self, run: Run) -> None:
        import IPython.display

        ipython = cast(Any, IPython.display)
        known = run.history.validation_accuracy
        accuracy = not known or any(map(math.isfinite, known))  # before the first record it is not known
        figure = notebook.history_figure(growing(run.history, self._first, self._losses), accuracy=accuracy)
        start = time.monotonic()  # after the figure is made, since the first one loads matplotlib
        png, size = notebook.png(figure)
        shown = {"image/png": base64.b64encode(png).decode(), "text/plain": str(run.history)}
        if self._place is None:
            self._place = ipython.display(shown, metadata={"image/png": size}, raw=True, display_id=True)
        else:
            self._place.update(shown, metadata={"image/png": size}, raw=True)
        end = time.monotonic()
        self._next = end + max(self.seconds, (end - start) * (1 / SHARE - 1))


def growing(history: History, first: int, losses: Sequence[float]) -> History:
    """Return the records with more training losses between them: means over at most `POINTS` parts of ``losses``.

    Parameters
    ----------
    history : History
    first : int
        Updates made before the first loss. Earlier records, which a resumed run has, stay as they are.
    losses : sequence of float
        Loss of each batch since.
    """
    rows: dict[int, list[float]] = {}  # by step: training loss, validation loss and accuracy
    columns = history.train_loss, history.validation_loss, history.validation_accuracy
    for step, train_loss, *validation in zip(history.steps, *columns, strict=True):
        rows[step] = [math.nan if losses and step > first else train_loss, *validation]
    end = first
    for part in np.array_split(losses, min(POINTS, len(losses)) or 1):
        end += len(part)
        if len(part):
            rows.setdefault(end, [math.nan] * 3)[0] = float(np.mean(part))
    steps = sorted(rows)
    train, loss, accuracy = ([rows[step][k] for step in steps] for k in range(3))
    return History(steps, train, loss, accuracy, [math.nan] * len(steps), history.diverged)
