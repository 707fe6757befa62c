"""Learning rates that change: each is a function from the number of steps already taken to the rate."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from tinynet.errors import InputError
from tinynet.settings import count, finite_above_0, not_negative, number

Schedule = Callable[[int], float]


class _Fixed:
    """A schedule cannot be changed; its settings are Python's own numbers, as a file holds them."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in vars(self) or name not in {field.name for field in fields(self)}:  # type: ignore[arg-type]
            raise InputError(
                f"{type(self).__name__}: {name} cannot be assigned, a schedule stays as it is made; "
                f"give the optimizer another, as in optimizer.lr = tn.{type(self).__name__}(...)"
            )
        vars(self)[name] = value

    def __delattr__(self, name: str) -> None:
        raise InputError(f"{type(self).__name__}: {name} cannot be deleted, a schedule stays as it is made")


@dataclass(unsafe_hash=True)
class Constant(_Fixed):
    """The same rate at every step.

    Parameters
    ----------
    lr : float
        The rate, above 0.

    Raises
    ------
    InputError
        If lr is not positive and finite.
    """

    lr: float

    def __post_init__(self) -> None:
        vars(self).update(lr=finite_above_0("lr", self.lr))

    def __call__(self, step: int) -> float:
        """Return the rate after ``step`` steps."""
        return self.lr


@dataclass(unsafe_hash=True)
class StepDecay(_Fixed):
    """The rate is multiplied by ``factor`` after every ``every`` steps.

    Parameters
    ----------
    lr : float
        The rate at first, above 0.
    every : int
        Steps between two multiplications.
    factor : float
        Above 0 and at most 1.

    Raises
    ------
    InputError
        If a number is out of its range.

    Examples
    --------
    >>> import tinynet as tn
    >>> [tn.StepDecay(1.0, every=100, factor=0.5)(step) for step in (0, 99, 100, 250)]
    [1.0, 1.0, 0.5, 0.25]
    """

    lr: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < number("factor", self.factor) <= 1:
            raise InputError(f"factor must be above 0 and at most 1, not {self.factor}")
        lr, every = finite_above_0("lr", self.lr), count("every", self.every)
        vars(self).update(lr=lr, every=every, factor=number("factor", self.factor))

    def __call__(self, step: int) -> float:
        """Return the rate after ``step`` steps."""
        return self.lr * self.factor ** (step // self.every)


@dataclass(unsafe_hash=True)
class Cosine(_Fixed):
    """Half a cosine from ``lr`` down to ``final`` over ``steps`` steps, then constant.

    After t steps it is final + (lr - final) (1 + cos(pi t / steps)) / 2 (Loshchilov and Hutter 2017, equation 5).

    Parameters
    ----------
    lr : float
        The rate at first, above 0.
    steps : int
        How many steps it falls.
    final : float
        The rate at the end, at least 0.

    Raises
    ------
    InputError
        If a number is out of its range.

    Examples
    --------
    >>> import tinynet as tn
    >>> optimizer = tn.SGD(tn.Cosine(0.1, steps=1000), momentum=0.9)
    >>> [round(optimizer.schedule(step), 3) for step in (0, 500, 1000)]
    [0.1, 0.05, 0.0]
    """

    lr: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        lr, steps = finite_above_0("lr", self.lr), count("steps", self.steps)
        vars(self).update(lr=lr, steps=steps, final=not_negative("final", self.final))

    def __call__(self, step: int) -> float:
        """Return the rate after ``step`` steps."""
        share = min(step / self.steps, 1.0)
        return self.final + (self.lr - self.final) * (1 + math.cos(math.pi * share)) / 2


@dataclass(unsafe_hash=True)
class Warmup(_Fixed):
    """The rate rises in a straight line over the first ``steps`` steps to another schedule, which then starts.

    Parameters
    ----------
    then : schedule or float
        The schedule that follows; a number is a constant rate.
    steps : int
        How many steps the rate rises.

    Raises
    ------
    InputError
        If a number is out of its range.

    Examples
    --------
    >>> import tinynet as tn
    >>> warmup = tn.Warmup(tn.Constant(1.0), steps=4)
    >>> [warmup(step) for step in range(6)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """

    then: Schedule | float
    steps: int

    def __post_init__(self) -> None:
        schedule = as_schedule(self.then)  # raises for a wrong rate
        then = self.then if callable(self.then) else schedule(0)
        vars(self).update(then=then, steps=count("steps", self.steps))

    def __call__(self, step: int) -> float:
        """Return the rate after ``step`` steps; the first is 1 / ``steps`` of the full rate."""
        then = as_schedule(self.then)
        return then(0) * (step + 1) / self.steps if step < self.steps else then(step - self.steps)


def as_schedule(lr: Schedule | float) -> Schedule:
    """Return ``lr`` as a schedule: a number is constant."""
    if isinstance(lr, type):
        raise InputError(f"lr: {lr.__name__} needs its settings, as in tn.{lr.__name__}(0.1, ...)")
    if callable(lr):
        return lr
    if isinstance(lr, Mapping):
        raise InputError("lr must be a number or a schedule, not parameters: those go to step(net.params, net.grads)")
    if isinstance(lr, str) or not hasattr(lr, "__float__"):
        raise InputError(f"lr must be a number or a schedule, not {lr!r}")
    return Constant(lr)
