"""The same training step with ``torch.compile``."""

from __future__ import annotations

from collections.abc import Mapping

import benchmarks.torch_peer
from benchmarks.peer import UnusableError
from benchmarks.spec import Array, Spec
from benchmarks.torch_peer import torch


class Peer(benchmarks.torch_peer.Peer):
    """As PyTorch eager, the network compiled."""

    how = "as PyTorch eager, the network given to `torch.compile` with its default settings"

    def __init__(self, spec: Spec, weights: Mapping[str, Array]) -> None:
        super().__init__(spec, weights)
        self.call = torch.compile(self.net)

    @classmethod
    def forget(cls) -> None:
        # PyTorch would take another network of other shapes as a sign to compile for any shape, which is slower
        torch.compiler.reset()


def _try() -> None:
    """Compile a trifle: that needs a C++ compiler."""
    x = torch.ones(2, requires_grad=True)
    try:
        torch.compile(lambda x: torch.relu(x) * 2)(x).sum().backward()
    except Exception as error:  # whatever it is
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UnusableError(f"torch.compile does not work here ({reason})") from None


_try()
