"""The arms of an experiment: their runs by seed, accuracy, paired differences, and all of them in words."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from tinynet.history import History

T = TypeVar("T")
Outcome = Literal["holds", "does not hold", "not shown"]
Result = Mapping[str, Any]
Results = Mapping[Any, dict[str, Any]]  # settings -> result; a run that failed is not in it
NAMES: Mapping[str | None, str] = {None: "plain", "batch": "batch norm", "layer": "layer norm"}
ARMS: Mapping[str, Literal["batch"] | None] = {"plain": None, "batch norm": "batch"}  # of most experiments


# -- one run ------------------------------------------------------------------------------------------------


def accuracy(result: Result) -> float:
    """Return the test accuracy at a run's end: nan if it diverged.

    This is what *diverged* means in every experiment. The loss was no longer finite, and the run ended there (see
    `tinynet.History`). So it has no accuracy: nan is what is kept, and nan is in no median, range or line. What is
    shown says beside it how many runs diverged. Only where runs are compared does a diverged run count. It is worse
    than any other: a rule takes it by `counted`, as 0, and a `difference` from it is infinite.
    """
    if result["diverged"]:
        return math.nan
    return float(result["accuracy"] if "accuracy" in result else result["validation_accuracy"][-1])


def counted(accuracy: float) -> float:
    """Return an accuracy as rules count it: 0 for that of a diverged run. See `accuracy`."""
    return 0.0 if math.isnan(accuracy) else accuracy


def difference(plain: float, other: float) -> float:
    """Return an accuracy minus another: inf if only the plain run diverged, -inf if only the other, nan if both."""
    plain, other = (-math.inf if math.isnan(accuracy) else accuracy for accuracy in (plain, other))
    return other - plain


def history(result: Result) -> History:
    """Return the history that a result has in it."""
    return History(**{field.name: result[field.name] for field in dataclasses.fields(History) if field.name in result})


def reached(results: Iterable[Result], target: float) -> list[int]:
    """Return the first recorded step with at least this test accuracy, of those runs that reached it."""
    return [steps for result in results if (steps := history(result).steps_to(target)) is not None]


# -- the runs of an arm -------------------------------------------------------------------------------------


def select(results: Results, kind: Any = object, **wanted: Any) -> dict[Any, dict[str, Any]]:
    """Return the results of those runs whose settings are of this kind and have these values."""
    return {
        s: result
        for s, result in results.items()
        if isinstance(s, kind) and all(getattr(s, name) == value for name, value in wanted.items())
    }


def by_seed(results: Results, kind: Any = object, **wanted: Any) -> dict[int, dict[str, Any]]:
    """Return the results that `select` does by seed, in order."""
    found = {s.seed: result for s, result in select(results, kind, **wanted).items()}
    return dict(sorted(found.items()))


def by_arm(results: Results, kind: Any = object, **wanted: Any) -> dict[str, dict[int, dict[str, Any]]]:
    """Return the same results by arm, of `ARMS`, and seed."""
    return {name: by_seed(results, kind, norm=norm, **wanted) for name, norm in ARMS.items()}


def by_value(results: Results, name: str, kind: Any = object, **wanted: Any) -> dict[Any, dict[int, dict[str, Any]]]:
    """Return the same results by the value of one more setting, and by seed, both in order."""
    found = select(results, kind, **wanted)
    return {value: by_seed(found, **{name: value}) for value in sorted({getattr(s, name) for s in found})}


def paired(plain: Mapping[int, T], other: Mapping[int, T]) -> dict[int, tuple[T, T]]:
    """Return the pairs of what two arms have, by seed; a seed that one of them has not is left out."""
    return {seed: (plain[seed], other[seed]) for seed in sorted(plain.keys() & other.keys())}


def rows_by_seed(measured: Iterable[Mapping[int, float]]) -> list[list[float]]:
    """Return a row for each seed, in order, of several measures by seed; nan where one has not the seed."""
    measured = list(measured)
    seeds = sorted({seed for by_seed in measured for seed in by_seed})
    return [[by_seed.get(seed, math.nan) for by_seed in measured] for seed in seeds]


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


# -- in words -----------------------------------------------------------------------------------------------


def in_words(values: Collection[float], form: str = "{:.3g}") -> str:
    """Return the median of all seeds in words and, of several, their range: what verdicts and tables quote.

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


def how_many(flags: Iterable[object]) -> str:
    """Return how many of all are true, such as "1 of 3"."""
    flags = list(flags)
    return f"{sum(map(bool, flags))} of {len(flags)}"


def diverged(results: Iterable[Result]) -> str:
    """Return how many of the runs diverged, such as "1 of 3"."""
    return how_many(result["diverged"] for result in results)
