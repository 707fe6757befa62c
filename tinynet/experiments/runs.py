"""One training run: a pure function of its settings, which are plain data."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any, Literal

from tinynet import datasets, initializers
from tinynet.datasets import Dataset
from tinynet.datasets.idx import data_version
from tinynet.errors import InputError, unknown_name
from tinynet.history import History
from tinynet.layers import Dropout, make_activation
from tinynet.models import mlp
from tinynet.network import Network
from tinynet.optimizers import SGD
from tinynet.probes import Probe
from tinynet.training import Callback, fit

LEAST = {"depth": 1, "width": 1, "steps": 1, "batch_size": 1, "record_every": 1, "train_size": 1, "seed": 0}


def check(settings: Any) -> None:
    """Raise InputError for settings that cannot train, and name the one that is wrong.

    Settings call this as they are made, so that a sweep with a wrong one among them does not even begin. Settings of
    every kind give their fields the same names; those that a kind does not have are not looked at.
    """
    values = {name: value for name, value in vars(settings).items() if value is not None}
    norm = values.get("norm")
    if norm not in ("batch", "layer", None):
        raise unknown_name("norm (None for none)", norm, ["batch", "layer"])
    for name, least in LEAST.items():
        least += name == "batch_size" and norm == "batch"  # one example has no variance
        value = values.get(name, least)
        if not isinstance(value, int) or value < least:
            with_norm = " with batch normalization" if least > LEAST[name] else ""
            raise InputError(f"{name} must be a whole number (an int) of at least {least}{with_norm}, not {value!r}")
    SGD(values.get("lr", 0.1), momentum=values.get("momentum", 0.0))
    make_activation(values.get("activation", "relu"))
    initializers.get(values.get("init", "he_normal"))
    Dropout(values.get("dropout", 0.0))


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Everything one training run depends on: the same settings give the same numbers.

    Parameters
    ----------
    depth, width : int
        Hidden layers, and units of each.
    activation, init, norm, dropout
        As for `tinynet.mlp`.
    lr, momentum : float
        As for `tinynet.SGD`.
    batch_size, steps, seed : int
        As for `tinynet.fit`, so that runs that differ in ``norm`` only see the same batches; the seed is that of the
        weights, too.
    data : str, optional
        A folder of IDX files; by default the bundled MNIST.
    train_size : int, optional
        Only the first so many training examples.
    record_every : int
        Steps between records, and between the probe's measurements.
    probed : bool
        Whether a `tinynet.Probe` watches.

    Raises
    ------
    InputError
        If they cannot train; see `check`.
    """

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
    data: str | None = None
    train_size: int | None = None
    record_every: int = 100
    probed: bool = True

    def __post_init__(self) -> None:
        check(self)

    def run(self) -> dict[str, Any]:
        """Train and return plain data: the history's lists, and the probe's steps and values if ``probed``."""
        result = run(self)
        plain: dict[str, Any] = dataclasses.asdict(result.history)
        if self.probed:
            plain["probe"] = {"steps": result.probe.steps, "values": result.probe.values}
        return plain

    def network(self, train: Dataset) -> Network:
        """Return the network before training; settings that differ only in ``norm`` start from the same weights."""
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

    def sets(self) -> tuple[Dataset, Dataset]:
        """Return the training set, of the size asked for, and the test set."""
        train, test = load_data(self.data)
        return train if self.train_size is None else train[: self.train_size], test

    def fit(self, net: Network, train: Dataset, *callbacks: Callback, **more: Any) -> History:
        """Train as the settings say; ``more`` is handed to `tinynet.fit`."""
        return fit(
            net,
            train,
            optimizer=SGD(self.lr, momentum=self.momentum),
            steps=self.steps,
            batch_size=self.batch_size,
            seed=self.seed,
            callbacks=callbacks,
            **more,
        )


@dataclass(frozen=True)
class RunResult:
    """What one run gave. ``interrupted`` runs hold what was recorded until then."""

    settings: RunSettings
    history: History
    probe: Probe
    interrupted: bool = False


def load_data(folder: str | None) -> tuple[Dataset, Dataset]:
    """Return training and test set: the bundled MNIST, or those in a folder of IDX files, as they are now."""
    return _loaded(folder, None if folder is None else data_version(folder))


@functools.lru_cache(maxsize=4)  # a worker does many runs on one data set
def _loaded(folder: str | None, version: str | None) -> tuple[Dataset, Dataset]:
    return datasets.mnist() if folder is None else datasets.idx(folder)


def run(settings: RunSettings, *callbacks: Callback) -> RunResult:
    """Train one network as its settings say, with a probe and test accuracy at every record.

    Parameters
    ----------
    settings : RunSettings
    *callbacks : Callback
        Besides the probe.

    Returns
    -------
    RunResult
        With ``.history``, ``.probe`` and ``.interrupted``, whether a callback ended it before its time.

    Raises
    ------
    InputError
        If the folder in ``data`` cannot be read; see `tinynet.datasets.idx`.
    """
    train, test = settings.sets()
    history, probe = History(), Probe(every=settings.record_every)
    watching = [probe, *callbacks] if settings.probed else callbacks
    settings.fit(
        settings.network(train),
        train,
        *watching,
        validation=test,
        validate_every=settings.record_every,
        history=history,
    )
    stopped = not history.diverged and history.steps[-1:] != [settings.steps]
    return RunResult(settings, history, probe, interrupted=stopped)
