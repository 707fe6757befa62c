"""Two small data sets in the plane, for lessons: what a network makes of them can be drawn."""

import numpy as np

from tinynet.datasets.dataset import Dataset
from tinynet.settings import count, generator, not_negative
from tinynet.typing import Seed


def spirals(examples: int = 600, *, classes: int = 3, noise: float = 0.2, seed: Seed = 0) -> Dataset:
    """Return interleaved spiral arms, one a class.

    Parameters
    ----------
    examples : int
        Number of examples; the classes' sizes differ by at most one.
    classes : int
        Number of arms.
    noise : float
        Standard deviation of the angle, in radians.
    seed : int or numpy.random.Generator

    Returns
    -------
    Dataset
        x (examples, 2) float32 in the unit disc, y (examples,) labels from 0.

    Raises
    ------
    InputError
        If there are fewer than two examples or classes, or the noise is negative.
    """
    examples, classes = count("examples", examples, 2), count("classes", classes, 2)
    noise, rng = not_negative("noise", noise), generator(seed)
    y = np.arange(examples) % classes
    radius = rng.uniform(0.05, 1.0, examples)
    angle = 2 * np.pi * y / classes + 4.0 * radius + rng.normal(0.0, noise, examples)
    return Dataset((radius * np.stack([np.cos(angle), np.sin(angle)])).T.astype(np.float32), y)


def moons(examples: int = 400, *, noise: float = 0.1, seed: Seed = 0) -> Dataset:
    """Return two interleaved half circles, one a class.

    Parameters
    ----------
    examples : int
        Number of examples.
    noise : float
        Standard deviation of each coordinate.
    seed : int or numpy.random.Generator

    Returns
    -------
    Dataset
        x (examples, 2) float32, y (examples,) of 0 and 1.

    Raises
    ------
    InputError
        If there are fewer than two examples, or the noise is negative.
    """
    examples = count("examples", examples, 2)
    noise, rng = not_negative("noise", noise), generator(seed)
    y = np.arange(examples) % 2
    angle = rng.uniform(0.0, np.pi, examples)
    upper = np.stack([np.cos(angle), np.sin(angle)])
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)])
    x = np.where(y == 0, upper, lower) + rng.normal(0.0, noise, (2, examples))
    return Dataset(x.T.astype(np.float32), y)
