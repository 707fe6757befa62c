"""Part: a whole epoch over MNIST, with the way each library brings its batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.measure import Group, Pace, Run, in_turns
from benchmarks.peer import Peer
from benchmarks.spec import PAPER, Array, Spec, draw_weights

TITLE = "A whole epoch"
NOTE = (
    "One pass over MNIST's 60,000 training images in a new random order, the paper network, batch 60: 1,000 steps, "
    "with shuffling and the making of batches; the loss of every step is fetched. *tinynet* is `fit` as it comes, "
    "with a history; *fit, probe and bar* has a `Probe` and a progress bar besides; *steps alone* is as many steps on "
    "one batch."
)
QUICK_EXAMPLES, ROUNDS = 600, 7  # an epoch takes a second or so


def measure(peers: Mapping[str, type[Peer]], pace: Pace, specs: Sequence[Spec] = PAPER) -> Iterator[Group]:
    """Time the paper network with and without batch norm."""
    import tinynet as tn

    train, _ = tn.datasets.mnist()
    examples = QUICK_EXAMPLES if pace.quick else len(train)
    x, y = train.x[:examples], train.y[:examples]
    once = Pace(min(ROUNDS, pace.rounds), 0.0, pace.rest, pace.quick)
    for spec in specs:
        yield Group("epoch", spec.title, in_turns(runs(spec, peers, x, y), once), {"examples": examples})


def runs(spec: Spec, peers: Mapping[str, type[Peer]], x: Array, y: Array) -> dict[str, Run]:
    """Return a run of epochs for each peer and each of its pipelines; tinynet's first is called just "tinynet"."""
    found: dict[str, Run] = {}
    for name, peer in peers.items():
        if peer.can(spec):
            peer.forget()
            for pipeline in peer.pipelines:
                title = name if pipeline == "fit" else f"{name} ({pipeline})"
                found[title] = epochs(peer(spec, draw_weights(spec)), x, y, pipeline)
    return found


def epochs(peer: Peer, x: Array, y: Array, pipeline: str) -> Run:
    """Return a run of epochs."""

    def run(repetitions: int) -> None:
        for _ in range(repetitions):
            peer.epoch(x, y, pipeline)

    return run
