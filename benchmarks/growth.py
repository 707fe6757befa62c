"""Part: how the time of a step grows with depth, width and batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from benchmarks import steps
from benchmarks.measure import Group, Pace, in_turns
from benchmarks.peer import Peer
from benchmarks.spec import Spec

TITLE = "How a step grows"
NOTE = (
    "A network of 784 inputs with batch norm and ReLU: 3 hidden layers of 100 units, batch 60, but for the one number "
    "that varies; without torch.compile, which takes minutes to compile a hundred layers. The exponent is the slope "
    "of a straight line through the medians on log axes, over the upper half of the range: 1 means twice the size, "
    "twice the time."
)
DEPTH, WIDTH, BATCH = 3, 100, 60
SIZES = {
    "depth": (1, 2, 5, 10, 20, 50, 100),
    "width": (16, 64, 256, 1024, 4096),
    "batch": (2, 8, 32, 128, 512, 2048, 4096),
}
QUICK_SIZES = {"depth": (1, 5), "width": (16, 128), "batch": (2, 64)}
PEERS = ("tinynet", "torch", "jax", "numpy")
ROUNDS = 7


def measure(peers: Mapping[str, type[Peer]], pace: Pace) -> Iterator[Group]:
    """Time every size of everything that varies."""
    chosen = {name: peers[name] for name in PEERS if name in peers}
    fewer = Pace(min(ROUNDS, pace.rounds), pace.turn / 2, pace.rest, pace.quick)
    for varied, sizes in (QUICK_SIZES if pace.quick else SIZES).items():
        for size in sizes:
            found = steps.runs(spec(varied, size), chosen, floor=False)
            yield Group("growth", f"{varied} {size}", in_turns(found, fewer), {"varied": varied, "size": size})


def spec(varied: str, size: int) -> Spec:
    """Return the network with one number set."""
    numbers = {"depth": DEPTH, "width": WIDTH, "batch": BATCH} | {varied: size}
    hidden = (numbers["width"],) * numbers["depth"]
    return Spec(f"{varied} {size}", 784, hidden, 10, "relu", numbers["batch"], batch_norm=True)


def curves(groups: Sequence[Group], varied: str) -> dict[str, tuple[list[int], list[float]]]:
    """Return sizes and median seconds of a step, by peer."""
    chosen = [group for group in groups if group.setting.get("varied") == varied]
    names = dict.fromkeys(name for group in chosen for name in group.times)
    sizes = [int(group.setting["size"]) for group in chosen]
    return {name: (sizes, [group.median(name) for group in chosen]) for name in names}


def exponent(sizes: Sequence[int], times: Sequence[float]) -> tuple[float, int]:
    """Return the slope on log axes over the upper half of the range, and the size where that begins."""
    middle = np.sqrt(sizes[0] * sizes[-1])
    upper = [k for k, size in enumerate(sizes) if size >= middle]
    upper = upper if len(upper) > 1 else list(range(len(sizes)))[-2:]
    slope, _ = np.polyfit(np.log([sizes[k] for k in upper]), np.log([times[k] for k in upper]), 1)
    return float(slope), sizes[upper[0]]
