"""Runs that were gathered from files, by the arm that each belongs to."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from tinynet.convergence.draw import draw
from tinynet.convergence.logs import Log
from tinynet.convergence.read import read
from tinynet.errors import InputError
from tinynet.plots import notebook
from tinynet.plots.style import figure

ENDINGS = (".csv", ".tsv", ".json", ".jsonl", ".txt", ".log")


class Arms(dict[str, list[Log]]):
    """The runs of each arm, by its label; in a notebook they show their curves."""

    def draw(self, ax: Axes | None = None, **look: Any) -> Axes:
        """Draw a metric of each arm; see `tinynet.convergence.draw`."""
        return draw(self, ax, **look)

    def __str__(self) -> str:
        return "\n".join(f"{label}: {log}" for label, logs in self.items() for log in logs)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        shown, (ax,) = figure()
        self.draw(ax)
        return notebook.png(shown)


def gather(
    *sources: str | Path | Mapping[str, Any],
    x: str | None = None,
    y: str | None = None,
    progress: bool = False,
    problems: list[str] | None = None,
) -> Arms:
    """Read logs, and put each run with its arm.

    Parameters
    ----------
    *sources : path, or mapping of str to path or paths
        A file, a folder, or a pattern such as ``"runs/bn-*.csv"``. ``"bn=runs/bn-*.csv"`` gives the arm's label, and
        so does a mapping such as ``{"bn": "runs/bn-*.csv"}``. Without a label a run belongs to the arm that its file
        names; if it names none, the run is an arm of its own.
    x, y, progress
        As for `read`.
    problems : list of str, optional
        What cannot be read is added to it, and the rest is gathered all the same.

    Returns
    -------
    Arms

    Raises
    ------
    InputError
        If a file cannot be read and ``problems`` is not given, or nothing can be read.
    """
    found: list[tuple[str | None, str, Log]] = []  # label, file, run
    failed: list[str] = []
    for label, source in _sources(sources):
        try:
            for path in _paths(source):
                found += [(label, str(path), log) for log in read(path, x=x, y=y, progress=progress)]
        except InputError as error:
            if problems is None:
                raise
            failed.append(str(error))
    if problems is not None:
        problems += failed
    if not found:
        raise InputError(failed[0] if failed else "there is no file to read")
    unnamed = [(file, log) for label, file, log in found if label is None]
    arms = Arms()
    for label, file, log in found:
        arms.setdefault(_own_label(file, log, unnamed) if label is None else label, []).append(log)
    return arms


def _sources(sources: Iterable[str | Path | Mapping[str, Any]]) -> Iterable[tuple[str | None, str | Path]]:
    """Return each source with the label that it has."""
    for source in sources:
        if isinstance(source, Mapping):
            for label, given in source.items():
                several = given if isinstance(given, list | tuple) else [given]
                yield from ((label, path) for path in several)
            continue
        label, sign, rest = str(source).partition("=")
        named = bool(sign and label and rest) and not Path(source).exists()  # a file's own name may have the sign
        yield (label, rest) if named else (None, source)


def _paths(source: str | Path) -> list[str | Path]:
    """Return the paths that a pattern matches, in order; what is no pattern is a path itself."""
    if source == "-" or Path(source).exists() or not glob.has_magic(str(source)):
        return [source]
    found = sorted(glob.glob(str(source), recursive=True))  # noqa: PTH207 - a pattern may begin at the root
    if not found:
        raise InputError(f"{source}: no file matches this pattern")
    return [*found]


def _own_label(file: str, log: Log, others: Sequence[tuple[str, Log]]) -> str:
    """Return the label of a run that was given none: its arm's name or its file's, and more if others have it too."""
    if log.arm is not None:
        several = len({other for other, run in others if run.arm is not None}) > 1
        return f"{file}: {log.arm}" if several else log.arm
    if log.name != file:  # one of several in the file
        return log.name
    alike = {other for other, run in others if run.arm is None and _short(other) == _short(file)}
    return file if len(alike) > 1 else _short(file)


def _short(file: str) -> str:
    """Return a file's name, without the folder and the ending of a table or of JSON."""
    path = Path(file)
    return path.stem if path.suffix.lower() in ENDINGS else path.name
