"""TensorBoard's event files, through TensorBoard's own reader: every scalar, not a sample."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from tinynet.convergence.gathering import Gathering
from tinynet.convergence.logs import Curve, Log, Unit
from tinynet.convergence.places import COMPLETED
from tinynet.errors import FileFormatError, InputError
from tinynet.files import brief

FRAME = 16  # bytes around each record: its length, and two checksums
METRIC_LIMIT = 10_000
KERAS = re.compile(r"epoch_|batch_|evaluation_.*_vs_iterations|keras")


def is_event_file(head: bytes) -> bool:
    """Tell an event file by its first bytes: a record that says which version of events follows."""
    return b"brain.Event:" in head[12:64]


def read(paths: Sequence[Path], name: str, size: int, advance: Callable[[int], object]) -> Log:
    """Read the event files of one run, in order.

    As TensorBoard does, a program that says that it was started again makes what it wrote before from that step on
    forgotten.

    Parameters
    ----------
    paths : sequence of path
    name : str
        The log's, which messages begin with.
    size : int
        Bytes of all files together.
    advance : callable
        Called with the number of bytes read since.

    Raises
    ------
    InputError
        If the package tensorboard is not installed.
    FileFormatError
        If a record is not an event, or there are no scalars.
    """
    try:
        from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
        from tensorboard.compat.proto import event_pb2
    except ImportError:
        raise InputError(
            f"{name}: event files need one more package: pip install 'tinynet-lab[tensorboard]'"
        ) from None
    gathering = Gathering(name, ["step", "seconds"])
    kinds: dict[str, bool] = {}  # by tag, whether its tensors are scalars
    start: float | None = None
    whole, number = 0, 0
    for path in paths:
        fresh = True
        for record in _records(RawEventFileLoader(str(path)), name):
            whole, number = whole + len(record) + FRAME, number + 1
            advance(len(record) + FRAME)
            try:
                event = event_pb2.Event.FromString(record)
            except Exception as error:  # protobuf's own, whose class is in a package that tensorboard brings
                raise FileFormatError(f"{name}: event {number} is damaged ({brief(error)})") from None
            start = event.wall_time if start is None else start
            if event.HasField("session_log") and event.session_log.status == event.session_log.START:
                gathering.begin_again(event.step)
            if values := dict(_scalars(event, kinds)):
                if len(gathering.metrics) > METRIC_LIMIT:
                    raise FileFormatError(f"{name}: more than {METRIC_LIMIT:,} tags")
                at: dict[Unit, float] = {"step": float(event.step), "seconds": event.wall_time - start}
                gathering.add(at, values, f"{path.name}, event {number}", again=fresh)
                fresh = False
    notes = []
    if whole < size:
        notes.append(f"the last {size - whole:,} bytes are not whole events and were left out")
    if not gathering.metrics:
        raise FileFormatError(f"{name}: {number} events, and no scalar among them")
    return _by_epoch(gathering.log(name, "TensorBoard", notes=notes))


def _records(loader: Any, where: str) -> Iterator[bytes]:
    """Yield a file's whole records; TensorBoard ends at the first that is not whole, or damaged."""
    try:
        yield from loader.Load()
    except (MemoryError, OverflowError):
        raise FileFormatError(f"{where}: a record says that it is longer than this machine's memory") from None


def _scalars(event: Any, kinds: dict[str, bool]) -> Iterator[tuple[str, float]]:
    for value in event.summary.value if event.HasField("summary") else ():
        if value.HasField("simple_value"):
            yield value.tag, value.simple_value
        elif value.HasField("tensor"):
            if value.HasField("metadata"):  # the first value of a tag has it
                kinds[value.tag] = value.metadata.plugin_data.plugin_name == "scalars"
            if kinds.get(value.tag) and all(axis.size == 1 for axis in value.tensor.tensor_shape.dim):
                from tensorboard.util.tensor_util import make_ndarray

                yield value.tag, float(make_ndarray(value.tensor).item())


# -- what Keras writes --------------------------------------------------------------------------------------

EPOCH = "epoch_"  # before a metric's name; its step counts epochs, from 0
FOLDERS = {"train": "", "validation": "val_"}


def _by_epoch(log: Log) -> Log:
    """Return a log of Keras' callback with its metrics by epoch, and under the names that they have in Keras."""
    if not any(name.startswith(EPOCH) for name in log.curves) or not all(KERAS.match(name) for name in log.curves):
        return log
    curves = {}
    for name, curve in log.curves.items():
        x = dict(curve.x)
        if name.startswith(EPOCH):
            x = {"epoch": x.pop("step") + 1, **x}
        curves[name.removeprefix(EPOCH)] = replace(curve, x=x)
    return replace(log, program="Keras TensorBoard", curves=curves, notes=(*log.notes, COMPLETED))


def joined(logs: Sequence[Log]) -> list[Log]:
    """Return logs with those of the folders train and validation, which Keras writes side by side, as one run."""
    runs: dict[object, list[Log]] = {}
    for k, log in enumerate(logs):
        place = PurePath(log.name)
        own = log.program == "Keras TensorBoard" and place.name in FOLDERS
        runs.setdefault(place.parent if own else k, []).append(log)
    return [run[0] if len(run) == 1 else _as_one(str(folder), run) for folder, run in runs.items()]


def _as_one(name: str, parts: Sequence[Log]) -> Log:
    """Return one log. The validation has no seconds in it: its own are counted from another beginning."""
    curves: dict[str, Curve] = {}
    for log in parts:
        before = FOLDERS[PurePath(log.name).name]
        for metric, curve in log.curves.items():
            x = {unit: at for unit, at in curve.x.items() if not before or unit != "seconds"}
            curves[before + metric] = replace(curve, x=x)
    notes = dict.fromkeys(note for log in parts for note in log.notes)
    diverged = any(log.diverged for log in parts)
    return replace(parts[0], name=name, curves=curves, notes=tuple(notes), diverged=diverged)
