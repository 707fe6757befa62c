"""A run's curves and histograms for TensorBoard, in its event files."""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tinynet import files
from tinynet.errors import InputError
from tinynet.layers import Activation
from tinynet.settings import count
from tinynet.training import Callback, Run
from tinynet.typing import Array

BUCKETS = 30  # of a histogram, as TensorBoard itself makes them


class TensorBoard(Callback):
    """A callback that writes each record for TensorBoard: ``fit(callbacks=[tn.TensorBoard("runs/bn")])``.

    Then ``tensorboard --logdir runs`` compares the runs, also while they train. It needs ``tinynet-lab[tensorboard]``.

    Parameters
    ----------
    folder : path
        The folder of this run alone, created if missing. A resumed run continues in it; a new run takes the place of
        an old one.
    histogram_every : int, optional
        Records between histograms; None for none.

    Raises
    ------
    InputError
        If the folder cannot be written, or the package tensorboard is not installed.

    Notes
    -----
    Scalars: ``loss/train``, ``loss/validation``, ``accuracy/validation`` and ``learning_rate``, as in `History`, but
    in float32. Histograms: ``parameters/`` and ``gradients/`` by parameter, ``activation_inputs/`` and
    ``activations/`` by activation layer. Gradients and activations are those of the last batch; numbers that are not
    finite are left out.

    The file is open only while a record is added to it: however a run ends, all its records are there.
    """

    def __init__(self, folder: str | Path, *, histogram_every: int | None = 1) -> None:
        if histogram_every is not None:
            histogram_every = count("TensorBoard: histogram_every", histogram_every)
        try:
            from tensorboard.compat.proto import event_pb2
        except ImportError:
            raise InputError("TensorBoard needs one more package: pip install 'tinynet-lab[tensorboard]'") from None
        self.folder, self.histogram_every = files.writable_folder(folder), histogram_every
        self._proto = event_pb2
        self._run: Run | None = None
        self._file = self.folder
        self._records = 0

    def on_backward(self, run: Run) -> None:
        """Start a file, if the run is new."""
        if run is not self._run:
            self._start(run)

    def on_record(self, run: Run) -> None:
        """Add the record to the file."""
        self.on_backward(run)  # a run that diverges at its first step comes here first
        history = run.history
        scalars = {
            "loss/train": history.train_loss[-1],
            "loss/validation": history.validation_loss[-1],
            "accuracy/validation": history.validation_accuracy[-1],
            "learning_rate": history.lr[-1],
        }
        for tag in ("loss/validation", "accuracy/validation"):
            if math.isnan(scalars[tag]):  # there was no validation
                del scalars[tag]
        event = self._event(step=history.steps[-1])
        for tag, scalar in scalars.items():
            event.summary.value.add(tag=tag, simple_value=scalar)
        if self.histogram_every and self._records % self.histogram_every == 0:
            for tag, array in _arrays(run):
                values = array[np.isfinite(array)].astype(np.float64)
                if values.size:
                    event.summary.value.add(tag=tag, histo=_histogram(values))
        self._append(event)
        self._records += 1

    def _start(self, run: Run) -> None:
        self._run, self._records = run, 0
        # TensorBoard reads a folder's files in the order of their names
        self._file = self.folder / f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        self._append(self._event(file_version="brain.Event:2"))
        # makes TensorBoard forget what an earlier run, or this one after its checkpoint, wrote from this step on
        log = self._proto.SessionLog(status=self._proto.SessionLog.START)
        self._append(self._event(step=run.step + 1 if run.step else 0, session_log=log))

    def _event(self, **content: Any) -> Any:
        return self._proto.Event(wall_time=time.time(), **content)

    def _append(self, event: Any) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        with self._file.open("ab") as file:
            RecordWriter(file).write(event.SerializeToString())


def _arrays(run: Run) -> Iterator[tuple[str, Array]]:
    """Yield the tag and the numbers of each histogram."""
    net = run.net
    for tag, arrays in (("parameters", net.params), ("gradients", net.grads)):
        for name, array in arrays.items():
            yield f"{tag}/{name}", array
    for name, output in net.values.items():
        if isinstance(net.layers[name], Activation):
            yield f"activation_inputs/{name}", net.layer_input(name)
            yield f"activations/{name}", output


def _histogram(values: Array) -> dict[str, Any]:
    # np.histogram refuses values so close together that two edges fall on one number
    edges = np.linspace(values.min(), values.max(), BUCKETS + 1)
    counts = np.bincount(np.searchsorted(edges[1:-1], values, side="right"), minlength=BUCKETS)
    return {
        "min": values.min(),
        "max": values.max(),
        "num": values.size,
        "sum": values.sum(),
        "sum_squares": np.square(values).sum(),
        "bucket_limit": edges[1:],
        "bucket": counts,
    }
