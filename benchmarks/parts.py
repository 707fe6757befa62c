"""The parts of the measurement: what each of them times in turns, and the words for it on the page."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from benchmarks import processes
from benchmarks.measure import ALL, COPY, Group, Pace, Run, in_turns, repeated
from benchmarks.peers import Peer
from benchmarks.peers import tinynet as ours
from benchmarks.spec import PAPER, QUICK_SPECS, SPECS, Array, Spec, distance, draw_batches, draw_weights

Peers = Mapping[str, type[Peer]]

EXAMPLES, QUICK_EXAMPLES = 60_000, 600  # of MNIST's training set, in an epoch
BATCHES = (1, 60, 4096)  # of predictions
TOLERANCE = 1e-3  # of predictions, relative: float32, after three training steps
NORMALIZED = ((60, 100), (256, 1024), (4096, 1024))  # arrays that batch norm is timed on: batch x features
BOTH = "forward and backward"
# a dense layer's batch, inputs and units
LAYERS = ((60, 100, 100), (60, 200, 200), (60, 784, 100), (128, 256, 256), (256, 512, 512), (256, 1024, 1024))
SIZES = {
    "depth": (1, 2, 5, 10, 20, 50, 100),
    "width": (16, 64, 256, 1024, 4096),
    "batch": (2, 8, 32, 128, 512, 2048, 4096),
}
QUICK_SIZES = {"depth": (1, 5), "width": (16, 128), "batch": (2, 64)}
GROWING = ("tinynet", "torch", "jax", "numpy")  # torch.compile takes minutes to compile a hundred layers
FEWER = 7  # rounds of what takes long


# -- whole networks ---------------------------------------------------------------------------------------------------


def steps(peers: Peers, pace: Pace) -> Iterator[Group]:
    """Time a training step of every network, beside its matrix products."""
    for spec in QUICK_SPECS if pace.quick else SPECS:
        runs = {**training_runs(spec, peers), **ours.limit(spec)}
        yield Group("steps", spec.title, {"batch": spec.batch}, in_turns(runs, pace))


def training_runs(spec: Spec, peers: Peers) -> dict[str, Run]:
    """Return a run of training steps for each peer that can do it."""
    weights = draw_weights(spec)
    found: dict[str, Run] = {}
    for name, peer in peers.items():
        if peer.can(spec):
            peer.forget()
            found[name] = training(peer(spec, weights))
    return found


def training(peer: Peer) -> Run:
    """Return a run of steps over a few batches in rotation."""
    batches = itertools.cycle([peer.prepare(x, y) for x, y in draw_batches(peer.spec)])

    def run(repetitions: int) -> None:
        for x, y in itertools.islice(batches, repetitions):
            peer.step(x, y)
        peer.wait()

    return run


def epochs(peers: Peers, pace: Pace) -> Iterator[Group]:
    """Time a pass over MNIST by each peer's pipelines; tinynet's first, `fit`, is called just "tinynet"."""
    import tinynet as tn

    train, _ = tn.datasets.mnist()
    examples = QUICK_EXAMPLES if pace.quick else EXAMPLES
    x, y = train.x[:examples], train.y[:examples]
    fewer = replace(pace, rounds=min(FEWER, pace.rounds), turn=0.0)
    for spec in PAPER:
        runs: dict[str, Run] = {}
        for name, peer in peers.items():
            if peer.can(spec):
                peer.forget()
                for pipeline in peer.pipelines:
                    title = name if pipeline == "fit" else f"{name} ({pipeline})"
                    runs[title] = passing(peer(spec, draw_weights(spec)), x, y, pipeline)
        runs |= ours.limit(spec, times=-(-examples // spec.batch))
        yield Group("epoch", spec.title, {"examples": examples}, in_turns(runs, fewer))


def passing(peer: Peer, x: Array, y: Array, pipeline: str) -> Run:
    """Return a run of epochs."""
    return repeated(lambda: peer.epoch(x, y, pipeline))


def predictions(peers: Peers, pace: Pace, spec: Spec = PAPER[1]) -> Iterator[Group]:
    """Time predictions of each batch size: every network of every peer in turns, beside the matrix products."""
    trained = ours.Peer(spec, draw_weights(spec))
    for x, y in draw_batches(spec, 3):  # statistics other than 0 and 1
        trained.step(x, y)
    normalized = trained.arrays()
    for batch in BATCHES:
        wanted = replace(spec, batch=batch)
        for peer in peers.values():
            peer.forget()
        runs = {**prediction_runs(wanted, peers, normalized, trained.folded()), **ours.limit(wanted, training=False)}
        yield Group("inference", f"batch {batch}", {"batch": batch}, in_turns(runs, pace))


def prediction_runs(
    spec: Spec, peers: Peers, normalized: Mapping[str, Array], folded: Mapping[str, Array]
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
            if not distance(outputs, expected) <= TOLERANCE:
                raise ValueError(f"{name}: the {network} network predicts something else than tinynet's")
            found[f"{name}, {network}"] = predicting(one, prepared)
    return found


def probabilities(outputs: Array, softmaxed: bool) -> Array:
    """Return the softmax of logits, or what is one already."""
    if softmaxed:
        return outputs
    powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    softmax: Array = powers / powers.sum(axis=1, keepdims=True)
    return softmax


def predicting(peer: Peer, x: object) -> Run:
    """Return a run of predictions of one batch."""

    def run(repetitions: int) -> None:
        with peer.inference():
            for _ in range(repetitions):
                peer.predict(x)

    return run


def growth(peers: Peers, pace: Pace) -> Iterator[Group]:
    """Time a step at every size of everything that varies."""
    chosen = {name: peers[name] for name in GROWING if name in peers}
    fewer = replace(pace, rounds=min(FEWER, pace.rounds), turn=pace.turn / 2)
    for varied, sizes in (QUICK_SIZES if pace.quick else SIZES).items():
        for size in sizes:
            numbers = {"depth": 3, "width": 100, "batch": 60} | {varied: size}
            hidden = (numbers["width"],) * numbers["depth"]
            spec = Spec(f"{varied} {size}", 784, hidden, 10, "relu", numbers["batch"], batch_norm=True)
            times = in_turns(training_runs(spec, chosen), fewer)
            yield Group("growth", spec.name, {"varied": varied, "size": size}, times)


# -- what a step is made of -------------------------------------------------------------------------------------------


def breakdown(_: Peers, pace: Pace) -> Iterator[Group]:
    """Time every network's step, and each of its kernels."""
    for spec in QUICK_SPECS if pace.quick else SPECS:
        weights = draw_weights(spec)
        kernels = ours.kernels_of_a_step(spec, weights)
        runs = {"tinynet": training(ours.Peer(spec, weights)), **{name: run for name, (run, _) in kernels.items()}}
        calls = {name: count for name, (_, count) in kernels.items()}
        yield Group("breakdown", spec.title, {"batch": spec.batch, "calls": calls}, in_turns(runs, pace))


def kernels(peers: Peers, pace: Pace) -> Iterator[Group]:
    """Time batch norm with an activation on every shape: forward, and forward with backward."""
    for shape in NORMALIZED[:1] if pace.quick else NORMALIZED:
        for activation in ("relu", "sigmoid"):
            for what, runs in zip(("forward", BOTH), kernel_runs(shape, activation, peers), strict=True):
                setting = {"shape": list(shape), "activation": activation, "what": what}
                yield Group("kernels", f"{shape} {activation}, {what}", setting, in_turns(runs, pace))


def kernel_runs(shape: tuple[int, int], activation: str, peers: Peers) -> tuple[dict[str, Run], dict[str, Run]]:
    """Return runs of forward, and runs of forward and backward, by name.

    Raises
    ------
    ValueError
        If PyTorch's gradient of the input is another.
    """
    rng = np.random.default_rng(0)
    x, dy = rng.normal(0, 1, shape).astype(np.float32), rng.normal(0, 1, shape).astype(np.float32)
    calls = {"tinynet": ours.normalized(x, dy, activation)}
    if "torch" in peers:
        from benchmarks.peers import torch

        calls["torch"] = torch.normalized(x, dy, activation)
        expected, found = calls["tinynet"][1](), calls["torch"][1]()
        if not np.allclose(expected, found[0].numpy(), atol=1e-4):  # type: ignore[arg-type,index]
            raise ValueError(f"batch norm and {activation}: PyTorch's gradient is another")
    target = np.empty_like(x)
    copy = {COPY: repeated(lambda: np.copyto(target, x))}
    forward = {name: repeated(pair[0]) for name, pair in calls.items()}
    both = {name: repeated(pair[1]) for name, pair in calls.items()}
    return {**forward, **copy}, {**both, **copy}


def threads(_: Peers, pace: Pace) -> Iterator[Group]:
    """Time a dense layer's products of every size on one thread and on all, if that is to be chosen."""
    for batch, inputs, units in LAYERS[:2] if pace.quick else LAYERS:
        x, weight, y = (
            np.random.default_rng(0).random(shape, "float32")
            for shape in ((batch, inputs), (inputs, units), (batch, units))
        )
        products = [(x, weight, y), (x.T, y.copy(), np.empty_like(weight)), (y.copy(), weight.T, np.empty_like(x))]
        if ALL in (runs := ours.on_threads(products)):
            work = f"{batch} x {inputs} x {units}: {batch * inputs * units / 2**20:.1f} Mi multiplications"
            setting = {"batch": batch, "inputs": inputs, "units": units}
            yield Group("threads", work, setting, in_turns(runs, pace))


@dataclass(frozen=True)
class Part:
    """A section of the page."""

    title: str
    note: str
    measure: Callable[[Peers, Pace], Iterator[Group]]


PARTS = {
    "steps": Part(
        "One training step",
        "Forward, loss, backward, update by SGD with momentum; everyone fetches the loss as a Python number. The "
        "batch is already in each library's own kind of array. *Matrix products* are those of the step and nothing "
        "else: same BLAS, shapes and dtype.",
        steps,
    ),
    "epoch": Part(
        "A whole epoch",
        f"One pass over MNIST's {EXAMPLES:,} training images in a new random order, the paper network, batch 60: "
        "1,000 steps, with shuffling and the making of batches; the loss of every step is fetched. *tinynet* is `fit` "
        "as it comes, with a history; *fit, probe and bar* has a `Probe` and a progress bar besides; *steps alone* is "
        "as many steps on one batch, *matrix products* those of as many steps.",
        epochs,
    ),
    "inference": Part(
        "Predictions",
        "Logits of the paper network for one batch. *folded* is the batch-normalized network with batch norm "
        "multiplied into its Dense layers by `tinynet`'s `fold`; the peers take the folded weights, so that the work "
        "is the same. scikit-learn also takes the softmax. Before timing, every output was compared with tinynet's.",
        predictions,
    ),
    "growth": Part(
        "How a step grows",
        "A network of 784 inputs with batch norm and ReLU: 3 hidden layers of 100 units, batch 60, but for the one "
        "number that varies; without torch.compile, which takes minutes to compile a hundred layers. The exponent is "
        "the slope of a straight line through the medians on log axes, over the upper half of the range: 1 means "
        "twice the size, twice the time.",
        growth,
    ),
    "start": Part(
        "Start",
        "*import* is that of all a training step needs, in a new Python, files in the system's cache. *first step* "
        "goes from the start of the Python process to the end of the first training step of the paper network with "
        "batch norm; *cold*: nothing that a library compiles is on disk yet; *warm*: the second time on a machine.",
        processes.start,
    ),
    "breakdown": Part(
        "Where a step's time goes",
        "All calls of one kernel in a step are replayed alone, on the arrays that they have in the step, in turns "
        "with the whole step. *All else* is the difference from the whole step: Python between the passes, and arrays "
        "that another kernel has pushed out of the cache; it is negative where kernels are faster among others.",
        breakdown,
    ),
    "kernels": Part(
        "Batch norm and activation alone",
        "Batch norm in training, running statistics included, then the activation; backward to the input, gamma and "
        "beta. PyTorch: `F.batch_norm`, `torch.relu` or `torch.sigmoid`, and `torch.autograd.grad`. *copy* is "
        "`np.copyto` of an array of the same shape: one read and one write of memory.",
        kernels,
    ),
    "threads": Part(
        "One thread or all",
        "The three products of a dense layer, forward and backward, float32; the size is batch x inputs x units. This "
        "is what all threads gain alone and on an idle machine. Where another process keeps a core busy, the threads "
        "wait, in circles, for the one that has to share its core, and take longer than one. So tinynet takes one, "
        "unless somebody chose the number of threads, and tries all now and then: for products of more than 4 Mi "
        "multiplications whose bits do not depend on it, as long as the step takes less time (`machinery/pace.py`).",
        threads,
    ),
}
