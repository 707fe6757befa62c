"""Experiments: one file a claim, each saying what to run, what to measure, when it holds and how to draw it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinynet.experiments.experiment import Finding


def run(name: str, *, quick: bool = False, out: str | Path = "tinynet-results", jobs: int | None = None) -> Finding:
    """Put a claim about batch normalization to the test, as ``tinynet run NAME``; a notebook shows what is returned.

    Parameters
    ----------
    name : str
        As ``tinynet list`` prints them, such as "learning-rate".
    quick : bool
        Fewer and shorter runs, for a class.
    out : path
        Finished runs are kept in its folder ``runs``, and are not done again.
    jobs : int, optional
        Worker processes; by default one a core.

    Returns
    -------
    Finding
        ``.verdict``, ``.table`` and ``.figures``.

    Raises
    ------
    InputError
        If there is no such experiment, or the folder cannot be written.
    """
    from tinynet.experiments import suite  # here, since a worker process needs none of it
    from tinynet.experiments.runner import available_cores
    from tinynet.experiments.sweep import run_sweep

    (experiment,) = suite.find([name])
    sweep = run_sweep(
        experiment.runs(quick), store=Path(out) / "runs", jobs=jobs or available_cores(), description=name
    )
    for line in suite.unfinished(sweep):
        print(f"failed: {line}", file=sys.stderr)
    return experiment.finding(sweep.results, quick=quick)
