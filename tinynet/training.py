"""Training: batches -> forward -> loss -> backward -> update."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinynet import arguments, evaluation, files
from tinynet.arguments import Examples
from tinynet.datasets import Dataset
from tinynet.errors import InputError
from tinynet.evaluation import evaluate as evaluate  # known from here, as `Run` is
from tinynet.history import History
from tinynet.io import run_file
from tinynet.losses import Loss
from tinynet.network import Network
from tinynet.optimizers import SGD
from tinynet.progress import StepBar
from tinynet.run import LastState, Plan, batches_for
from tinynet.run import Run as Run  # callbacks know it from here
from tinynet.settings import count, generator
from tinynet.typing import Seed


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
    train: Dataset | ArrayLike,
    y: ArrayLike | None = None,
    *,
    validation: Examples | None = None,
    loss: Loss | type[Loss] | None = None,
    optimizer: SGD | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int = 60,
    seed: Seed = 0,
    validate_every: int | None = None,
    callbacks: Iterable[Callback] | Callback = (),
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
        Or arrays, x and y, of which a `Dataset` is made.
    validation : Dataset, or pair of arrays (x, y), optional
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
    callbacks : iterable of Callback, or one
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

    Warns
    -----
    UserWarning
        If the network ends in `Softmax` and the loss, `SoftmaxCrossEntropy`, has its own.

    Examples
    --------
    >>> import tinynet as tn
    >>> net = tn.mlp(2, [16], 3, norm="batch", seed=0)
    >>> history = tn.fit(net, tn.datasets.spirals(600), optimizer=tn.SGD(lr=0.1), epochs=3, seed=0)
    >>> history.steps, history.diverged
    ([10, 20, 30], False)
    """
    loss, optimizer = arguments.as_loss(loss), arguments.as_optimizer(optimizer)
    callbacks, history = arguments.as_callbacks(callbacks), arguments.as_history(history)
    train, validation = arguments.check_sets(net, train, y, validation, loss)
    batches = batches_for(net, train, batch_size, generator(seed))
    total = arguments.total_steps(epochs, steps, batches.per_epoch)
    usual = batches.per_epoch if steps is None else max(1, total // 20)
    record_every = usual if validate_every is None else count("fit: validate_every", validate_every)

    optimizer.attach(net.params)
    run = Run(net, optimizer, history, total)
    plan = Plan(loss, batches, validation, record_every)
    if checkpoint is not None:
        plan.checkpoint = run_file.writable(checkpoint)
        plan.checkpoint_every = usual if checkpoint_every is None else count("fit: checkpoint_every", checkpoint_every)
        run_file.write(run, plan)
    elif checkpoint_every is not None:
        raise InputError("fit: checkpoint_every needs a checkpoint, the file to write")
    return go_on(run, plan, callbacks, progress=progress)


def resume(
    path: str | Path,
    train: Dataset,
    *,
    validation: Dataset | None = None,
    callbacks: Iterable[Callback] = (),
    progress: bool = False,
) -> tuple[Network, History]:
    """Go on with a run of `fit` from its last checkpoint, to the same bits as if it had never been stopped.

    Parameters
    ----------
    path : path
        What was given to `fit` as ``checkpoint``. It is written again as the run goes on.
    train, validation : Dataset
        The same as before; the file knows what they were, but does not hold them.
    callbacks, progress
        As for `fit`. A callback begins anew: what it saw before is not in the file.

    Returns
    -------
    net : Network
    history : History
        Both of the whole run. If it had come to its end already, they are as they were then.

    Raises
    ------
    FileFormatError
        If the file is not one that `fit` writes; it names the file and the reason.
    DataError
        If the run was trained, or validated, on other data.
    """
    callbacks = arguments.as_callbacks(callbacks)
    run, plan = reopen(path, arguments.as_data(train), arguments.as_data(validation))
    return run.net, go_on(run, plan, callbacks, progress=progress)


def reopen(path: str | Path, train: Dataset, validation: Dataset | None) -> tuple[Run, Plan]:
    """Return the run in a checkpoint, ready to `go_on`; raise what `resume` says."""
    path = files.as_path(path)
    run, plan = run_file.read(path, Network.load(path), train, validation)
    arguments.check_sets(run.net, train, None, validation, plan.loss)
    return run, plan


def go_on(run: Run, plan: Plan, callbacks: Iterable[Callback] = (), *, progress: bool = False) -> History:
    """Train from where the run is to its end; return its history."""
    net, optimizer, loss = run.net, run.optimizer, plan.loss
    bars = [StepBar(run)] if progress else []
    watchers: list[Any] = [*callbacks, *bars]
    before = LastState(net.state)
    run.history.diverged = False
    plan.began = time.perf_counter() - float(np.nan_to_num(run.history.final("seconds")))
    with np.errstate(all="ignore"):  # a run that diverges overflows on its way: that is a result, not a warning
        for x, y in itertools.islice(plan.batches, run.total_steps - run.step):
            before.keep()
            outputs = net.forward(x, training=True)
            gradient = np.empty_like(outputs)
            run.loss = loss.write(outputs, y, gradient)
            if not math.isfinite(run.loss):
                before.restore()
                _record_divergence(run, plan, watchers)
                break
            net.backward(gradient, input_gradient=False)
            for callback in watchers:
                callback.on_backward(run)
            optimizer.step(net.params, net.grads)
            run.step += 1
            for callback in watchers:
                callback.on_step(run)
            _record_if_due(run, plan, watchers)
            _save_if_due(run, plan)
            if run.stop or run.history.diverged:
                break
    for bar in bars:
        bar.close()
    return run.history


def _record_divergence(run: Run, plan: Plan, watchers: Sequence[Callback]) -> None:
    """Record the batch's loss, which is not finite, as the run's end."""
    run.history.append(run.step, run.loss, math.nan, math.nan, run.optimizer.lr, time.perf_counter() - plan.began)
    run.history.diverged = True
    for callback in watchers:
        callback.on_record(run)


def _record_if_due(run: Run, plan: Plan, watchers: Sequence[Callback]) -> None:
    """Record the mean loss since the last record, and the validation set's, every so many steps and at the end."""
    plan.recent.append(run.loss)
    if not plan.is_due(run, plan.record_every):
        return
    scores = math.nan, math.nan
    if plan.validation is not None:
        scores = evaluation.of_checked(run.net, plan.validation, plan.loss)
        run.history.diverged = not math.isfinite(scores[0])
    lr = float(run.optimizer.rates[0])  # of the step that was made
    loss = math.fsum(plan.recent) / len(plan.recent)
    run.history.append(run.step, loss, *scores, lr, time.perf_counter() - plan.began)
    plan.recent.clear()
    for callback in watchers:
        callback.on_record(run)


def _save_if_due(run: Run, plan: Plan) -> None:
    """Write the checkpoint, every so many steps and at the end."""
    if plan.checkpoint is not None and not run.history.diverged and plan.is_due(run, plan.checkpoint_every):
        run_file.write(run, plan)
