"""Part: matrix products on one thread and on all, by size: what `tinynet.machinery.pace` decides about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks import tinynet_peer
from benchmarks.measure import Group, Pace, in_turns
from benchmarks.peer import Peer

TITLE = "One thread or all"
NOTE = (
    "The three products of one dense layer, forward and backward, float32, one after the other; the size is batch x "
    "inputs x units. This is what all threads gain alone and on an idle machine. Where another process keeps a core "
    "busy, the threads wait, in circles, for the one that has to share its core, and take longer than one. So tinynet "
    "takes one, unless somebody chose the number of threads, and tries all now and then: for products of more than "
    "4 Mi multiplications whose bits do not depend on it, as long as the step takes less time (`machinery/pace.py`)."
)
SHAPES = ((60, 100, 100), (60, 200, 200), (60, 784, 100), (128, 256, 256), (256, 512, 512), (256, 1024, 1024))
ONE, ALL = "one thread", "all threads"


def measure(peers: Mapping[str, type[Peer]], pace: Pace) -> Iterator[Group]:
    """Time every size; nothing, if the number of threads cannot be set."""
    for batch, inputs, units in SHAPES[:2] if pace.quick else SHAPES:
        runs = tinynet_peer.layer_products(batch, inputs, units)
        if runs is None:
            return
        work = f"{batch} x {inputs} x {units}: {batch * inputs * units / 2**20:.1f} Mi multiplications"
        setting = {"batch": batch, "inputs": inputs, "units": units}
        yield Group("threads", work, in_turns(dict(zip((ONE, ALL), runs, strict=True)), pace), setting)


def rows(groups: list[Group]) -> list[list[str]]:
    """Return the table: a row for each size."""
    from benchmarks import text

    found = [["a layer's three products", ONE, ALL, "one over all", "quartiles"]]
    for group in groups:
        times = [text.duration(group.median(name)) for name in (ONE, ALL)]
        spread = " - ".join(text.ratio(q) for q in group.spread(ALL, ONE))
        found.append([group.work, *times, text.ratio(group.ratio(ALL, ONE)), spread])
    return found
