"""A training run under way, as plain data: what a callback sees, what the loop needs besides, and the last state."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinynet import kernels
from tinynet.arrays import LiveArrays
from tinynet.datasets import Batches, Dataset
from tinynet.layers import BatchNorm
from tinynet.losses import Loss
from tinynet.machinery.recording import Recording
from tinynet.optimizers import SGD

if TYPE_CHECKING:
    from tinynet.history import History
    from tinynet.network import Network


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
    began: float = 0.0  # the time of `time.perf_counter` at which the run would have begun, had it never been stopped
    data: dict[str, str | None] = field(default_factory=dict)  # fingerprints, once they are known

    def is_due(self, run: Run, every: int) -> bool:
        """Tell whether what is done every so many steps, and at the end, is to be done now."""
        return run.stop or run.step == run.total_steps or run.step % every == 0


class LastState:
    """A network's state as it was before a forward pass, which may turn out to spoil it."""

    def __init__(self, state: LiveArrays) -> None:
        self.state, self.copies = state, {name: array.copy() for name, array in state.items()}
        rows = [(state[name].reshape(1, -1, copy=False), copy.reshape(1, -1)) for name, copy in self.copies.items()]
        self._copying = Recording(calls=[(kernels.merge.copy, pair) for pair in rows])

    def keep(self) -> None:
        """Copy the state; twenty layers' takes a few microseconds."""
        self._copying.make_calls()

    def restore(self) -> None:
        """Put back what was kept."""
        self.state.update(self.copies)


def batches_for(net: Network, train: Dataset, size: int, rng: np.random.Generator) -> Batches:
    """Return mini-batches that lie where the network reads them; of one example only without batch normalization."""
    has_batch_norm = any(isinstance(layer, BatchNorm) for layer in net.layers.values())
    return Batches(train, size, rng, net.input_array, at_least=2 if has_batch_norm else 1)
