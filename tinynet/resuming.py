"""Going on with a training run that was stopped, from its checkpoint; see `tinynet.run` for what is in the file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tinynet import arguments, files
from tinynet.datasets import Dataset
from tinynet.errors import DataError, FileFormatError, InputError
from tinynet.files import brief
from tinynet.history import COLUMNS, History
from tinynet.io import network_file
from tinynet.network import Network
from tinynet.optimizers import SGD
from tinynet.run import (
    GENERATORS,
    LOSSES,
    SCHEDULES,
    VERSION,
    Plan,
    Run,
    batches_for,
    generators,
    live_arrays,
    settings_of,
    writable,
)
from tinynet.schedules import Schedule
from tinynet.training import Callback, go_on


def resume(
    path: str | Path,
    train: Dataset,
    *,
    validation: Dataset | None = None,
    callbacks: Iterable[Callback] = (),
    progress: bool = False,
) -> tuple[Network, History]:
    """Go on with a run of `fit` from its last checkpoint, to the same bits as if it had never been stopped.

    Parameters
    ----------
    path : path
        What was given to `fit` as ``checkpoint``. It is written again as the run goes on.
    train, validation : Dataset
        The same as before; the file knows what they were, but does not hold them.
    callbacks, progress
        As for `fit`. A callback begins anew: what it saw before is not in the file.

    Returns
    -------
    net : Network
    history : History
        Both of the whole run. If it had come to its end already, they are as they were then.

    Raises
    ------
    FileFormatError
        If the file is not one that `fit` writes; it names the file and the reason.
    DataError
        If the run was trained, or validated, on other data.
    """
    watchers = arguments.as_callbacks(callbacks)
    run, plan = reopen(path, arguments.as_data(train), arguments.as_data(validation))
    return run.net, go_on(run, plan, watchers, progress=progress)


def reopen(path: str | Path, train: Dataset, validation: Dataset | None) -> tuple[Run, Plan]:
    """Return the run that `save_run` wrote, ready to `go_on`; raise what `resume` says."""
    path = files.as_path(path)
    net = Network.load(path)
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
        if drawing.keys() != generators(net).keys():
            raise InputError(f"its generators are those of {brief(', '.join(drawing))}")
        for name, rng in drawing.items():
            net.layers[name].rng = rng
        columns = {name: arrays.pop(f"run.history.{name}").tolist() for name in COLUMNS}
        history = History.from_dict({**columns, "diverged": False}, str(path))
        recent = [float(loss) for loss in arrays.pop("run.recent").tolist()]
        total = _whole(content["total_steps"], 1)
        run = Run(net, optimizer, history, total, _whole(content["step"], most=total))
        network_file.fill(path, live_arrays(run), arrays)
        plan = Plan(LOSSES[content["loss"]](), batches, validation, _whole(content["record_every"], 1))
        plan.checkpoint_every, plan.recent, plan.data = _whole(content["checkpoint_every"], 1), recent, data
        again = settings_of(run, plan)
        for name in again.keys() | content.keys():  # a constructor may have taken "x" for true
            if json.dumps(again.get(name), sort_keys=True) != json.dumps(content.get(name), sort_keys=True):
                raise InputError(f"{brief(name)} cannot be {brief(content.get(name))}")
    arguments.check_sets(net, train, None, validation, plan.loss)
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
