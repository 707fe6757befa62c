"""Part: predictions of the paper network, plain, batch-normalized and folded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from benchmarks.check import difference
from benchmarks.measure import Group, Pace, Run, in_turns
from benchmarks.peer import Peer
from benchmarks.spec import PAPER, Array, Spec, draw_batches, draw_weights
from benchmarks.tinynet_peer import Peer as Tinynet

TITLE = "Inference"
NOTE = (
    "Logits of the paper network for one batch. *folded* is the batch-normalized network with batch norm multiplied "
    "into its Dense layers by `tinynet`'s `fold`; the peers take the folded weights, so that the work is the same. "
    "scikit-learn also takes the softmax. Before timing, every output was compared with tinynet's."
)
BATCHES = (1, 60, 4096)
TOLERANCE = 1e-3  # float32, after three training steps


def measure(peers: Mapping[str, type[Peer]], pace: Pace, spec: Spec = PAPER[1]) -> Iterator[Group]:
    """Time each batch size: every network of every peer in turns."""
    trained = Tinynet(spec, draw_weights(spec))
    for x, y in draw_batches(spec, 3):  # statistics other than 0 and 1
        trained.step(x, y)
    normalized = trained.arrays()
    for batch in BATCHES:
        wanted = replace(spec, batch=batch)
        for peer in peers.values():
            peer.forget()
        found = runs(wanted, peers, normalized, trained.folded())
        yield Group("inference", f"batch {batch}", in_turns(found, pace), {"batch": batch})


def runs(
    spec: Spec, peers: Mapping[str, type[Peer]], normalized: Mapping[str, Array], folded: Mapping[str, Array]
) -> dict[str, Run]:
    """Return a run of predictions for each peer and network, named such as "torch, folded".

    Raises
    ------
    ValueError
        If a peer's outputs are not tinynet's.
    """
    (x, y), *_ = draw_batches(spec, 1)
    networks = {
        "plain": (spec.plain, draw_weights(spec.plain)),
        "batch norm": (spec, normalized),
        "folded": (spec.plain, folded),
    }
    found: dict[str, Run] = {}
    for network, (shape, arrays) in networks.items():
        expected = None
        for name, peer in peers.items():
            if not peer.can(shape):
                continue
            one = peer(shape, arrays)
            prepared, _ = one.prepare(x, y)
            with one.inference():
                outputs = probabilities(np.array(one.predict(prepared)), one.softmaxed)
            expected = outputs if expected is None else expected
            if not difference(outputs, expected) <= TOLERANCE:
                raise ValueError(f"{name}: the {network} network predicts something else than tinynet's")
            found[f"{name}, {network}"] = predictions(one, prepared)
    return found


def probabilities(outputs: Array, softmaxed: bool) -> Array:
    """Return the softmax of logits, or what is one already."""
    if softmaxed:
        return outputs
    powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    softmax: Array = powers / powers.sum(axis=1, keepdims=True)
    return softmax


def predictions(peer: Peer, x: object) -> Run:
    """Return a run of predictions of one batch."""

    def run(repetitions: int) -> None:
        with peer.inference():
            for _ in range(repetitions):
                peer.predict(x)

    return run
