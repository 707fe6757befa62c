"""Data sets: the bundled MNIST, any folder of IDX files, arrays of one's own, and two toy sets."""

from tinynet.datasets.dataset import Batches, Dataset
from tinynet.datasets.idx import idx, read_idx
from tinynet.datasets.mnist import mnist
from tinynet.datasets.toy import moons, spirals

__all__ = ["Batches", "Dataset", "idx", "mnist", "moons", "read_idx", "spirals"]
