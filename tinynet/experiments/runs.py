"""Runs as plain data: the settings that all kinds of run share, and the usual run, which trains one network."""

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


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """The base of all settings. What a run computes depends on its settings and on nothing else.

    A kind of run adds its own settings, and a method ``run`` that returns plain data, which can be written as JSON.
    Its settings are checked when they are made, so that a sweep with a wrong one does not begin. ``data`` is a folder
    of IDX files, or None for the bundled MNIST; some runs take no data set.

    Raises
    ------
    InputError
        If a setting cannot be; it names that one.
    """

    depth: int = 5
    width: int = 100
    activation: str = "sigmoid"
    batch_size: int = 60
    seed: int = 0
    data: str | None = None

    def __post_init__(self) -> None:
        values = {name: value for name, value in vars(self).items() if value is not None}
        norm = values.get("norm")
        if norm not in ("batch", "layer", None):
            raise unknown_name("norm (None for none)", norm, ["batch", "layer"])
        for name, least in LEAST.items():
            least += name == "batch_size" and norm == "batch"  # one example has no variance
            value = values.get(name, least)
            if not isinstance(value, int) or value < least:
                at_least = f"at least {least}{' with batch normalization' if least > LEAST[name] else ''}"
                raise InputError(f"{name} must be a whole number (an int) of {at_least}, not {value!r}")
        SGD(values.get("lr", 0.1), momentum=values.get("momentum", 0.0))
        make_activation(self.activation)
        initializers.get(values.get("init", "he_normal"))
        Dropout(values.get("dropout", 0.0))

    def sets(self) -> tuple[Dataset, Dataset]:
        """Return the training set and the test set."""
        return load_data(self.data)


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(NetworkSettings):
    """The settings of a run that trains: also ``lr`` and ``momentum`` of `tinynet.SGD`, and the number of steps."""

    lr: float = 0.1
    momentum: float = 0.0
    steps: int = 5000

    def fit(self, net: Network, train: Dataset, *callbacks: Callback, **more: Any) -> History:
        """Train as the settings say; ``more`` is handed to `tinynet.fit`."""
        optimizer = SGD(self.lr, momentum=self.momentum)
        how: dict[str, Any] = {"steps": self.steps, "batch_size": self.batch_size, "seed": self.seed}
        return fit(net, train, optimizer=optimizer, callbacks=callbacks, **how, **more)


@dataclass(frozen=True, kw_only=True)
class RunSettings(TrainingSettings):
    """Everything that the training of one multi-layer perceptron depends on.

    Parameters
    ----------
    depth, width : int
        Hidden layers, and units of each.
    activation, init, norm, dropout
        As for `tinynet.mlp`.
    lr, momentum : float
        As for `tinynet.SGD`.
    batch_size, steps, seed : int
        As for `tinynet.fit`. Runs that differ in ``norm`` only start from the same weights and see the same batches.
    data : str, optional
        A folder of IDX files; by default the bundled MNIST.
    train_size : int, optional
        Only the first so many training examples.
    record_every : int
        Steps between records, and between the probe's measurements.
    probed : bool
        Whether a `tinynet.Probe` watches.
    """

    depth: int = 10
    init: str | None = None
    norm: Literal["batch", "layer"] | None = None
    dropout: float = 0.0
    train_size: int | None = None
    record_every: int = 100
    probed: bool = True

    def run(self) -> dict[str, Any]:
        """Train; return plain data: the history's lists, and if ``probed`` the probe's steps and values."""
        return self.train()

    def train(self, *callbacks: Callback) -> dict[str, Any]:
        """Do `run` with callbacks besides; one of them may stop it before its time.

        Raises
        ------
        InputError
            If the folder in ``data`` cannot be read; see `tinynet.datasets.idx`.
        """
        train, test = self.sets()
        probe = Probe(every=self.record_every)
        watching = [probe, *callbacks] if self.probed else callbacks
        net = self.network(train)
        history = self.fit(net, train, *watching, validation=test, validate_every=self.record_every)
        made: dict[str, Any] = dataclasses.asdict(history)
        return made | {"probe": {"steps": probe.steps, "values": probe.values}} if self.probed else made

    def network(self, train: Dataset, **more: Any) -> Network:
        """Return the network before training; ``more`` is handed to `tinynet.mlp`."""
        hidden, classes = [self.width] * self.depth, int(train.y.max()) + 1
        kind: dict[str, Any] = {"activation": self.activation, "norm": self.norm, "init": self.init}
        return mlp(train.x.shape[1], hidden, classes, dropout=self.dropout, seed=self.seed, **kind, **more)

    def sets(self) -> tuple[Dataset, Dataset]:
        """Return the training set, of the size asked for, and the test set."""
        train, test = load_data(self.data)
        return train if self.train_size is None else train[: self.train_size], test


def load_data(folder: str | None) -> tuple[Dataset, Dataset]:
    """Return training and test set: the bundled MNIST, or those in a folder of IDX files, as they are now."""
    return _loaded(folder, None if folder is None else data_version(folder))


@functools.lru_cache(maxsize=4)  # a worker does many runs on one data set
def _loaded(folder: str | None, version: str | None) -> tuple[Dataset, Dataset]:
    return datasets.mnist() if folder is None else datasets.idx(folder)
