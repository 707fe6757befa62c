"""Where values were measured, made what it should be: epochs completed, and seconds since the beginning."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinynet.convergence.logs import Unit
from tinynet.typing import Array

COMPLETED = "epochs from 0 became epochs completed"
WALL_TIME = 1e8  # seconds since 1970 are more than this, and a training's are less: it would take three years


def epochs_completed(x: Mapping[str, dict[Unit, Array]], indices: bool) -> list[str]:
    """Count epochs that were completed, if they are counted from 0; return a note if so.

    Epoch 0 at step 0 is before the first update, where none is completed. But a step that is the epoch everywhere
    counts entries of a log, not updates.
    """
    epochs = np.concatenate([at["epoch"] for at in x.values()])
    known = np.isfinite(epochs)
    epochs = epochs[known]
    if not len(epochs) or not (indices or (epochs.min() == 0 and (epochs == np.round(epochs)).all())):
        return []
    if not indices and all("step" in at for at in x.values()):
        steps = np.concatenate([at["step"] for at in x.values()])[known]
        if steps[epochs == 0].min() == 0 and (steps != epochs).any():
            return []
    for at in x.values():
        at["epoch"] = at["epoch"] + 1
    return [COMPLETED]


def parts_of_passes(x: Mapping[str, dict[Unit, Array]]) -> list[str]:
    """Make epochs completed of the passes under way, if it can be told how many updates a pass has; return a note.

    A number of updates is right if all measurements fit to it, and there are two passes or more. It is looked for
    among those measurements that may be a pass's last. Where there is none, only what Lightning measured over a whole
    pass, and named so, has its epoch.
    """
    steps, passes = (np.concatenate([at[unit] for at in x.values()]) for unit in ("step", "epoch"))
    known = np.isfinite(passes)
    steps, passes = steps[known], passes[known]
    ends = [at for metric, at in x.items() if not metric.endswith("_step")]
    each = np.concatenate([at["step"] / (at["epoch"] + 1) for at in ends] or [steps])
    candidates, counts = np.unique(each[np.isfinite(each) & (each == np.round(each))], return_counts=True)
    for updates in candidates[np.argsort(-counts, kind="stable")][:100]:
        if len(np.unique(passes)) > 1 and (np.floor((steps - 1) / updates) == passes).all():
            for at in x.values():
                at["epoch"] = at["step"] / updates
            return [f"epochs completed are updates / {updates:g}"]
    for metric, at in x.items():
        if metric.endswith("_epoch"):
            at["epoch"] = at["epoch"] + 1
        else:
            del at["epoch"]
    return []


def seconds_from_first(x: Mapping[str, dict[Unit, Array]]) -> list[str]:
    """Count seconds from the first measurement, if they are times of day; return a note if so."""
    first = min((at["seconds"][0] for at in x.values() if np.isfinite(at["seconds"][0])), default=0.0)
    if first < WALL_TIME:
        return []
    for at in x.values():
        at["seconds"] = (at["seconds"] - first) / (1000 if first > 1000 * WALL_TIME else 1)
    return ["seconds are counted from the first value"]
