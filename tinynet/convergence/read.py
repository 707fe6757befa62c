"""One function that reads the log of any program: a file, a folder, or standard input."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinynet import files
from tinynet.convergence.formats import columns, documents, events, metric_files, own
from tinynet.convergence.formats.columns import STANDARD_INPUT
from tinynet.convergence.lines import HEAD, Lines, encoding
from tinynet.convergence.logs import Log
from tinynet.convergence.tables import json_lines, separated
from tinynet.errors import FileFormatError, InputError, unknown_name
from tinynet.history import COLUMNS, History
from tinynet.progress import bar

BAR_FROM = 50_000_000  # bytes: smaller files are read at once
NAMED = 3  # files that a note names; of more it gives the number


def read(source: str | Path, *, x: str | None = None, y: str | None = None, progress: bool = False) -> list[Log]:
    """Read what a training program logged: a log for each run.

    The content tells which program it was, not the name. `Log.notes` say what reading changed.

    Parameters
    ----------
    source : path
        A file; a folder, for all logs in it and below; or "-" for standard input.
    x, y : str, optional
        Of a table: the column that says when, and those of the metrics, with commas between. Without them both are
        found by their names. In other files y picks metrics, and x is one of "step", "epoch", "examples", "seconds".
    progress : bool
        Whether to show a bar, for files of 50 MB or more.

    Returns
    -------
    list of Log
        In order of the files' names, and in a file in the order in which the runs begin.

    Raises
    ------
    InputError
        If there is no such file or column, or if x runs backward.
    FileFormatError
        If a file is no log, or if there is none in a folder.

    Notes
    -----
    Memory is bounded: of a curve with more than 100,000 values every 2nd, 4th, ... is kept.

    Where a program was started again, so that x is there twice, the later values are taken.
    """
    if source == "-":
        with _standard_input() as path:
            return _file(path, STANDARD_INPUT, x, y, progress)
    path = files.as_path(source)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    return _folder(path, x, y, progress) if path.is_dir() else _file(path, str(path), x, y, progress)


@contextmanager
def _standard_input() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:  # what is read from a file has a size, and can be read twice
        path = Path(folder) / "input"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield path


def _head(path: Path) -> tuple[bytes, int]:
    with files.opened(path) as (file, size):
        return file.read(HEAD), size


@contextmanager
def _counting(size: int, name: str, progress: bool) -> Iterator[Callable[[int], object]]:
    """Yield what is to be called with the bytes that were read."""
    if not progress or size < BAR_FROM:
        yield lambda _: None
        return
    shown = bar(size, f"read {Path(name).name}", unit=" bytes")
    try:
        yield shown.update
    finally:
        shown.close()


# -- a file -------------------------------------------------------------------------------------------------


def _file(path: Path, name: str, x: str | None, y: str | None, progress: bool) -> list[Log]:
    head, size = _head(path)
    with _counting(size, name, progress) as advance:
        if events.is_event_file(head):
            return [_narrowed(events.read([path], name, size, advance), x, y)]
        code = encoding(head)
        if code is None:
            raise FileFormatError(f"{name}: no log: neither text nor TensorBoard's events")
        start = head.decode(code, "replace").lstrip("\ufeff \t\r\n")
        if not start:
            raise FileFormatError(f"{name}: empty")
        with files.opened(path) as (file, _):
            lines = Lines(file, name, code, advance)
            with lines.text:
                return _text(path, name, lines, start, x, y)


def _text(path: Path, name: str, lines: Lines, start: str, x: str | None, y: str | None) -> list[Log]:
    if start.startswith(("{", "[")):
        if start[0] == "{" and _is_line(start):
            return columns.logs(json_lines(lines), x, y)
        return documents.logs(_document(lines), name, x, y)
    if start.startswith("<"):
        raise FileFormatError(f"{name}: no log: a page or a picture, in HTML or SVG")
    if metric_files.is_metric_file(start):
        return [_narrowed(metric_files.read([path], name, path.parent if name == str(path) else path), x, y)]
    table = separated(lines)
    if x is None and y is None and table.columns[:6] == [*COLUMNS, "diverged"]:
        try:
            return [own.from_history(History.from_csv(path), name)]
        except FileFormatError as error:
            raise FileFormatError(str(error).replace(str(path), name)) from None
    return columns.logs(table, x, y)


def _is_line(start: str) -> bool:
    """Tell whether the first line of a text that begins with { is an object of numbers and names, not a document."""
    line = start.splitlines()[0]
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return False
    rest = len(line) < len(start.rstrip())
    return rest or not any(isinstance(value, list | dict) for value in content.values())


def _document(lines: Lines) -> Any:
    try:
        text = lines.text.read(files.TEXT_LIMIT + 1)
    except UnicodeError as error:
        raise FileFormatError(f"{lines.name}: not text ({files.brief(error)})") from None
    if len(text) > files.TEXT_LIMIT:
        raise FileFormatError(f"{lines.name}: a JSON document of more than {files.TEXT_LIMIT:,} characters")
    return files.parsed_json(text, lines.name)


def _narrowed(log: Log, x: str | None, y: str | None) -> Log:
    """Return a log with the metrics and the unit asked for, where there were no columns to pick while reading."""
    if x is None and y is None:
        return log
    curves = dict(log.curves)
    if y is not None:
        for name in (names := [y] if y in curves else [name.strip() for name in y.split(",")]):
            if name not in curves:
                raise unknown_name(f"metric in {log.name}", name, curves)
        curves = {name: curves[name] for name in names}
    if x is not None:
        if not all(x in curve.x for curve in curves.values()):
            raise unknown_name(f"x of {log.name}", x, {str(unit) for curve in curves.values() for unit in curve.x})
        curves = {n: replace(c, x={unit: at for unit, at in c.x.items() if unit == x}) for n, c in curves.items()}
    return replace(log, curves=curves)


# -- a folder -----------------------------------------------------------------------------------------------


def _folder(folder: Path, x: str | None, y: str | None, progress: bool) -> list[Log]:
    found: list[Log] = []
    skipped: list[str] = []
    for name, paths in _runs(folder, skipped).items():
        try:
            if len(paths) == 1 and name == paths[0]:
                found += _file(name, str(name), x, y, progress)
            else:
                found.append(_narrowed(_together(name, paths, progress), x, y))
        except (InputError, OSError) as error:
            skipped.append(_reason(error, folder))
    if not found:
        reason = f": {skipped[0]}" if skipped else ""
        raise FileFormatError(f"{folder}: no log in it{reason}")
    found = _once(documents.last_states(events.joined(found)))
    if skipped:
        skipped.sort(key=lambda reason: ": no log" in reason)  # first what may be a damaged one
        left = len(skipped) - NAMED
        more = [f"and {left:,} more {'file' if left == 1 else 'files'}"] if left > 0 else []
        note = f"no logs, and left out: {'; '.join([*skipped[:NAMED], *more])}"
        found[0] = replace(found[0], notes=(*found[0].notes, note))
    return found


def _reason(error: Exception, folder: Path) -> str:
    """Return an error's text as short as in a list of many: with names from the folder on, and no advice."""
    return files.brief(str(error).replace(f"{folder}/", "").split(" (its columns:")[0])


def _runs(folder: Path, skipped: list[str]) -> dict[Path, list[Path]]:
    """Return a folder's files in order: each by its own path, those that are one run by the path of their folder."""
    runs: dict[Path, list[Path]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        below = path.relative_to(folder).parts
        if any(part.startswith(".") for part in below):
            continue
        try:
            head, _ = _head(path)
        except (FileFormatError, OSError) as error:
            skipped.append(_reason(error, folder))
            continue
        name = path
        if events.is_event_file(head):
            name = path.parent
        elif metric_files.is_metric_file(head.decode("utf-8", "replace")):  # MLflow's "val/loss" is a folder deeper
            name = next((parent for parent in path.parents if parent.name == "metrics"), path.parent)
        runs.setdefault(name, []).append(path)
    return runs


def _together(name: Path, paths: list[Path], progress: bool) -> Log:
    if not events.is_event_file(_head(paths[0])[0]):
        return metric_files.read(paths, str(name.parent if name.name == "metrics" else name), name)
    size = sum(path.stat().st_size for path in paths)
    with _counting(size, str(name), progress) as advance:
        return events.read(paths, str(name), size, advance)


def _once(logs: list[Log]) -> list[Log]:
    """Return the logs without those that another file has too, and says of which arm and seed they are.

    The folder of `tinynet compare` has each run three times: in curves.csv, in results.json, and alone.
    """
    whose: dict[int, list[int]] = {}
    also: dict[int, list[str]] = {}
    for k, log in enumerate(logs):
        whose.setdefault(_content(log), []).append(k)
    left_out = set()
    for places in whose.values():
        named = [k for k in places if logs[k].arm is not None and logs[k].seed is not None]
        for k in places:
            arm, seed = logs[k].arm, logs[k].seed
            same = (n for n in named if arm in (None, logs[n].arm) and seed in (None, logs[n].seed))
            first = next(same, k)
            if first != k:
                left_out.add(k)
                also.setdefault(first, []).append(logs[k].name)
    for k, names in also.items():
        note = f"also in {len(names)} other {'file' if len(names) == 1 else 'files'}: {', '.join(names)}"
        logs[k] = replace(logs[k], notes=(*logs[k].notes, note))
    return [log for k, log in enumerate(logs) if k not in left_out]


def _content(log: Log) -> int:
    curves = sorted((name, curve) for name, curve in log.curves.items())
    return hash(tuple((n, c.values.tobytes(), *(at.tobytes() for at in c.x.values())) for n, c in curves))
