"""What examples left over from whole batches cost with batch normalization, by what is done with them.

``python -m tests.last_batch`` writes the table of docs/how_to/settings.md; some two minutes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

import tinynet as tn
from benchmarks.spec import Array
from tinynet import files, progress

PAGE = Path(__file__).parents[1] / "docs" / "how_to" / "settings.md"
START = "<!-- From here on written by `python -m tests.last_batch`. -->\n"
END = "<!-- Written until here. -->\n"
EXAMPLES, SIZE, EPOCHS, SEEDS = 6000, 60, 5, 10
RESTS = (0, 1, 2, 3, 5, 10, 20, 30, 40)

Split = Callable[[Array, int], list[Array]]


def own(order: Array, size: int) -> list[Array]:
    """Make the rest a batch; but one example, which has no variance, is left out."""
    batches = [order[k : k + size] for k in range(0, len(order), size)]
    return batches if len(batches[-1]) > 1 else batches[:-1]


def left_out(order: Array, size: int) -> list[Array]:
    """Leave the rest out of this epoch."""
    return [order[k : k + size] for k in range(0, len(order) - size + 1, size)]


def joined(order: Array, size: int) -> list[Array]:
    """Put the rest into the last whole batch."""
    batches = left_out(order, size)
    return [*batches[:-1], order[(len(batches) - 1) * size :]]


def equal(order: Array, size: int) -> list[Array]:
    """Make as many batches as with the rest on its own, of sizes that differ by one at most."""
    return np.array_split(order, -(-len(order) // size))


SPLITS: dict[str, Split] = {
    "a batch of its own": own,
    "left out": left_out,
    "joins the last whole batch": joined,
    "all batches made equal": equal,
}


def by_hand(net: tn.Network, train: tn.Dataset, split: Split, epochs: int, seed: int) -> None:
    """Train as `tinynet.fit` does, but for how an epoch is cut into batches."""
    rng, loss, optimizer = np.random.default_rng(seed), tn.SoftmaxCrossEntropy(), tn.SGD(lr=0.1)
    for _ in range(epochs):
        for rows in split(rng.permutation(len(train)), SIZE):
            outputs = net.forward(train.x[rows], training=True)
            net.backward(loss(outputs, train.y[rows])[1])
            optimizer.step(net.params, net.grads)


def accuracy(train: tn.Dataset, test: tn.Dataset, split: Split | None, seed: int) -> float:
    """Return the test accuracy in percent after training, by `tinynet.fit` where there is no split."""
    net = tn.mlp(784, [50] * 4, 10, norm="batch", seed=seed)
    if split is None:
        tn.fit(net, train, optimizer=tn.SGD(lr=0.1), epochs=EPOCHS, batch_size=SIZE, seed=seed)
    else:
        by_hand(net, train, split, EPOCHS, seed)
    return 100 * tn.evaluate(net, test)[1]


def measure(rests: Sequence[int] = RESTS, seeds: int = SEEDS) -> dict[int, dict[str, list[float]]]:
    """Return, by number of examples left over and by what is done with them, the accuracy of each seed."""
    train, test = tn.datasets.mnist()
    ways: dict[str, Split | None] = {**SPLITS, "`tn.fit`": None}
    found: dict[int, dict[str, list[float]]] = {}
    with threadpool_limits(1), progress.bar(len(rests) * len(ways) * seeds, "last batch", unit=" runs") as bar:
        for rest in rests:
            for name, split in ways.items():
                for seed in range(seeds):
                    reached = accuracy(train[: EXAMPLES + rest], test, split, seed)
                    found.setdefault(rest, {}).setdefault(name, []).append(reached)
                    bar.update(1)
    return found


def table(found: dict[int, dict[str, list[float]]]) -> str:
    """Return the table in Markdown: means, and the lowest seed in brackets."""
    header = ["left over", *next(iter(found.values()))]
    rows = [
        [str(rest), *(f"{statistics.mean(a):.1f} ({min(a):.1f})" for a in by_way.values())]
        for rest, by_way in found.items()
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, ["--:"] * len(header), *rows])


def section(found: dict[int, dict[str, list[float]]]) -> str:
    """Return the table with a sentence that says what it is."""
    seeds = len(next(iter(next(iter(found.values())).values())))
    return (
        f'Test accuracy in percent of `tn.mlp(784, [50] * 4, 10, norm="batch")` after {EPOCHS} epochs of MNIST\'s '
        f"first {EXAMPLES:,} images and so many more, batches of {SIZE}: the mean over {seeds} seeds "
        f"and, in brackets, the lowest.\n\n{table(found)}\n"
    )


def page(old: str, found: dict[int, dict[str, list[float]]]) -> str:
    """Return the page with the table written anew; raise ValueError without the marks."""
    before, start, rest = old.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError(f"{PAGE.name}: needs the lines {START.strip()} and {END.strip()}, in this order")
    return f"{before}{START}\n{section(found)}\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write; return 0."""
    parser = argparse.ArgumentParser("python -m tests.last_batch", description=(__doc__ or "").splitlines()[0])
    parser.parse_args(arguments)
    found = measure()
    print(table(found))
    files.write_text(PAGE, page(PAGE.read_text(encoding="utf-8"), found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
