"""Data sets: the bundled MNIST, any folder of IDX files, two to download, your own arrays, two toy sets."""

from tinynet.datasets.dataset import Batches, Dataset
from tinynet.datasets.download import fashion_mnist, kmnist
from tinynet.datasets.idx import idx, read_idx
from tinynet.datasets.mnist import mnist
from tinynet.datasets.toy import moons, spirals

__all__ = ["Batches", "Dataset", "fashion_mnist", "idx", "kmnist", "mnist", "moons", "read_idx", "spirals"]
