"""TensorBoard's event files, through TensorBoard's own reader: every scalar, not a sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tinynet.convergence.gathering import Gathering
from tinynet.convergence.logs import Log, Unit
from tinynet.errors import FileFormatError, InputError
from tinynet.files import brief

FRAME = 16  # bytes around each record: its length, and two checksums
METRIC_LIMIT = 10_000


def is_event_file(head: bytes) -> bool:
    """Tell an event file by its first bytes: a record that says which version of events follows."""
    return b"brain.Event:" in head[12:64]


def read(
    paths: Sequence[Path], name: str, size: int, advance: Callable[[int], object], where: str | None = None
) -> Log:
    """Read the event files of one run, in order.

    As TensorBoard does, a program that says that it was started again makes what it wrote before from that step on
    forgotten.

    Parameters
    ----------
    paths : sequence of path
    name : str
        The log's.
    size : int
        Bytes of all files together.
    advance : callable
        Called with the number of bytes read since.
    where : str, optional
        What to call the file in messages; the name if not given.

    Raises
    ------
    InputError
        If the package tensorboard is not installed.
    FileFormatError
        If a record is not an event, or there are no scalars.
    """
    where = where or name
    try:
        from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
        from tensorboard.compat.proto import event_pb2
    except ImportError:
        raise InputError(
            f"{where}: event files need one more package: pip install 'tinynet-lab[tensorboard]'"
        ) from None
    gathering = Gathering(where, ["step", "seconds"])
    kinds: dict[str, bool] = {}  # by tag, whether its tensors are scalars
    start: float | None = None
    whole, number = 0, 0
    for path in paths:
        fresh = True
        for record in _records(RawEventFileLoader(str(path)), where):
            whole, number = whole + len(record) + FRAME, number + 1
            advance(len(record) + FRAME)
            try:
                event = event_pb2.Event.FromString(record)
            except Exception as error:  # protobuf's own, whose class is in a package that tensorboard brings
                raise FileFormatError(f"{where}: event {number} is damaged ({brief(error)})") from None
            start = event.wall_time if start is None else start
            if event.HasField("session_log") and event.session_log.status == event.session_log.START:
                gathering.begin_again(event.step)
            if values := dict(_scalars(event, kinds)):
                if len(gathering.metrics) > METRIC_LIMIT:
                    raise FileFormatError(f"{where}: more than {METRIC_LIMIT:,} tags")
                at: dict[Unit, float] = {"step": float(event.step), "seconds": event.wall_time - start}
                gathering.add(at, values, f"{path.name}, event {number}", again=fresh)
                fresh = False
    notes = []
    if whole < size:
        notes.append(f"the last {size - whole:,} bytes are not whole events and were left out")
    if not gathering.metrics:
        raise FileFormatError(f"{where}: {number} events, and no scalar among them")
    return gathering.log(name, "TensorBoard", notes=notes)


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
