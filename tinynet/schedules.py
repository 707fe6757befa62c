"""Learning rates that change: each is a function from the number of steps already taken to the rate."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from tinynet.errors import InputError

Schedule = Callable[[int], float]


def _positive(name: str, value: float) -> None:
    if not value > 0 or not math.isfinite(value):
        raise InputError(f"{name} must be a positive number, not {value}")


@dataclass(frozen=True)
class Constant:
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
        _positive("lr", self.lr)

    def __call__(self, step: int) -> float:
        """Return the rate after ``step`` steps."""
        return self.lr


@dataclass(frozen=True)
class StepDecay:
    """The rate times ``factor`` after every ``every`` steps.

    Parameters
    ----------
    lr : float
        The rate at first, above 0.
    every : int
        Steps from one fall to the next.
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
        _positive("lr", self.lr)
        _positive("every", self.every)
        if not 0 < self.factor <= 1:
            raise InputError(f"factor must be above 0 and at most 1, not {self.factor}")

    def __call__(self, step: int) -> float:
        """Return the rate after ``step`` steps."""
        return self.lr * self.factor ** (step // self.every)


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from ``lr`` down to ``final`` over ``steps`` steps, then constant.

    After t steps it is final + (lr - final) (1 + cos(pi t / steps)) / 2 (Loshchilov and Hutter 2017, equation 5).

    Parameters
    ----------
    lr : float
        The rate at first, above 0.
    steps : int
        How long it falls.
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
        _positive("lr", self.lr)
        _positive("steps", self.steps)
        if not 0 <= self.final < math.inf:
            raise InputError(f"final must be a finite number of at least 0, not {self.final}")

    def __call__(self, step: int) -> float:
        """Return the rate after ``step`` steps."""
        progress = min(step / self.steps, 1.0)
        return self.final + (self.lr - self.final) * (1 + math.cos(math.pi * progress)) / 2


@dataclass(frozen=True)
class Warmup:
    """A straight line up to another schedule over the first ``steps`` steps, then that schedule from its start.

    Parameters
    ----------
    then : schedule or float
        What follows; a number is a constant rate.
    steps : int
        Of the straight line.

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
        as_schedule(self.then)  # a wrong rate is found here, not later
        _positive("steps", self.steps)

    def __call__(self, step: int) -> float:
        """Return the rate after ``step`` steps; the first is one part in ``steps`` of the full rate."""
        then = as_schedule(self.then)
        return then(0) * (step + 1) / self.steps if step < self.steps else then(step - self.steps)


def as_schedule(lr: Schedule | float) -> Schedule:
    """Return ``lr`` as a schedule: a number is constant."""
    if callable(lr):
        return lr
    try:
        rate = float(lr)
    except (TypeError, ValueError):
        raise InputError(f"lr must be a number or a schedule, not {lr!r}") from None
    return Constant(rate)
