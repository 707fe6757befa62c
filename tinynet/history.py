"""What a training run recorded."""

import csv
import io
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Self

from tinynet import files
from tinynet.errors import FileFormatError


@dataclass
class History:
    """One entry in each list per record; the lists are of equal length.

    Attributes
    ----------
    steps : list of int
        Number of updates made when the record was taken.
    train_loss : list of float
        Mean training loss over the batches since the record before; the first loss that was not finite, in the
        last record of a diverged run.
    validation_loss, validation_accuracy : list of float
        On the whole validation set, in inference mode; nan without one, and for a diverged run's last record.
    lr : list of float
        Learning rate of the last of those updates.
    diverged : bool
        Whether the run ended early because its loss was no longer finite.
    """

    steps: list[int] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    diverged: bool = False

    def append(
        self, step: int, train_loss: float, validation_loss: float, validation_accuracy: float, lr: float
    ) -> None:
        """Add one record."""
        record = (step, train_loss, validation_loss, validation_accuracy, lr)
        for name, value in zip(COLUMNS, record, strict=True):
            getattr(self, name).append(value)

    def steps_to(self, accuracy: float) -> int | None:
        """Return the first recorded step with at least this validation accuracy, or None if there is none."""
        for step, reached in zip(self.steps, self.validation_accuracy, strict=True):
            if reached >= accuracy:
                return step
        return None

    def to_csv(self, path: str | Path) -> None:
        """Write a row a record; a diverged run has a last column that says so."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*COLUMNS, "diverged"])
        rows = list(zip(*(getattr(self, name) for name in COLUMNS), strict=True))
        for k, row in enumerate(rows):
            writer.writerow([*row, int(self.diverged and k == len(rows) - 1)])
        files.write_text(path, text.getvalue())

    @classmethod
    def from_csv(cls, path: str | Path) -> Self:
        """Read what `to_csv` wrote; raise FileFormatError if it is something else."""
        history = cls()
        try:
            with Path(path).open(encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file)
                if reader.fieldnames != [*COLUMNS, "diverged"]:
                    raise FileFormatError(f"{path}: its header is not that of a history: {reader.fieldnames}")
                for row in reader:
                    history.append(int(row["steps"]), *(float(row[name]) for name in COLUMNS[1:]))
                    history.diverged = row["diverged"] == "1"
        except FileFormatError:
            raise
        except (ValueError, TypeError, csv.Error) as error:
            raise FileFormatError(f"{path}: not a history in CSV ({error})") from None
        return history

    def to_json(self, path: str | Path) -> None:
        """Write one object of lists."""
        files.write_json(path, asdict(self))

    @classmethod
    def from_json(cls, path: str | Path) -> Self:
        """Read what `to_json` wrote; raise FileFormatError if it is something else."""
        return cls.from_dict(files.read_json(path), str(path))

    @classmethod
    def from_dict(cls, content: object, where: str = "history") -> Self:
        """Return the history that ``dataclasses.asdict`` or `to_json` turned into ``content``."""
        if not isinstance(content, dict) or content.keys() != {f.name for f in fields(cls)}:
            raise FileFormatError(f"{where}: not a history: its entries must be {', '.join(COLUMNS)}, diverged")
        try:
            columns = {name: [float(value) for value in content[name]] for name in COLUMNS[1:]}
            history = cls([int(s) for s in content["steps"]], **columns, diverged=content["diverged"] is True)
        except (TypeError, ValueError, OverflowError) as error:
            raise FileFormatError(f"{where}: not a history ({error})") from None
        if len({len(getattr(history, name)) for name in COLUMNS}) > 1:
            raise FileFormatError(f"{where}: its lists are of different lengths")
        return history

    def final(self, name: str) -> float:
        """Return the last entry of a column, nan if there is no record."""
        column = getattr(self, name)
        return float(column[-1]) if column else math.nan


COLUMNS = ("steps", "train_loss", "validation_loss", "validation_accuracy", "lr")
