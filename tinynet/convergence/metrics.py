"""What a metric's name means: which quantity, of the training or of the validation data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from tinynet.convergence.logs import UNITS, Curve, Log, Unit
from tinynet.errors import InputError, unknown_name

Split = Literal["training", "validation"]
MARKS: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "training"),
    **dict.fromkeys(("val", "valid", "validation", "eval", "evaluation", "test", "dev"), "validation"),
}
KINDS = ("categorical_accuracy", "sparse_categorical_accuracy", "binary_accuracy")
ACCURACY = ("acc", "accuracy", "top1", "acc1", *KINDS)
MOMENT = ("step", "epoch", "batch", "iter")  # Lightning's endings, which say when, not what


class Meaning(NamedTuple):
    """What a metric's name means."""

    split: Split | None
    quantity: str


def meaning(name: str) -> Meaning:
    """Return what a name means: ``val_acc``, ``eval/accuracy`` and ``validation_accuracy`` are one and the same.

    The split is None where the name does not say on which data it was measured.
    """
    words = [word for word in re.split(r"[/_.\- ]+", name.strip().lower()) if word]
    split: Split | None = None
    for end in (0, -1):
        if len(words) > 1 and words[end] in MARKS:
            split = split or MARKS[words[end]]
            words.pop(end)
    while len(words) > 1 and words[-1] in MOMENT:
        words.pop()
    quantity = "_".join(words)
    return Meaning(split, "accuracy" if quantity in ACCURACY else quantity)


def pick(log: Log, metric: str) -> dict[Split, Curve]:
    """Return a log's curves of a metric, by the data that it was measured on.

    Parameters
    ----------
    log : Log
    metric : str
        A quantity, such as "loss" or "accuracy": its curves on both kinds of data. A name that says which data, such
        as "val_loss": that curve. A name that does not say is taken as that of the training data, as Keras means it.

    Raises
    ------
    InputError
        If the log has no such metric; it names the nearest.
    """
    wanted, found = meaning(metric), dict[Split, Curve]()
    for name, curve in log.curves.items():
        split, quantity = meaning(name)
        split = split or "training"
        if quantity == wanted.quantity and wanted.split in (None, split):
            found.setdefault(split, curve)
    if not found:
        raise unknown_name(f"metric in {log.name}", metric, [*quantities([log]), *log.curves])
    return found


def quantities(logs: Iterable[Log]) -> list[str]:
    """Return the quantities that every one of the logs has, in the first one's order."""
    each = [dict.fromkeys(meaning(name).quantity for name in log.curves) for log in logs]
    return [quantity for quantity in each[0] if all(quantity in one for one in each)] if each else []


class Chosen(NamedTuple):
    """What is drawn or compared of several runs."""

    metric: str
    splits: tuple[Split, ...]
    unit: Unit


def choose(
    logs: Sequence[Log],
    metric: str | None = None,
    x: Unit | None = None,
    split: Literal["validation", "training", "both"] | None = None,
) -> Chosen:
    """Return which metric, on which data and by which x, every one of the runs has.

    Parameters
    ----------
    logs : sequence of Log
    metric : str, optional
        By default the accuracy if all have one, else the loss, else the first quantity that all have.
    x : {"step", "epoch", "examples", "seconds"}, optional
        By default the first of these that all have.
    split : {"validation", "training", "both"}, optional
        By default the validation data if all have them, else the training data if all have those.

    Raises
    ------
    InputError
        If there is no run, or one lacks what the others have or what is asked for; it names the run.
    """
    if not logs:
        raise InputError("there is no run to compare")
    known = quantities(logs)
    metric = metric or next((name for name in ("accuracy", "loss") if name in known), next(iter(known), None))
    if metric is None:
        raise InputError(f"the runs have no metric in common: {'; '.join(map(str, logs[:3]))}")
    picked = [pick(log, metric) for log in logs]
    common: list[Split] = [s for s in ("validation", "training") if all(s in found for found in picked)]
    splits: tuple[Split, ...] = tuple(common[:1])
    if split is not None:
        splits = ("training", "validation") if split == "both" else (split,)
    if not splits:
        without = next(log.name for log, found in zip(logs, picked, strict=True) if "validation" not in found)
        raise InputError(
            f"{without} has the {metric} of the training data only, and another run only that of validation data: "
            "these are not the same, so compare them apart"
        )
    for log, found in zip(logs, picked, strict=True):
        for missing in (s for s in splits if s not in found):
            raise InputError(f"{log.name} has no {metric} of the {missing} data; it has {', '.join(log.curves)}")
    units = [[unit for unit in UNITS if all(unit in found[s].x for s in splits)] for found in picked]
    unit = x or next((unit for unit in UNITS if all(unit in some for some in units)), None)
    for log, some in zip(logs, units, strict=True):
        if unit is None:
            raise InputError(f"the runs have no x in common: {log.name} has {', '.join(some) or 'none'}, not all have")
        if unit not in some:
            raise InputError(f"{log.name} does not say at which {unit}; it has {', '.join(some) or 'none'}")
    assert unit is not None
    return Chosen(metric, splits, unit)


def lower_is_better(metric: str) -> bool:
    """Tell whether a smaller value is better, as of a loss, an error or a perplexity."""
    return bool(re.search(r"loss|error|err\b|perplexity|ppl|mse|mae|rmse|nll", metric.lower()))
