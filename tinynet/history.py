"""The records of a run: losses, accuracy and learning rate by step."""

import csv
import io
import math
import re
from dataclasses import asdict, dataclass, field, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Self

from tinynet import files
from tinynet.errors import FileFormatError, InputError, unknown_name
from tinynet.settings import number


@dataclass
class History:
    """The records of a run: lists of equal length, with one entry per record.

    A run *diverges* when the loss of a batch or of the validation set is no longer finite. It ends there and has no
    accuracy: its last record and `final` give nan. Earlier records keep what was measured. A rule that
    compares runs says how it counts a diverged one.

    Attributes
    ----------
    steps : list of int
        Number of updates made when the record was taken.
    train_loss : list of float
        Mean loss over the batches since the previous record; if a batch's loss was not finite, that loss.
    validation_loss, validation_accuracy : list of float
        On the whole validation set, in inference mode; nan without such a set. Accuracy is a share in [0, 1]. If a
        batch's loss was not finite, both are nan; if the validation loss was not, the accuracy is nan.
    lr : list of float
        Learning rate of the last update.
    diverged : bool
        Whether the run diverged.
    seconds : list of float
        Wall-clock time from the first step's beginning to the record, evaluations and callbacks included; nan where it
        is not known. A history without times has an empty list. Two histories that differ in times alone are equal.
    """

    steps: list[int] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    diverged: bool = False
    seconds: list[float] = field(default_factory=list, compare=False)

    def append(
        self,
        step: int,
        train_loss: float,
        validation_loss: float,
        validation_accuracy: float,
        lr: float,
        seconds: float | None = None,
    ) -> None:
        """Add one record."""
        record = (step, train_loss, validation_loss, validation_accuracy, lr)
        for name, value in zip(COLUMNS, record, strict=True):
            getattr(self, name).append(value)
        if seconds is not None or self.seconds:
            self.seconds += [math.nan] * (len(self.steps) - 1 - len(self.seconds))
            self.seconds.append(math.nan if seconds is None else seconds)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the lists that have an entry for each record."""
        return LISTS if self.seconds else COLUMNS

    def steps_to(self, accuracy: float) -> int | None:
        """Return the first recorded step with at least this validation accuracy, or None if there is none.

        Parameters
        ----------
        accuracy : float
            A share, in [0, 1].

        Raises
        ------
        InputError
            If accuracy is not such a share, but in percent, for example.
        """
        if not 0 <= number("steps_to: accuracy", accuracy) <= 1:
            raise InputError(f"steps_to: accuracy must be a share from 0 to 1, such as 0.95, not {accuracy}")
        measured = len(self.steps) - self.diverged
        for step, reached in list(zip(self.steps, self.validation_accuracy, strict=True))[:measured]:
            if reached >= accuracy:
                return step
        return None

    def to_csv(self, path: str | Path) -> None:
        """Write one row per record; the column ``diverged`` is 1 in the last row of a diverged run.

        The column ``seconds`` is the last one, and is left out if there are no times.

        Raises
        ------
        InputError
            Before anything is written, if the lists are of different lengths.
        """
        self._check_lengths()
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*COLUMNS, "diverged", *self.columns[len(COLUMNS) :]])
        for k, row in enumerate(zip(*(getattr(self, name) for name in self.columns), strict=True)):
            diverged = int(self.diverged and k == len(self.steps) - 1)
            writer.writerow([*row[: len(COLUMNS)], diverged, *row[len(COLUMNS) :]])
        files.write_text(path, text.getvalue())

    @classmethod
    def from_csv(cls, path: str | Path) -> Self:
        """Read a file of `to_csv`, even if a spreadsheet has saved it since; raise FileFormatError for any other.

        A spreadsheet may write a byte-order mark, ``1E-05``, nothing for nan, and semicolons with decimal commas.
        """
        content: dict[str, list[int | float | str]] = {name: [] for name in LISTS}
        diverged = False
        table = files.read_text(path).removeprefix("\ufeff")
        semicolons = table.startswith(f"{COLUMNS[0]};")  # then commas are decimal points
        reader = csv.reader(io.StringIO(table, newline=""), strict=True, delimiter=";" if semicolons else ",")
        try:
            header = next(reader, [])
            if header not in ([*COLUMNS, "diverged"], [*COLUMNS, "diverged", "seconds"]):
                raise ValueError(f"its header is {files.brief(','.join(header))!r}")
            for row in reader:
                cells = dict(zip(header, row, strict=False))
                if len(row) != len(header) or cells["diverged"] not in ("0", "1") or diverged:
                    raise ValueError(f"line {reader.line_num} is {files.brief(','.join(row))!r}")
                diverged = cells.pop("diverged") == "1"
                for name, text in cells.items():
                    content[name].append(_parsed(text.replace(",", ".") if semicolons else text))
        except (ValueError, csv.Error) as error:
            raise FileFormatError(f"{path}: not a history in CSV ({files.brief(error)})") from None
        return cls.from_dict(content | {"diverged": diverged}, str(path))

    def to_json(self, path: str | Path) -> None:
        """Write a JSON object of lists; raise InputError as `to_csv` does."""
        self._check_lengths()
        files.write_json(path, asdict(self))

    @classmethod
    def from_json(cls, path: str | Path) -> Self:
        """Read a file of `to_json`; raise FileFormatError for any other."""
        return cls.from_dict(files.read_json(path), str(path))

    @classmethod
    def from_dict(cls, content: object, where: str = "history") -> Self:
        """Return the history that ``dataclasses.asdict`` or `to_json` turned into ``content``.

        Raises
        ------
        FileFormatError
            If ``content`` is something else; the message gives the reason and ``where`` the content came from.
        """
        if not isinstance(content, dict) or content.keys() | {"seconds"} != {f.name for f in fields(cls)}:
            raise FileFormatError(f"{where}: not a history: its entries must be {', '.join(COLUMNS)}, diverged")
        content = {"seconds": []} | content  # there were histories without
        if not all(isinstance(content[name], list) for name in LISTS):
            raise FileFormatError(f"{where}: not a history: {', '.join(LISTS)} must be lists")
        if not isinstance(content["diverged"], bool):
            raise FileFormatError(f"{where}: not a history: diverged must be true or false")
        try:
            steps = [_step(value) for value in content["steps"]]
            columns = {name: [_number(value) for value in content[name]] for name in LISTS[1:]}
        except (TypeError, ValueError, OverflowError) as error:
            raise FileFormatError(f"{where}: not a history ({files.brief(error)})") from None
        history = cls(steps, **columns, diverged=content["diverged"])
        if len({len(getattr(history, name)) for name in history.columns}) > 1:
            raise FileFormatError(f"{where}: its lists are of different lengths")
        return history

    def _check_lengths(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in self.columns}
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{count} of {name}" for name, count in lengths.items())
            raise InputError(f"History: needs as many entries in each list, nan where there is none; it has {found}")

    def final(self, name: str) -> float:
        """Return the last entry of a column; nan if there is no record, and for the accuracy of a diverged run.

        Parameters
        ----------
        name : {"steps", "train_loss", "validation_loss", "validation_accuracy", "lr", "seconds"}
        """
        if not isinstance(name, str) or name not in LISTS:
            raise unknown_name("column", name, LISTS)
        column = getattr(self, name)
        without = not column or (self.diverged and name == "validation_accuracy")
        return math.nan if without else float(column[-1])

    # -- display ------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        if not self.steps:
            return "History: no record"
        records = f"{len(self.steps)} record{'s' if len(self.steps) > 1 else ''}"
        shown = ("training loss", "validation loss", "validation accuracy")
        finals = zip(shown, map(self.final, COLUMNS[1:4]), strict=True)
        last = [f"{name} {value:.4g}" for name, value in finals if not math.isnan(value)]
        end = f"diverged at step {self.steps[-1]}" if self.diverged else f"step {self.steps[-1]}"
        return ", ".join([f"History: {records}, {end}", *last])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Show one line in IPython; ``repr`` has every digit."""
        printer.text(str(self))

    def _repr_png_(self) -> tuple[bytes, dict[str, int]] | None:
        """Show the curves in a notebook."""
        from tinynet.plots import notebook

        accuracy = any(map(math.isfinite, self.validation_accuracy))
        return notebook.png(notebook.history_figure(self, accuracy=accuracy)) if self.steps else None


COLUMNS = ("steps", "train_loss", "validation_loss", "validation_accuracy", "lr")
LISTS = (*COLUMNS, "seconds")  # the last one is empty if there are no times

NOT_FINITE = ("nan", "inf", "-inf")  # words in JSON, which has no such numbers
PLAIN = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?", re.ASCII)  # float() alone takes "2_3" for 23


def _parsed(text: str) -> int | float | str:
    if text.lower() in ("", *NOT_FINITE):  # a spreadsheet leaves a cell empty, R writes NaN and Inf
        return text.lower() or "nan"
    if not PLAIN.fullmatch(text):
        raise ValueError(f"{files.brief(text)!r} is not a number")
    return int(text) if len(text) < 20 and text.isdigit() else float(text)


def _number(value: object) -> float:
    if type(value) is float:  # nearly all are
        return value
    if type(value) is not bool and isinstance(value, Real):
        return float(value)
    if value in NOT_FINITE:
        return float(str(value))
    raise ValueError(f"{files.brief(value)!r} is not a number")


def _step(value: object) -> int:
    if type(value) is not bool and isinstance(value, int | Integral) and 0 <= int(value) < 2**63:
        return int(value)
    raise ValueError(f"{files.brief(value)!r} is not a number of steps")
