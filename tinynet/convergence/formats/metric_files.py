"""MLflow's metric files: one a metric, and a line a measurement, with its time, value and step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tinynet import files
from tinynet.convergence.gathering import Gathering
from tinynet.convergence.lines import LINE_LIMIT
from tinynet.convergence.logs import Log
from tinynet.convergence.tables import cell
from tinynet.errors import FileFormatError
from tinynet.files import brief

LINE = re.compile(r"\d{12,14} \S+ \d+\s*\n?", re.ASCII)  # the time is in milliseconds since 1970


def is_metric_file(start: str) -> bool:
    """Tell a metric file by its first line."""
    return bool(LINE.fullmatch(start.split("\n", 1)[0]))


def read(paths: Sequence[Path], name: str, folder: Path) -> Log:
    """Read the metric files of one run; each metric is named as its file is, from the folder on."""
    gathering = Gathering(name, ["step", "seconds"], together=False)
    notes = []
    for path in paths:
        metric = path.relative_to(folder).as_posix() if path != folder else "value"
        with files.opened(path) as (file, _):
            number = 0
            while line := file.readline(LINE_LIMIT):
                number += 1
                parts = line.decode("utf-8", "replace").split()
                numbers = [cell(part) for part in parts]
                if len(parts) != 3 or not all(isinstance(one, float) for one in numbers):
                    if not line.endswith(b"\n"):
                        notes.append(f"{metric}: line {number}, the last, is not whole and was left out")
                        break
                    text = brief(" ".join(parts))
                    raise FileFormatError(f"{path}: line {number} is {text!r}, not a time, a value and a step")
                time, value, step = (one for one in numbers if isinstance(one, float))
                gathering.add({"step": step, "seconds": time}, {metric: value}, f"{metric}, line {number}")
    return gathering.log(name, "MLflow", notes=notes)
