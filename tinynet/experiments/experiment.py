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

    def finding(self, results: Results) -> Finding:
        """Return what the results say.

        Parameters
        ----------
        results : mapping of settings to dict
            Of the runs that did not fail, as `run_sweep` gives them.
        """
        if not results:
            return Finding(self, Verdict("not shown", "every run failed"), [["no result"]], {})
        return Finding(self, self.verdict(results), self.table(results), self.draw(results))


@dataclass(frozen=True)
class Finding:
    """What an experiment found. A notebook shows all of it; ``print`` the table and the verdict.

    Attributes
    ----------
    experiment : Experiment
    verdict : Verdict
    table : rows of str, the header first
    figures : dict of str to matplotlib Figure
    """

    experiment: Experiment
    verdict: Verdict
    table: list[list[str]]
    figures: dict[str, Figure]

    def __str__(self) -> str:
        return "\n".join([self.experiment.title, "", *columns(self.table, "   "), "", f"{self.verdict}"])

    def __repr__(self) -> str:
        return f"{self.experiment.title}: {self.verdict.outcome}"

    def _repr_html_(self) -> str:
        from tinynet import display

        figures = [(figure, self.experiment.captions[name]) for name, figure in self.figures.items()]
        return display.finding_html(self.experiment.title, str(self.verdict), self.table, figures)


def interval(values: Sequence[float], form: str = "{:.3g}") -> str:
    """Return the median and, of several values, the range over all seeds: the interval that verdicts quote."""
    if not values:
        return "no run"
    low, middle, high = (form.format(f(values)) for f in (min, statistics.median, max))
    return middle if len(values) == 1 else f"{middle} (range {low} to {high} over {len(values)} seeds)"


def rows_by_seed(columns: Iterable[Mapping[int, float]]) -> list[list[float]]:
    """Return a row for each seed, in order, from columns by seed; nan where a column has not the seed."""
    columns = list(columns)
    seeds = sorted({seed for column in columns for seed in column})
    return [[column.get(seed, math.nan) for column in columns] for seed in seeds]


def decide(better: Sequence[bool]) -> Outcome:
    """Return the outcome of paired seeds: all for the claim, all against it, or mixed or fewer than three."""
    if len(better) < 3 or len(set(better)) > 1:
        return "not shown"
    return "holds" if better[0] else "does not hold"
