"""A training run under way: everything that the rest of it depends on, and how that goes into a file.

The file is the network's (see `tinynet.io.network_file`) with more in it: arrays whose names begin with ``run.``, and
JSON under ``run`` in the metadata. `tinynet.resuming` reads it.
"""

from __future__ import annotations

import dataclasses
import glob
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinynet import files, kernels
from tinynet.arrays import LiveArrays
from tinynet.datasets import Batches, Dataset
from tinynet.errors import InputError
from tinynet.history import COLUMNS, History
from tinynet.io import network_file
from tinynet.layers import BatchNorm
from tinynet.losses import Loss, MeanSquaredError, SoftmaxCrossEntropy
from tinynet.machinery.recording import Pass
from tinynet.network import Network
from tinynet.optimizers import SGD
from tinynet.schedules import Constant, Cosine, Schedule, StepDecay, Warmup
from tinynet.typing import Array

VERSION = 1
LOSSES: dict[str, type[Loss]] = {loss.__name__: loss for loss in (SoftmaxCrossEntropy, MeanSquaredError)}
SCHEDULES: dict[str, Any] = {schedule.__name__: schedule for schedule in (Constant, Cosine, StepDecay, Warmup)}
BITS = np.random.PCG64, np.random.PCG64DXSM  # the first is what default_rng takes
GENERATORS: dict[str, Any] = {bits.__name__: bits for bits in BITS}


@dataclass
class Run:
    """What a callback sees of the training run it watches.

    Attributes
    ----------
    net : Network
    optimizer : SGD
    history : History
    total_steps : int
        How many updates the run is to make.
    step : int
        Updates made so far.
    loss : float
        Of the current batch.
    stop : bool
        A callback sets it to end the run after this step.
    """

    net: Network
    optimizer: SGD
    history: History
    total_steps: int
    step: int = 0
    loss: float = math.nan
    stop: bool = False


@dataclass
class Plan:
    """What the loop of `tinynet.fit` needs besides: from where, how often, and what has come up since."""

    loss: Loss
    batches: Batches
    validation: Dataset | None
    record_every: int  # steps
    checkpoint: Path | None = None
    checkpoint_every: int = 1  # steps
    recent: list[float] = field(default_factory=list)  # losses since the last record
    data: dict[str, str | None] = field(default_factory=dict)  # fingerprints, once they are known


class LastState:
    """A network's state as it was before a forward pass, which may turn out to spoil it."""

    def __init__(self, state: LiveArrays) -> None:
        self.state, self.copies = state, {name: array.copy() for name, array in state.items()}
        rows = [(state[name].reshape(1, -1, copy=False), copy.reshape(1, -1)) for name, copy in self.copies.items()]
        self._copying = Pass(calls=[(kernels.merge.copy, pair) for pair in rows])

    def keep(self) -> None:
        """Copy the state; twenty layers' takes a few microseconds."""
        self._copying.make()

    def restore(self) -> None:
        """Put back what was kept."""
        self.state.update(self.copies)


def batches_for(net: Network, train: Dataset, size: int, rng: np.random.Generator) -> Batches:
    """Return mini-batches that lie where the network reads them; of one example only without batch normalization."""
    has_batch_norm = any(isinstance(layer, BatchNorm) for layer in net.layers.values())
    return Batches(train, size, rng, net.input_array, at_least=2 if has_batch_norm else 1)


# -- into a file ----------------------------------------------------------------------------------------------


def save_run(run: Run, plan: Plan) -> None:
    """Write the run to ``plan.checkpoint``; leave the file there as it is if a weight, say, is not finite.

    Raises
    ------
    InputError
        If the run has a layer, loss, optimizer, schedule or generator that a file cannot name, or a negative variance.
    """
    assert plan.checkpoint is not None
    if not plan.data:
        sets = {"train": plan.batches.data, "validation": plan.validation}
        plan.data = {name: None if given is None else given.fingerprint() for name, given in sets.items()}
    content, arrays = settings_of(run, plan), live_arrays(run)
    if not all(np.isfinite(array).all() for array in arrays.values()):
        return
    network_file.check_statistics(plan.checkpoint, arrays, InputError)
    for name in COLUMNS:
        dtype = np.int64 if name == "steps" else np.float64
        arrays[f"run.history.{name}"] = np.array(getattr(run.history, name), dtype)
    arrays["run.recent"] = np.array(plan.recent, np.float64)
    metadata = network_file.describe(run.net.nodes, run.net.dtype)
    files.write_arrays(plan.checkpoint, arrays, {**metadata, "run": json.dumps(content)})


def live_arrays(run: Run) -> dict[str, Array]:
    """Return the arrays that training changes."""
    velocity = {f"run.velocity.{name}": v for name, v in run.optimizer.velocity.items()}
    return {**run.net.params, **run.net.state, **velocity}


def settings_of(run: Run, plan: Plan) -> dict[str, Any]:
    """Return all else, as JSON has it."""
    return {
        "version": VERSION,
        "step": run.step,
        "total_steps": run.total_steps,
        "record_every": plan.record_every,
        "checkpoint_every": plan.checkpoint_every,
        "loss": _name(plan.loss, LOSSES, "loss"),
        "optimizer": _optimizer_settings(run.optimizer),
        "optimizer_steps": run.optimizer.steps,
        "batch_size": plan.batches.size,
        "batch": plan.batches.taken,
        "order": _generator_state(plan.batches.epoch_rng),
        "layers": {name: _generator_state(rng.bit_generator.state) for name, rng in generators(run.net).items()},
        "data": plan.data,
    }


def writable(path: str | Path) -> Path:
    """Return a path to which checkpoints can be written; remove what a writer that was killed has left beside it.

    Raises
    ------
    InputError
        If its folder cannot be written, or it is a folder itself.
    """
    path = files.as_path(path)
    files.writable_folder(path.parent)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file such as {path / 'run.safetensors'}")
    for left in path.parent.glob(f".{glob.escape(path.name)}.????????"):
        left.unlink(missing_ok=True)
    return path


def _name(thing: object, known: dict[str, Any], what: str) -> str:
    name = type(thing).__name__
    if known.get(name) is not type(thing):
        raise InputError(f"checkpoint: a file can only name tinynet's own kinds of {what}, not {thing!r}")
    return name


def _optimizer_settings(optimizer: SGD) -> dict[str, Any]:
    _name(optimizer, {"SGD": SGD}, "optimizer")
    names = "momentum", "nesterov", "weight_decay", "decoupled", "clip_norm"
    return {"lr": _schedule_settings(optimizer.schedule), **{name: getattr(optimizer, name) for name in names}}


def _schedule_settings(schedule: Schedule) -> dict[str, Any]:
    settings: dict[str, Any] = {"schedule": _name(schedule, SCHEDULES, "schedule")}
    for setting in dataclasses.fields(schedule):  # type: ignore[arg-type]
        value = getattr(schedule, setting.name)
        if not callable(value) and type(value) not in (int, float):  # others do not compute the same bits
            raise InputError(f"checkpoint: {setting.name} is a {type(value).__name__}: give a Python number")
        settings[setting.name] = _schedule_settings(value) if callable(value) else value
    return settings


def generators(net: Network) -> dict[str, np.random.Generator]:
    """Return the generators of the layers that draw, by the layers' names."""
    return {name: layer.rng for name, layer in net.layers.items() if layer.rng is not None}


def _generator_state(state: Mapping[str, Any]) -> Mapping[str, Any]:
    if state["bit_generator"] not in GENERATORS:
        raise InputError(
            f"checkpoint: a file can hold the state of {' or '.join(GENERATORS)}, not of {state['bit_generator']}; "
            "give seeds, or generators that np.random.default_rng made"
        )
    return state
