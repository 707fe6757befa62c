"""One training run: a pure function of its settings, which are plain data."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any, Literal

from tinynet import datasets
from tinynet.datasets import Dataset
from tinynet.errors import InputError
from tinynet.history import History
from tinynet.models import mlp
from tinynet.network import Network
from tinynet.optimizers import SGD
from tinynet.probes import Probe
from tinynet.training import Callback, fit


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Everything one training run depends on: the same settings give the same numbers."""

    depth: int = 10
    width: int = 100
    activation: str = "sigmoid"
    init: str | None = None
    norm: Literal["batch", "layer"] | None = None
    dropout: float = 0.0
    lr: float = 0.1
    momentum: float = 0.0
    batch_size: int = 60
    steps: int = 5000
    seed: int = 0
    data: str | None = None  # a folder of IDX files; None is the bundled MNIST
    train_size: int | None = None  # only the first so many training examples
    record_every: int = 100
    probed: bool = True

    def run(self) -> dict[str, Any]:
        """Train and return plain data: the history's lists, and the probe's steps and values if ``probed``."""
        result = run(self)
        plain: dict[str, Any] = dataclasses.asdict(result.history)
        if self.probed:
            plain["probe"] = {"steps": result.probe.steps, "values": result.probe.values}
        return plain

    def network(self, train: Dataset) -> Network:
        """Return the network before training; settings that differ only in ``norm`` start from the same weights."""
        if self.depth < 1 or self.width < 1:
            raise InputError(f"depth and width must be at least 1, not {self.depth} and {self.width}")
        hidden, classes = [self.width] * self.depth, int(train.y.max()) + 1
        return mlp(
            train.x.shape[1],
            hidden,
            classes,
            activation=self.activation,
            norm=self.norm,
            init=self.init,
            dropout=self.dropout,
            seed=self.seed,
        )


@dataclass(frozen=True)
class RunResult:
    """What one run gave. ``interrupted`` runs hold what was recorded until then."""

    settings: RunSettings
    history: History
    probe: Probe
    interrupted: bool = False


@functools.cache  # a worker does many runs on one data set
def load_data(folder: str | None) -> tuple[Dataset, Dataset]:
    """Return training and test set: the bundled MNIST, or those in a folder of IDX files."""
    return datasets.mnist() if folder is None else datasets.idx(folder)


def run(settings: RunSettings, *callbacks: Callback) -> RunResult:
    """Train one network as its settings say, with a probe and test accuracy at every record."""
    train, test = load_data(settings.data)
    if settings.train_size is not None:
        train = train[: settings.train_size]
    history, probe = History(), Probe(every=settings.record_every)
    net = settings.network(train)
    fit(
        net,
        train,
        validation=test,
        optimizer=SGD(settings.lr, momentum=settings.momentum),
        steps=settings.steps,
        batch_size=settings.batch_size,
        seed=settings.seed,
        validate_every=settings.record_every,
        callbacks=[*([probe] if settings.probed else []), *callbacks],
        history=history,
    )
    stopped = not history.diverged and history.steps[-1:] != [settings.steps]
    return RunResult(settings, history, probe, interrupted=stopped)
