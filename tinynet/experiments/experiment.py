"""What an experiment is: runs, and functions from their results to a verdict, a table and figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tinynet.experiments.arms import Outcome, Results
from tinynet.experiments.store import Settings
from tinynet.text import columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    """One claim, and how it is put to the test."""

    name: str  # as in ``tinynet run NAME``
    title: str  # what is claimed, in a few words ...
    claim: str  # ... and in a sentence
    method: str  # what is run, what is measured, and when the claim holds
    runs: Callable[[bool], Sequence[Settings]]  # from ``quick``: at least three paired seeds
    verdict: Callable[[Results], Verdict]
    table: Callable[[Results], list[list[str]]]  # the header first
    draw: Callable[[Results], dict[str, Figure]]  # figures by name; those that no run reached are left out
    captions: Mapping[str, str]  # of the figures, by name

    def finding(self, results: Results, *, quick: bool = False) -> Finding:
        """Return what the results of this experiment's runs say.

        Parameters
        ----------
        results : mapping of settings to dict
            As `run_sweep` gives them. There may be other runs among them; a run that failed is missing.
        quick : bool
            Whether to take the runs of the quick form, which is then said.
        """
        found = {s: results[s] for s in self.runs(quick) if s in results}
        if not found:
            return Finding(self, Verdict("not shown", "every run failed"), [["no result"]], {}, quick)
        return Finding(self, self.verdict(found), self.table(found), self.draw(found), quick, found)


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
    results : mapping of settings to dict
        The runs that it was found from.
    """

    experiment: Experiment
    verdict: Verdict
    table: list[list[str]]
    figures: dict[str, Figure]
    quick: bool = False
    results: Results = field(default_factory=dict)

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
