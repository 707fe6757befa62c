"""One training that is checkpointed, by processes that are killed one after the other while it goes on.

``python -m tests.killed_training FOLDER 24`` kills 24 of them, and some more in a write, and prints about each: at
what step it began, what signal ended it, and how many files it left beside the checkpoint.
"""

import json
import os
import random
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

import tinynet as tn

STEPS = 3000
NAME = "run.safetensors"


def data() -> tuple[tn.Dataset, tn.Dataset]:
    return tn.datasets.moons(203, seed=0), tn.datasets.moons(50, seed=1)


def train(path: Path | None, *callbacks: tn.Callback, steps: int = STEPS) -> tuple[tn.Network, tn.History]:
    """Go on if there is a checkpoint, else begin: what a user's script does."""
    train, test = data()
    if path is not None and path.exists():
        return tn.resume(path, train, validation=test, callbacks=callbacks)
    net = tn.mlp(2, [12, 12], 2, norm="batch", dropout=0.2, seed=0)
    history = tn.fit(
        net,
        train,
        validation=test,
        optimizer=tn.SGD(tn.Warmup(tn.Cosine(0.1, STEPS), 50), momentum=0.9, nesterov=True, weight_decay=1e-4),
        steps=steps,
        batch_size=20,  # eleven batches an epoch, the last of three
        seed=0,
        validate_every=101,
        callbacks=callbacks,
        checkpoint=path,
        checkpoint_every=13 if path else None,
    )
    return net, history


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(place: str) -> None:
    """Have this process killed at a place of its next write."""
    if place == "half written":
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # the system ends a process that writes more than its limit
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
    elif place == "not synced":
        os.fsync = die  # type: ignore[assignment]
    else:
        replace = os.replace
        os.replace = die if place == "not renamed" else lambda *names: die(replace(*names))  # type: ignore[assignment]


PLACES = ["half written", "not synced", "not renamed", "renamed"]


class Life(tn.Callback):
    """Tells the step at which this process began, then of every step; dies in a write after some, if it is to."""

    def __init__(self, pipe: int, place: str, steps: int) -> None:
        self.pipe, self.place, self.steps = pipe, place, steps
        self.begun = False

    def on_backward(self, run: tn.Run) -> None:
        os.write(self.pipe, b"." if self.begun else f"{run.step}\n".encode())
        self.begun = True
        if self.steps == 0 and self.place in PLACES:
            arm(self.place)
        self.steps -= 1


def live(path: Path, place: str, steps: int, seconds: float) -> dict[str, Any]:
    """Train in another process until it is killed: at a place in a write, or some time after some steps."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            train(path, Life(writer, place, steps))
        finally:
            os._exit(0)
    os.close(writer)
    told = b""
    while place in PLACES or told.count(b".") < steps:  # until the pipe is closed, or the steps are made
        news = os.read(reader, 4096)
        if not news:
            break
        told += news
    if place not in PLACES:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    told += os.read(reader, 4096)
    os.close(reader)
    left = [other for other in path.parent.iterdir() if other != path]
    signal_number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    begun = int(told.split(b"\n")[0] or -1)
    return {"place": place, "signal": signal_number, "began at": begun, "left": len(left)}


def main(folder: str, kills: int) -> list[dict[str, Any]]:
    """Kill ``kills`` processes at random moments, and after every fourth one more in a write."""
    chance, path = random.Random(0), Path(folder) / NAME
    train(None, steps=20)  # what is compiled and loaded now, the forked processes need not load
    lives = []
    for k in range(kills):
        early = k % 4 == 1  # perhaps before the first step
        lives.append(live(path, "anywhere", 0 if early else chance.randrange(1, 60), chance.uniform(0, 0.005)))
        if k % 4 == 3:
            lives.append(live(path, PLACES[k // 4 % 4], chance.randrange(40), 0))
    return lives


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
