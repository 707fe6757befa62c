"""What an experiment is: runs, and a function from their results to a verdict, a table and figures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tinynet.experiments.store import Settings
from tinynet.text import columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Outcome = Literal["holds", "does not hold", "not shown"]
Results = Mapping[Any, dict[str, Any]]  # settings -> result; a run that failed is not in it
QUICK = (
    "Quick form: fewer and shorter runs, a first look and no evidence. The full form, without --quick, can come to "
    "another verdict."
)


@dataclass(frozen=True)
class Verdict:
    """Whether a claim holds, with the figure and its interval in words: computed, never written by hand.

    Attributes
    ----------
    outcome : {"holds", "does not hold", "not shown"}
    sentence : str
        Or several, of which the first says the most.
    """

    outcome: Outcome
    sentence: str

    def __str__(self) -> str:
        return f"{self.outcome.capitalize()}: {self.sentence}"

    @property
    def headline(self) -> str:
        """The first sentence."""
        first, _, more = self.sentence.partition(". ")
        return f"{first}." if more else first


@dataclass(frozen=True)
class Experiment:
    """One claim, and how it is put to the test.

    Attributes
    ----------
    name : str
        As in ``tinynet run NAME``.
    title, claim : str
        What is claimed, in a few words and in a sentence.
    method : str
        What is run, what is measured, and when the claim holds.
    runs : callable
        From ``quick`` to the runs' settings, at least three paired seeds.
    verdict, table, draw : callable
        From the results to the verdict, to rows of text with the header first, and to figures by name.
    captions : mapping of str to str
        Of the figures, by name.
    """

    name: str
    title: str
    claim: str
    method: str
    runs: Callable[[bool], Sequence[Settings]]
    verdict: Callable[[Results], Verdict]
    table: Callable[[Results], list[list[str]]]
    draw: Callable[[Results], dict[str, Figure]]
    captions: Mapping[str, str]

    def finding(self, results: Results, *, quick: bool = False) -> Finding:
        """Return what the results say.

        Parameters
        ----------
        results : mapping of settings to dict
            Of the runs that did not fail, as `run_sweep` gives them.
        quick : bool
            Whether the runs are those of the quick form, which is then said.
        """
        if not results:
            return Finding(self, Verdict("not shown", "every run failed"), [["no result"]], {}, quick)
        return Finding(self, self.verdict(results), self.table(results), self.draw(results), quick)


@dataclass(frozen=True)
class Finding:
    """What an experiment found. A notebook shows all of it; ``print`` the table and the verdict.

    Attributes
    ----------
    experiment : Experiment
    verdict : Verdict
    table : rows of str, the header first
    figures : dict of str to matplotlib Figure
    quick : bool
        Whether it is of the quick form: a first look, and no evidence.
    """

    experiment: Experiment
    verdict: Verdict
    table: list[list[str]]
    figures: dict[str, Figure]
    quick: bool = False

    def __str__(self) -> str:
        head = [self.experiment.title, *([QUICK] if self.quick else [])]
        return "\n".join([*head, "", *columns(self.table, "   "), "", f"{self.verdict}"])

    def __repr__(self) -> str:
        return f"{self.experiment.title}{' (quick form)' if self.quick else ''}: {self.verdict.outcome}"

    def _repr_html_(self) -> str:
        from tinynet.plots import notebook

        figures = [(figure, self.experiment.captions[name]) for name, figure in self.figures.items()]
        head = f"{QUICK} " if self.quick else ""
        return notebook.finding_html(self.experiment.title, f"{head}{self.verdict}", self.table, figures)


def accuracy(result: Mapping[str, Any]) -> float:
    """Return a run's last test accuracy; nan if it diverged, for then it has none (see `tinynet.History`)."""
    return math.nan if result["diverged"] else float(result["validation_accuracy"][-1])


def counted(accuracy: float) -> float:
    """Return an accuracy as the rules of verdicts count it: that of a diverged run, nan, as 0, below any there is.

    It is for rules alone; what is shown is the accuracy itself.
    """
    return 0.0 if math.isnan(accuracy) else accuracy


def interval(values: Sequence[float], form: str = "{:.3g}") -> str:
    """Return the median and, of several values, the range over all seeds: the interval that verdicts quote.

    A nan is a run that diverged: how many did is said, and none is in median or range.
    """
    known = [value for value in values if not math.isnan(value)]
    gone = len(values) - len(known)
    if not values:
        return "no run"
    if not known:
        return f"none ({gone} diverged)"
    low, middle, high = (form.format(f(known)) for f in (min, statistics.median, max))
    notes = [f"range {low} to {high} over {len(known)} seeds"] if len(known) > 1 else []
    notes += [f"{gone} diverged"] if gone else []
    return f"{middle} ({'; '.join(notes)})" if notes else middle


def rows_by_seed(columns: Iterable[Mapping[int, float]]) -> list[list[float]]:
    """Return a row for each seed, in order, from columns by seed; nan where a column has not the seed."""
    columns = list(columns)
    seeds = sorted({seed for column in columns for seed in column})
    return [[column.get(seed, math.nan) for column in columns] for seed in seeds]


def by_step(runs: Iterable[tuple[Sequence[float], Sequence[float]]]) -> tuple[list[float], list[list[float]]]:
    """Return all steps at which some run was measured, and a row a run, from runs' steps and values.

    A row has nan where its run was not measured: it may have diverged before, or have other steps.
    """
    measured = [dict(zip(steps, values, strict=True)) for steps, values in runs]
    steps = sorted({step for run in measured for step in run})
    return steps, [[run.get(step, math.nan) for step in steps] for run in measured]


def decide(better: Sequence[bool]) -> Outcome:
    """Return the outcome of paired seeds: all for the claim, all against it, or mixed or fewer than three."""
    if len(better) < 3 or len(set(better)) > 1:
        return "not shown"
    return "holds" if better[0] else "does not hold"
