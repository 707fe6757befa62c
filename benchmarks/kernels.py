"""Part: batch norm with an activation alone, beside PyTorch's and beside copying the array."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from benchmarks.measure import Group, Pace, Run, in_turns, repeated
from benchmarks.peer import Peer

TITLE = "Batch norm and activation alone"
NOTE = (
    "Batch norm in training, running statistics included, then the activation; backward to the input, gamma and beta. "
    "PyTorch: `F.batch_norm`, `torch.relu` or `torch.sigmoid`, and `torch.autograd.grad`. *copy* is `np.copyto` of an "
    "array of the same shape: one read and one write of memory."
)
SHAPES = ((60, 100), (256, 1024), (4096, 1024))
ACTIVATIONS = ("relu", "sigmoid")
COPY, BOTH = "copy", "forward and backward"


def measure(peers: Mapping[str, type[Peer]], pace: Pace) -> Iterator[Group]:
    """Time every shape and activation: forward, and forward with backward."""
    for shape in SHAPES[:1] if pace.quick else SHAPES:
        for activation in ACTIVATIONS:
            forward, both = runs(shape, activation, peers)
            for what, found in (("forward", forward), (BOTH, both)):
                work = f"{shape} {activation}, {what}"
                setting = {"shape": list(shape), "activation": activation, "what": what}
                yield Group("kernels", work, in_turns(found, pace), setting)


def runs(
    shape: tuple[int, int], activation: str, peers: Mapping[str, type[Peer]]
) -> tuple[dict[str, Run], dict[str, Run]]:
    """Return runs of forward, and runs of forward and backward, by name.

    Raises
    ------
    ValueError
        If PyTorch's gradient of the input is another.
    """
    from benchmarks import tinynet_peer

    rng = np.random.default_rng(0)
    x, dy = rng.normal(0, 1, shape).astype(np.float32), rng.normal(0, 1, shape).astype(np.float32)
    calls = {"tinynet": tinynet_peer.normalized(x, dy, activation)}
    if "torch" in peers:
        from benchmarks import torch_peer

        calls["torch"] = torch_peer.normalized(x, dy, activation)
        ours, theirs = calls["tinynet"][1](), calls["torch"][1]()
        if not np.allclose(ours, theirs[0].numpy(), atol=1e-4):  # type: ignore[arg-type,index]
            raise ValueError(f"batch norm and {activation}: PyTorch's gradient is another")
    target = np.empty_like(x)
    copy = repeated(lambda: np.copyto(target, x))
    forward = {name: repeated(pair[0]) for name, pair in calls.items()}
    both = {name: repeated(pair[1]) for name, pair in calls.items()}
    return {**forward, COPY: copy}, {**both, COPY: copy}
