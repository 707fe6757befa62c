"""Training: batches -> forward -> loss -> backward -> update."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tinynet import progress
from tinynet.datasets import Dataset
from tinynet.errors import DataError, InputError, ShapeError
from tinynet.history import History
from tinynet.losses import Loss, SoftmaxCrossEntropy
from tinynet.network import Network
from tinynet.optimizers import SGD
from tinynet.run import LastState, Plan, batches_for, save_run, writable
from tinynet.run import Run as Run  # callbacks know it from here
from tinynet.typing import Array, Seed

EVALUATION_ROWS = 1000  # at a time: the activations of so many rows stay in the processor's cache


class Callback:
    """Watches a run from outside; override what is needed."""

    def on_backward(self, run: Run) -> None:
        """React to gradients: the parameters have not moved yet, ``run.step`` updates were made before."""

    def on_step(self, run: Run) -> None:
        """React to an update: the parameters have moved, ``run.step`` counts it."""

    def on_record(self, run: Run) -> None:
        """React to a record that was added to ``run.history``."""


def fit(
    net: Network,
    train: Dataset,
    *,
    validation: Dataset | None = None,
    loss: Loss | None = None,
    optimizer: SGD | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int = 60,
    seed: Seed = 0,
    validate_every: int | None = None,
    callbacks: Iterable[Callback] = (),
    progress: bool = False,
    history: History | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
) -> History:
    """Train a network in place by mini-batch gradient descent.

    Parameters
    ----------
    net : Network
    train : Dataset
    validation : Dataset, optional
        Evaluated at every record, in inference mode.
    loss : SoftmaxCrossEntropy or MeanSquaredError
        By default SoftmaxCrossEntropy.
    optimizer : SGD, optional
        By default ``SGD(lr=0.1)``.
    epochs, steps : int
        How long: passes over the training set, or updates. Give one of them.
    batch_size : int
        Each epoch takes every example once, in a new order. Its last batch may be short; if it had half of this size
        or less, all are made equal, with and without batch normalization: see `tinynet.datasets.Batches`.
    seed : int or numpy.random.Generator
        Of the batches' order. It does not depend on the network: two arms with one seed see the same batches.
    validate_every : int, optional
        Steps between records; by default an epoch, or a twentieth of ``steps``. The last step is always recorded.
    callbacks : iterable of Callback
        Such as `Probe`.
    progress : bool
        Show a progress bar in a terminal or notebook.
    history : History, optional
        Records are added to this one as they are taken, so that they outlive an interruption (Ctrl-C).
    checkpoint : path, optional
        A file from which `resume` can go on with the run: the network, the optimizer, the history and the place in
        the epoch. Written at the start, every ``checkpoint_every`` steps and at the end, each time whole or not at
        all; never with a weight or statistic that is not finite. `Network.load` reads the network in it.
    checkpoint_every : int, optional
        Steps; by default an epoch, or a twentieth of ``steps``.

    Returns
    -------
    History
        If a batch's loss, or the validation loss, is not finite, training ends there: ``history.diverged`` is True,
        the last record has that loss, and the network keeps the weights that gave it. The batch whose loss is not
        finite leaves no trace: the running statistics are those of before it. The checkpoint stays the last one that
        was finite.

    Raises
    ------
    InputError
        Before any training, if the data, labels or settings do not fit, or a checkpoint could not hold them; it says
        which.

    Examples
    --------
    >>> import tinynet as tn
    >>> net = tn.mlp(2, [16], 3, norm="batch", seed=0)
    >>> history = tn.fit(net, tn.datasets.spirals(600), optimizer=tn.SGD(lr=0.1), epochs=3, seed=0)
    >>> history.steps, history.diverged
    ([10, 20, 30], False)
    """
    loss = SoftmaxCrossEntropy() if loss is None else loss
    optimizer = SGD(lr=0.1) if optimizer is None else optimizer
    check_sets(net, train, validation, loss)
    batches = batches_for(net, train, batch_size, np.random.default_rng(seed))
    total = _total_steps(epochs, steps, batches.per_epoch)
    usual = batches.per_epoch if steps is None else max(1, total // 20)
    record_every = usual if validate_every is None else _whole("validate_every", validate_every)

    optimizer.attach(net.params)
    run = Run(net, optimizer, History() if history is None else history, total)
    plan = Plan(loss, batches, validation, record_every)
    if checkpoint is not None:
        plan.checkpoint = writable(checkpoint)
        plan.checkpoint_every = usual if checkpoint_every is None else _whole("checkpoint_every", checkpoint_every)
        save_run(run, plan)
    elif checkpoint_every is not None:
        raise InputError("fit: checkpoint_every needs a checkpoint, the file to write")
    return go_on(run, plan, callbacks, progress=progress)


def go_on(run: Run, plan: Plan, callbacks: Iterable[Callback] = (), *, progress: bool = False) -> History:
    """Train from where the run is to its end; return its history."""
    net, optimizer, history, loss, recent = run.net, run.optimizer, run.history, plan.loss, plan.recent
    history.diverged = False
    watchers = list(callbacks)
    if progress:
        watchers.append(_Bar(run))
    statistics = LastState(net.state)
    gradient = np.empty(0)
    # A run that diverges overflows on its way: that is a result, not a warning.
    with np.errstate(all="ignore"):
        for x, y in itertools.islice(plan.batches, run.total_steps - run.step):
            statistics.keep()
            outputs = net.run(x, training=True)
            if gradient.shape != outputs.shape:
                gradient = np.empty_like(outputs)
            run.loss = loss.write(outputs, y, gradient)
            recent.append(run.loss)
            if not math.isfinite(run.loss):
                statistics.restore()
                history.append(run.step, run.loss, math.nan, math.nan, optimizer.lr)
                history.diverged = True
                for watcher in watchers:
                    watcher.on_record(run)
                break
            net.run_backward(gradient)
            for watcher in watchers:
                watcher.on_backward(run)
            lr = optimizer.lr
            optimizer.step(net.params, net.grads)
            run.step += 1
            for watcher in watchers:
                watcher.on_step(run)
            last = run.stop or run.step == run.total_steps
            if last or run.step % plan.record_every == 0:
                scores = (math.nan, math.nan)
                if plan.validation is not None:
                    scores = evaluate(net, plan.validation, loss)
                    history.diverged = not math.isfinite(scores[0])
                history.append(run.step, math.fsum(recent) / len(recent), *scores, lr)
                recent.clear()
                for watcher in watchers:
                    watcher.on_record(run)
            if history.diverged:
                break
            if plan.checkpoint is not None and (last or run.stop or run.step % plan.checkpoint_every == 0):
                save_run(run, plan)
            if run.stop:
                break
    for watcher in watchers:
        if isinstance(watcher, _Bar):
            watcher.close()
    return history


def evaluate(net: Network, data: Dataset, loss: Loss | None = None) -> tuple[float, float]:
    """Return mean loss and accuracy over a data set, in inference mode.

    Parameters
    ----------
    net : Network
    data : Dataset
    loss : SoftmaxCrossEntropy or MeanSquaredError
        By default SoftmaxCrossEntropy.

    Returns
    -------
    loss, accuracy : float
        Accuracy is the share of examples whose largest output is at the label; nan for a regression, and where the
        loss is not finite: such a network has diverged, and has no accuracy.

    Raises
    ------
    InputError, ShapeError, DataError
        If the data do not suit the network and the loss.
    """
    loss = SoftmaxCrossEntropy() if loss is None else loss
    _check_data(net, data, loss, "data")
    total, correct = 0.0, 0
    with np.errstate(all="ignore"):  # a network that diverged has a loss that is not finite: that says it
        for start in range(0, len(data), EVALUATION_ROWS):
            x, y = data.x[start : start + EVALUATION_ROWS], data.y[start : start + EVALUATION_ROWS]
            outputs = net.run(np.ascontiguousarray(x, net.dtype), training=False)
            total += loss(outputs, y)[0] * len(x)
            correct += _correct(outputs, y)
    has_accuracy = data.y.ndim == 1 and math.isfinite(total)  # of outputs that are nan the largest is the first
    return total / len(data), correct / len(data) if has_accuracy else math.nan


def _correct(outputs: Array, y: Array) -> int:
    return int(np.count_nonzero(outputs.argmax(axis=1) == y)) if y.ndim == 1 else 0


def check_sets(net: Network, train: Dataset, validation: Dataset | None, loss: Loss) -> None:
    """Raise one clear error if one of the data sets does not suit the network and loss."""
    _check_data(net, train, loss, "train")
    if validation is not None:
        _check_data(net, validation, loss, "validation")


def _check_data(net: Network, data: Dataset | None, loss: Loss, name: str) -> None:
    """Raise one clear error if ``data`` does not suit the network and loss."""
    if not isinstance(data, Dataset):
        raise InputError(f"{name}: must be a tn.Dataset, not {type(data).__name__}; wrap arrays: tn.Dataset(x, y)")
    if data.x.shape[1] != net.inputs:
        raise ShapeError(f"{name}: has {data.x.shape[1]} features, the network takes {net.inputs}")
    try:
        loss.check(data.y, len(data), net.outputs)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    except InputError as error:
        raise ShapeError(f"{name}: {error}") from None


def _total_steps(epochs: int | None, steps: int | None, per_epoch: int) -> int:
    if (epochs is None) == (steps is None):
        raise InputError("fit: give either epochs or steps")
    return _whole("steps", steps) if epochs is None else _whole("epochs", epochs) * per_epoch


def _whole(name: str, given: object) -> int:
    if not isinstance(given, int | np.integer) or given < 1:
        raise InputError(f"fit: {name} must be a whole number of at least 1, not {given}")
    return int(given)


class _Bar(Callback):
    """The progress bar, with loss, validation accuracy and (tqdm's own) steps per second."""

    def __init__(self, run: Run) -> None:
        self.bar = progress.bar(run.total_steps, "fit")
        if run.step:
            self.bar.initial = run.step  # made before, in another process: they do not count as speed
            self.bar.update(run.step)

    def on_step(self, run: Run) -> None:
        if self.bar.update(1):  # drawn: a few times a second
            accuracy = run.history.final("validation_accuracy")
            shown = {"loss": f"{run.loss:.3f}"} | ({} if math.isnan(accuracy) else {"accuracy": f"{accuracy:.3f}"})
            self.bar.set_postfix(shown, refresh=False)

    def close(self) -> None:
        self.bar.close()
