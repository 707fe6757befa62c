"""Part: one training step, beside the peers and beside its matrix products alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from benchmarks.measure import Group, Pace, Run, in_turns, repeated
from benchmarks.peer import Peer
from benchmarks.spec import FLOOR, QUICK_SPECS, SPECS, Spec, draw_batches, draw_weights
from benchmarks.tinynet_peer import products

TITLE = "One training step"
NOTE = (
    "Forward, loss, backward, update by SGD with momentum; the loss is fetched as a Python number by everyone. The "
    "batch is already in each library's own kind of array. *Matrix products* are those of the step and nothing else: "
    "same BLAS, shapes and dtype."
)


def measure(peers: Mapping[str, type[Peer]], pace: Pace) -> Iterator[Group]:
    """Time every network."""
    for spec in QUICK_SPECS if pace.quick else SPECS:
        yield Group("steps", spec.title, in_turns(runs(spec, peers), pace), {"batch": spec.batch})


def runs(spec: Spec, peers: Mapping[str, type[Peer]], floor: bool = True) -> dict[str, Run]:
    """Return a run of training steps for each peer that can do it, and the floor."""
    weights = draw_weights(spec)
    found: dict[str, Run] = {}
    for name, peer in peers.items():
        if peer.can(spec):
            peer.forget()
            found[name] = training(peer(spec, weights))
    if floor:
        found[FLOOR] = repeated(products(spec))
    return found


def training(peer: Peer) -> Run:
    """Return a run of steps over a few batches in rotation."""
    batches = itertools.cycle([peer.prepare(x, y) for x, y in draw_batches(peer.spec)])

    def run(repetitions: int) -> None:
        for x, y in itertools.islice(batches, repetitions):
            peer.step(x, y)
        peer.wait()

    return run
