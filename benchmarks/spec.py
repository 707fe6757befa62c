"""What is trained: networks, their initial weights, batches of made-up data; and the check that all train the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from benchmarks.peers import Peer

# Not tinynet's own: a process that measures another library's memory must not load tinynet.
Array: TypeAlias = NDArray[Any]

LEARNING_RATE, MOMENTUM, DECAY, EPS = 0.01, 0.9, 0.9, 1e-5
BATCHES = 8  # of the same data, used in rotation


@dataclass(frozen=True)
class Spec:
    """One network and its batch: Dense, (BatchNorm,) activation for each hidden layer, then Dense."""

    name: str
    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    activation: str  # "sigmoid" or "relu"
    batch: int
    batch_norm: bool

    @property
    def title(self) -> str:
        """Name and arm, as in the table."""
        return f"{self.name} + batch norm" if self.batch_norm else self.name

    @property
    def plain(self) -> Spec:
        """The same network without batch norm."""
        return replace(self, batch_norm=False)

    @property
    def units(self) -> tuple[int, ...]:
        """Inputs, then the units of every Dense layer."""
        return (self.inputs, *self.hidden, self.outputs)


PAPER = [Spec("paper", 784, (100,) * 3, 10, "sigmoid", 60, batch_norm) for batch_norm in (False, True)]
DEEP = [Spec("deep", 784, (100,) * 20, 10, "relu", 60, batch_norm) for batch_norm in (False, True)]
WIDE = [Spec("wide", 784, (1024,) * 4, 10, "relu", 256, batch_norm) for batch_norm in (False, True)]
SPECS = [*PAPER, *DEEP, *WIDE]
QUICK_SPECS = [*PAPER, *DEEP]


def draw_weights(spec: Spec, dtype: str = "float32", seed: int = 0) -> dict[str, Array]:
    """Return initial parameters by tinynet's names: normal weights of variance 2 / inputs (ReLU) or 1 / inputs."""
    rng = np.random.default_rng(seed)
    weights: dict[str, Array] = {}
    last = len(spec.units) - 1
    for k, (inputs, units) in enumerate(zip(spec.units[:-1], spec.units[1:], strict=True), 1):
        gain = 2 if spec.activation == "relu" and k < last else 1
        weights[f"dense_{k}.weight"] = rng.normal(0, np.sqrt(gain / inputs), (inputs, units)).astype(dtype)
        if k == last or not spec.batch_norm:
            weights[f"dense_{k}.bias"] = np.zeros(units, dtype)
        else:
            weights[f"batch_norm_{k}.gamma"] = np.ones(units, dtype)
            weights[f"batch_norm_{k}.beta"] = np.zeros(units, dtype)
    return weights


def is_statistic(name: str) -> bool:
    """Return whether an array is a running statistic, not a parameter."""
    return ".running_" in name


def draw_batches(spec: Spec, count: int = BATCHES, dtype: str = "float32", seed: int = 1) -> list[tuple[Array, Array]]:
    """Return batches (x, y): standard normal numbers with random labels.

    Of numbers in [0, 1) many ReLU units die while a network learns the batches by heart. The velocity of their weights
    then shrinks to denormal numbers, which are slow in one library and taken for zero in another.
    """
    rng = np.random.default_rng(seed)
    return [
        (rng.normal(0, 1, (spec.batch, spec.inputs)).astype(dtype), rng.integers(0, spec.outputs, spec.batch))
        for _ in range(count)
    ]


# -- do the peers compute the same? -----------------------------------------------------------------------------------

# How far an array may be from tinynet's: ||difference|| / ||tinynet's||. The float64 run decides whether the work is
# the same. In float32 a matrix product that adds in another order differs by 1e-7, but then a number near zero may
# fall on the other side of a ReLU's kink, for one example and one unit. Its gradient then appears or vanishes as a
# whole: some 1e-2 of an array. Therefore float32 is compared over one step, and gradients and weights with the smooth
# sigmoid in place of ReLU; the loss, which has no such jumps, with both.
TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
CHECKED_STEPS = {"float64": 3, "float32": 1}
KINDS = ("loss", "gradients", "weights and statistics")


@dataclass(frozen=True)
class Agreement:
    """How far a peer is from tinynet on one network, relative, by kind of array."""

    work: str
    peer: str
    dtype: str
    differences: Mapping[str, float]

    @property
    def agrees(self) -> bool:
        """Whether every difference is small enough; a nan is not."""
        return all(value <= TOLERANCE[self.dtype] for value in self.differences.values())


def check(specs: Sequence[Spec], peers: Mapping[str, type[Peer]]) -> Iterator[Agreement]:
    """Compare every peer with tinynet on every network it can do, in both precisions."""
    for spec in specs:
        for name, peer in peers.items():
            if name != "tinynet" and peer.can(spec):
                for dtype in TOLERANCE:
                    yield Agreement(spec.title, name, dtype, compare(spec, peers["tinynet"], peer, dtype))


def compare(spec: Spec, reference: type[Peer], peer: type[Peer], dtype: str) -> dict[str, float]:
    """Return the `differences` that tell whether it is the same work; see `TOLERANCE` for float32."""
    found = differences(spec, reference, peer, dtype, CHECKED_STEPS[dtype])
    if dtype == "float32" and spec.activation == "relu":
        smooth = differences(replace(spec, activation="sigmoid"), reference, peer, dtype, CHECKED_STEPS[dtype])
        found = {**smooth, "loss": float(np.max([found["loss"], smooth["loss"]]))}
    return found


def differences(spec: Spec, reference: type[Peer], peer: type[Peer], dtype: str, steps: int) -> dict[str, float]:
    """Train two a few steps from the same weights on the same batches; return what differs by how much.

    Returns
    -------
    dict of str to float
        The largest relative difference, see `distance`, of each of `KINDS`.
    """
    peer.forget()
    weights = draw_weights(spec, dtype)
    found = dict.fromkeys(KINDS, 0.0)
    with peer.precision(dtype):
        ours, theirs = reference(spec, weights), peer(spec, weights)
        for x, y in draw_batches(spec, steps, dtype):
            expected, our_gradients = ours.checked_step(*ours.prepare(x, y))
            loss, gradients = theirs.checked_step(*theirs.prepare(x, y))
            pairs = {
                "loss": [(np.array(loss), np.array(expected))],
                "gradients": matched(gradients, our_gradients),
                "weights and statistics": matched(theirs.arrays(), ours.arrays()),
            }
            for kind, arrays in pairs.items():
                # np.max, unlike max, returns a nan
                found[kind] = float(np.max([found[kind], *(distance(a, b) for a, b in arrays)]))
    return found


def distance(a: Array, b: Array) -> float:
    """Return the Euclidean norm of a - b over that of b; nan if either has one."""
    size = float(np.linalg.norm(b))
    return float(np.linalg.norm(np.asarray(a, np.float64) - b)) / (size if size > 0 else 1.0)


def matched(theirs: Mapping[str, Array], ours: Mapping[str, Array]) -> list[tuple[Array, Array]]:
    """Pair arrays by name; raise ValueError unless both have the same names and shapes."""
    shapes, expected = ({k: v.shape for k, v in arrays.items()} for arrays in (theirs, ours))
    if shapes != expected:
        raise ValueError(f"a peer's arrays are {shapes}, tinynet's {expected}")
    return [(theirs[name], ours[name]) for name in ours]
