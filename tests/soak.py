"""Does memory stay flat? An hour's worth of steps of a small network, then a thousand networks built and dropped.

``python -m tests.soak [--steps N] [--networks N] [--out FILE]``; ``python -m tests.fuzz --soak FILE`` puts what
it found into docs/reliability.md.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tinynet as tn
from benchmarks import measure
from benchmarks.peers import load
from tinynet import files

PAPER = (784, [100, 100, 100], 10, 60)  # inputs, hidden, outputs, batch: of the paper, whose steps fill the hour
SMALL = (4, [8], 3, 16)  # of what makes them instead
SAMPLES = 100
NETWORKS = 1000
SETTLED = 0.2  # of the samples go by before memory is expected to stay where it is


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both; return 0."""
    parser = argparse.ArgumentParser("python -m tests.soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, help="default: as many as the paper's network makes in an hour")
    parser.add_argument("--networks", type=int, default=NETWORKS, help=f"default {NETWORKS}")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write every sample as JSON")
    options = parser.parse_args(arguments)
    if not Path("/proc/self/statm").exists():
        print("soak: this system does not tell a process's memory in /proc", file=sys.stderr)
        return 2
    environment = measure.environment(load("tinynet").packages)
    print("\n".join(measure.described(environment)))
    found = {
        "environment": environment,
        "arguments": chosen(options),
        "steps": steps(options.steps or round(3600 / seconds_per_paper_step())),
        "networks": networks(options.networks),
    }
    print(section(found))
    if options.out:
        files.write_json(options.out, found)
        print(f"written: {options.out}")
    return 0


def chosen(options: argparse.Namespace) -> list[str]:
    """Return the arguments that change what is measured."""
    steps = [] if options.steps is None else [f"--steps={options.steps}"]
    return steps + ([] if options.networks == NETWORKS else [f"--networks={options.networks}"])


def section(content: dict[str, Any]) -> str:
    """Return the page's part about memory, from what ``--out`` wrote."""
    about = content["environment"]
    command = " ".join(["python -m tests.soak", *content["arguments"]])
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    rows = []
    for what in ("steps", "networks"):
        found = content[what]
        settled, *_, end = found["resident"][int(SETTLED * len(found["resident"])) :]
        rows.append(
            f"| {found[what]:,} {what} | {found['seconds']:.0f} | {settled / 1e6:.1f} | {end / 1e6:.1f} | "
            f"{found['growth'] / 1e6:+.2f} |"
        )
    return f"""\
A small network is trained in one `fit`; at each of {SAMPLES} records it is also calibrated, folded, saved, loaded and
evaluated. Then networks of ten shapes are built, trained for a step and dropped. The memory is settled after
{SETTLED:.0%} of the samples; growth is by how much the largest sample of the second half from there on exceeds the
largest of the first. Every run of the tests does a short form ([tests/test_soak.py](../tests/test_soak.py)).

`{command}` on {about["date"]}, {about["machine"]}, Python {about["python"]}, {versions}:

| made | seconds | resident MB, settled | resident MB, at the end | growth MB |
| --- | --- | --- | --- | --- |
{chr(10).join(rows)}

After the last network Python's own allocations stand {content["networks"]["traced growth"] / 1e3:+.1f} kB from where
they were, by the same measure.
"""


def seconds_per_paper_step() -> float:
    """Return the median time of a training step of the paper's network, as the benchmark has it."""
    net, data = task(PAPER)
    times: list[float] = []

    class Clock(tn.Callback):
        def on_step(self, run: tn.Run) -> None:
            times.append(time.perf_counter())

    tn.fit(net, data, steps=500, batch_size=PAPER[-1], seed=0, callbacks=[Clock()])
    return float(np.median(np.diff(times[100:])))


def task(sizes: tuple[int, list[int], int, int], seed: int = 0) -> tuple[tn.Network, tn.Dataset]:
    """Return a network with batch normalization and twenty batches of noise for it."""
    inputs, hidden, outputs, batch = sizes
    rng = np.random.default_rng(seed)
    data = tn.Dataset(rng.normal(size=(20 * batch, inputs)).astype("float32"), rng.integers(0, outputs, 20 * batch))
    return tn.mlp(inputs, hidden, outputs, activation="sigmoid", norm="batch", seed=seed), data


class Sample(tn.Callback):
    """At each record do what a user does beside training, and note the memory in use."""

    def __init__(self, data: tn.Dataset, path: Path) -> None:
        self.data, self.path, self.resident = data, path, list[int]()

    def on_record(self, run: tn.Run) -> None:
        run.net.calibrate(self.data.x)
        run.net.fold().save(self.path)
        tn.evaluate(tn.load(self.path), self.data)
        self.resident.append(resident())


def steps(count: int) -> dict[str, Any]:
    """Train a small network for so many steps in one `fit`, all its doings included."""
    net, data = task(SMALL)
    optimizer = tn.SGD(tn.Cosine(0.1, steps=count), momentum=0.9)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        sample = Sample(data, Path(folder) / "net.safetensors")
        history = tn.fit(
            net, data, validation=data, optimizer=optimizer, steps=count, batch_size=SMALL[-1], seed=0,
            validate_every=max(1, count // SAMPLES), callbacks=[sample],
        )  # fmt: skip
    assert not history.diverged
    seconds = time.perf_counter() - start
    return {"steps": count, "seconds": seconds, "growth": growth(sample.resident), "resident": sample.resident}


def networks(count: int) -> dict[str, Any]:
    """Build so many networks of ten different shapes, train each for a step and drop it."""
    data = task((784, [], 10, 3))[1]
    samples: list[int] = []
    traced: list[int] = []
    start = time.perf_counter()
    tracemalloc.start()
    for k in range(count):
        net = tn.mlp(784, [50 + 10 * (k % 10)] * 2, 10, activation="sigmoid", norm="batch", dropout=0.1, seed=k)
        tn.fit(net, data, steps=1, batch_size=60, seed=0, optimizer=tn.SGD(0.1, momentum=0.9))
        del net
        if (k + 1) % max(1, count // SAMPLES) == 0:
            samples.append(resident())  # before the garbage collector has been called
            gc.collect()
            traced.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    return {
        "networks": count,
        "seconds": time.perf_counter() - start,
        "growth": growth(samples),
        "traced growth": growth(traced),
        "resident": samples,
        "traced": traced,
    }


def growth(samples: Sequence[int]) -> int:
    """Return by how much the largest sample of the last half exceeds the largest of those before, once settled."""
    settled = samples[int(SETTLED * len(samples)) :]
    half = len(settled) // 2
    return max(settled[half:]) - max(settled[:half])


def resident() -> int:
    """Return the memory of this process that is in use, in bytes (Linux)."""
    import resource

    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    sys.exit(main())
