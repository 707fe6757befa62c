"""One small training and the hash of what it ends with: for threads, processes and notebooks to do alike.

``python -m tests.small_training '{"seed": 1}'`` prints it.
"""

import hashlib
import json
import sys
from collections.abc import Sequence
from typing import Literal

import numpy as np

import tinynet as tn

SIZES = {  # inputs, hidden, batch, steps
    "narrow": (20, [30, 30], 16, 300),
    "wide": (784, [1024], 256, 8),  # products that a BLAS shares among threads
}


def digest(
    seed: int = 0,
    dtype: Literal["float32", "float64"] = "float32",
    norm: Literal["batch"] | None = "batch",
    networks: Sequence[str] = tuple(SIZES),
) -> str:
    """Train a narrow and a wide network, or one of them, and return the hash of their arrays."""
    rng, content = np.random.default_rng(seed), hashlib.sha256()
    for inputs, hidden, batch, steps in map(SIZES.__getitem__, networks):
        data = tn.Dataset(rng.normal(size=(2 * batch, inputs)).astype(dtype), np.arange(2 * batch) % 5)
        net = tn.mlp(inputs, hidden, 5, activation="sigmoid", norm=norm, dropout=0.1, seed=seed, dtype=dtype)
        optimizer = tn.SGD(0.1, momentum=0.9)
        tn.fit(net, data, validation=data, steps=steps, batch_size=batch, seed=seed, optimizer=optimizer)
        for array in (*net.params.values(), *net.state.values()):
            content.update(array.tobytes())
    return content.hexdigest()


if __name__ == "__main__":
    print(digest(**json.loads("".join(sys.argv[1:]) or "{}")))
