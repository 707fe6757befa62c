"""What a metric's name means: which quantity, of the training or of the validation data."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

from tinynet.convergence.logs import Curve, Log
from tinynet.errors import unknown_name

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


def lower_is_better(metric: str) -> bool:
    """Tell whether a smaller value is better, as of a loss, an error or a perplexity."""
    return bool(re.search(r"loss|error|err\b|perplexity|ppl|mse|mae|rmse|nll", metric.lower()))
