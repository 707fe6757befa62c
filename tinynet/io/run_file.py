"""A training run in a file, from which `tinynet.resume` goes on with it to the same bits.

The file is the network's (see `tinynet.io.network_file`) with more in it: arrays whose names begin with ``run.``, and
JSON under ``run`` in the metadata.
"""

from __future__ import annotations

import dataclasses
import glob
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinynet import files
from tinynet.datasets import Dataset
from tinynet.errors import DataError, FileFormatError, InputError
from tinynet.files import brief
from tinynet.history import COLUMNS, History
from tinynet.io import network_file
from tinynet.losses import Loss, MeanSquaredError, SoftmaxCrossEntropy
from tinynet.optimizers import SGD
from tinynet.run import Plan, Run, batches_for
from tinynet.schedules import Constant, Cosine, Schedule, StepDecay, Warmup
from tinynet.typing import Array

if TYPE_CHECKING:
    from tinynet.network import Network

VERSION = 1
LOSSES: dict[str, type[Loss]] = {loss.__name__: loss for loss in (SoftmaxCrossEntropy, MeanSquaredError)}
SCHEDULES: dict[str, Any] = {schedule.__name__: schedule for schedule in (Constant, Cosine, StepDecay, Warmup)}
BITS = np.random.PCG64, np.random.PCG64DXSM  # the first is what default_rng takes
GENERATORS: dict[str, Any] = {bits.__name__: bits for bits in BITS}


def write(run: Run, plan: Plan) -> None:
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
    content, arrays = _settings(run, plan), _live_arrays(run)
    if not all(np.isfinite(array).all() for array in arrays.values()):
        return
    network_file.check_statistics(plan.checkpoint, arrays, InputError)
    for name in run.history.columns:
        dtype = np.int64 if name == "steps" else np.float64
        arrays[f"run.history.{name}"] = np.array(getattr(run.history, name), dtype)
    arrays["run.recent"] = np.array(plan.recent, np.float64)
    metadata = network_file.describe(run.net.nodes, run.net.dtype)
    files.write_arrays(plan.checkpoint, arrays, {**metadata, "run": json.dumps(content)})


def _live_arrays(run: Run) -> dict[str, Array]:
    """Return the arrays that training changes."""
    velocity = {f"run.velocity.{name}": v for name, v in run.optimizer.velocity.items()}
    return {**run.net.params, **run.net.state, **velocity}


def _settings(run: Run, plan: Plan) -> dict[str, Any]:
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
        "layers": {name: _generator_state(rng.bit_generator.state) for name, rng in _generators(run.net).items()},
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


def _generators(net: Network) -> dict[str, np.random.Generator]:
    """Return the generators of the layers that draw, by the layers' names."""
    return {name: layer.rng for name, layer in net.layers.items() if layer.rng is not None}


def _generator_state(state: Mapping[str, Any]) -> Mapping[str, Any]:
    if state["bit_generator"] not in GENERATORS:
        raise InputError(
            f"checkpoint: a file can hold the state of {' or '.join(GENERATORS)}, not of {state['bit_generator']}; "
            "give seeds, or generators that np.random.default_rng made"
        )
    return state


# -- from a file ------------------------------------------------------------------------------------------------


def read(path: Path, net: Network, train: Dataset, validation: Dataset | None) -> tuple[Run, Plan]:
    """Return the run that `write` wrote, of the network that was loaded from the same file.

    Raises
    ------
    FileFormatError
        If the file holds no run, or one that cannot go on.
    DataError
        If the run was trained, or validated, on other data.
    """
    arrays, metadata = files.read_arrays(path)
    if "run" not in metadata:
        raise FileFormatError(f"{path}: holds a network, but not the run that trains it; tn.load reads it")
    with _reading(path):
        content = json.loads(metadata["run"])
        if content["version"] != VERSION:
            raise InputError(f"it is of version {brief(content['version'])}; this tinynet reads version {VERSION}")
        data = {name: content["data"][name] for name in ("train", "validation")}
    for name, given in (("train", train), ("validation", validation)):
        _check_same(path, name, data[name], given)
    with _reading(path):
        optimizer = SGD(**content["optimizer"] | {"lr": _schedule(content["optimizer"]["lr"])})
        optimizer.attach(net.params)
        optimizer.steps = _whole(content["optimizer_steps"])
        batches = batches_for(net, train, content["batch_size"], _generator(content["order"]))
        batches.taken = _whole(content["batch"], most=batches.per_epoch)
        drawing = {name: _generator(state) for name, state in content["layers"].items()}
        if drawing.keys() != _generators(net).keys():
            raise InputError(f"its generators are those of {brief(', '.join(drawing))}")
        for name, rng in drawing.items():
            net.layers[name].rng = rng
        columns = {name: arrays.pop(f"run.history.{name}").tolist() for name in COLUMNS}
        columns["seconds"] = arrays.pop("run.history.seconds", np.empty(0)).tolist()  # some files have none
        history = History.from_dict({**columns, "diverged": False}, str(path))
        recent = [float(loss) for loss in arrays.pop("run.recent").tolist()]
        total = _whole(content["total_steps"], 1)
        run = Run(net, optimizer, history, total, _whole(content["step"], most=total))
        network_file.fill(path, _live_arrays(run), arrays)
        plan = Plan(LOSSES[content["loss"]](), batches, validation, _whole(content["record_every"], 1))
        plan.checkpoint_every, plan.recent, plan.data = _whole(content["checkpoint_every"], 1), recent, data
        again = _settings(run, plan)
        for name in again.keys() | content.keys():  # a constructor may have taken "x" for true
            if json.dumps(again.get(name), sort_keys=True) != json.dumps(content.get(name), sort_keys=True):
                raise InputError(f"{brief(name)} cannot be {brief(content.get(name))}")
    plan.checkpoint = writable(path)
    return run, plan


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong with a file's content into an error that names the file."""
    try:
        yield
    except FileFormatError:
        raise
    except KeyError as error:
        raise FileFormatError(f"{path}: not a run that can go on (it has no {brief(error)})") from None
    except (TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise FileFormatError(f"{path}: not a run that can go on ({brief(error)})") from None


def _check_same(path: Path, name: str, before: str | None, given: Dataset | None) -> None:
    now = given.fingerprint() if isinstance(given, Dataset) else None if given is None else type(given).__name__
    if now != before:
        had, has = (brief(text or "none") for text in (before, now))
        raise DataError(f"{name}: must be the data set that the run in {path} has, {had}; this is {has}")


def _whole(value: object, least: int = 0, most: int = 2**63 - 1) -> int:
    if type(value) is not int or not least <= value <= most:
        raise InputError(f"{brief(value)} where a whole number from {least} to {most} is expected")
    return value


def _schedule(settings: dict[str, Any]) -> Schedule:
    inner = {name: _schedule(value) if isinstance(value, dict) else value for name, value in settings.items()}
    schedule: Schedule = SCHEDULES[str(inner.pop("schedule"))](**inner)
    return schedule


def _generator(state: dict[str, Any]) -> np.random.Generator:
    bits = GENERATORS[state["bit_generator"]](0)
    bits.state = state
    return np.random.Generator(bits)
