"""The check before any timing: do the peers compute the same?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.peers import Peer
from benchmarks.spec import Array, Spec, draw_batches, draw_weights

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
