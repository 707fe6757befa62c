"""Random programs: what a user may do to a network, done to tinynet's and to the plain NumPy one side by side."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np

from tests.differential.changes import (
    assign_fixed,
    assign_to_layer,
    assign_to_optimizer,
    calibrate,
    change_arrays,
    duplicate,
    fold,
    layer_alone,
    own_python,
    save,
)
from tests.differential.disturbances import (
    handle,
    interrupt,
    meanwhile,
    predict_in_threads,
    predict_within,
    refuse,
    refuse_backward,
    refuse_training,
)
from tests.differential.fitting import fit, resume
from tests.differential.training import (
    at_the_end,
    evaluate,
    forward_again,
    freeze,
    many_sizes,
    new_optimizer,
    predict,
    step,
)
from tests.differential.world import SECONDS, GrownError, World
from tinynet.machinery import recording

Operation = Callable[[World, Random], Any]


class StuckError(BaseException):
    """The program stands still."""


@dataclass(frozen=True)
class Program:
    """A program: a graph and operations, each drawn from a seed of its own, so that dropping one leaves the others."""

    seed: int
    operations: tuple[tuple[str, int], ...]

    @classmethod
    def drawn(cls, seed: int) -> Program:
        random = Random(seed)
        names, weights = list(OPERATIONS), [often for _, often in OPERATIONS.values()]
        chosen = random.choices(names, weights, k=random.randint(5, 25))
        return cls(seed, tuple((name, random.randrange(10**6)) for name in chosen))

    def run(self, seconds: int = SECONDS) -> World:
        """Run it; raise what went wrong, or that it stands still, with the operations so far as a note."""
        world = World(self.seed, OPERATIONS, BETWEEN, BETWEEN_STEPS)
        with _in_time(seconds), np.errstate(all="ignore"):
            usual, recording.MEMORY = recording.MEMORY, world.memory
            try:
                for name, seed in self.operations:
                    world.do(name, seed)
                world.do("end", self.seed)
            except GrownError:
                world.grown = True
            except BaseException as error:
                error.add_note(f"program {self.seed}:\n" + "\n".join(world.log))
                raise
            finally:
                recording.MEMORY = usual
                world.close()
        return world

    def fails(self, seconds: int = SECONDS) -> BaseException | None:
        """Return what goes wrong."""
        try:
            self.run(seconds)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            return error
        return None

    def shrunk(self) -> Program:
        """Return a program that fails too, and from which no operation can be dropped."""
        smallest, size = self, max(1, len(self.operations) // 2)
        while True:
            for start in range(len(smallest.operations) - 1, -1, -1):
                rest = smallest.operations[:start] + smallest.operations[start + size :]
                shorter = replace(smallest, operations=rest)
                if shorter != smallest and shorter.fails(5):
                    smallest = shorter
            if size == 1:
                return smallest
            size //= 2


@contextlib.contextmanager
def _in_time(seconds: int) -> Iterator[None]:
    """Raise `StuckError` in a program that takes too long; only the main thread can."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGALRM"):
        yield
        return

    def stuck(*_: Any) -> None:
        raise StuckError(f"no end after {seconds} s")

    before = signal.signal(signal.SIGALRM, stuck)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


OPERATIONS: dict[str, tuple[Operation, float]] = {
    "step": (step, 6),
    "fit": (fit, 3),
    "predict": (predict, 8),
    "evaluate": (evaluate, 1),
    "predict_in_threads": (predict_in_threads, 1),
    "freeze": (freeze, 2),
    "new_optimizer": (new_optimizer, 2),
    "assign_to_layer": (assign_to_layer, 4),
    "assign_to_optimizer": (assign_to_optimizer, 3),
    "assign_fixed": (assign_fixed, 0.5),
    "change_arrays": (change_arrays, 4),
    "calibrate": (calibrate, 2),
    "fold": (fold, 1),
    "duplicate": (duplicate, 1),
    "save": (save, 1),
    "resume": (resume, 1),
    "own_python": (own_python, 2),
    "layer_alone": (layer_alone, 1),
    "refuse": (refuse, 1),
    "refuse_backward": (refuse_backward, 1),
    "interrupt": (interrupt, 2),
    "handle": (handle, 2),
    "predict_within": (predict_within, 2),
    "meanwhile": (meanwhile, 1),
    "many_sizes": (many_sizes, 0.2),
    "end": (at_the_end, 0),  # of every program
}


BETWEEN: dict[str, tuple[Operation, float]] = {  # forward and backward
    "predict": (predict, 4),
    "assign_to_layer": (assign_to_layer, 3),
    "assign_to_optimizer": (assign_to_optimizer, 1),
    "change_arrays": (change_arrays, 2),
    "calibrate": (calibrate, 1),
    "refuse": (refuse, 1),
    "refuse_training": (refuse_training, 2),
    "forward_again": (forward_again, 2),
    "layer_alone": (lambda world, random: layer_alone(world, random, training=False), 1),
    "own_python": (own_python, 0.5),
    "many_sizes": (many_sizes, 0.3),
}


BETWEEN_STEPS: dict[str, tuple[Operation, float]] = {  # of fit, in a callback
    "predict": (predict, 1),
    "assign_to_layer": (assign_to_layer, 1),
    "assign_to_optimizer": (assign_to_optimizer, 1),
    "change_arrays": (change_arrays, 1),
    "calibrate": (calibrate, 1),
    "own_python": (own_python, 1),
}
