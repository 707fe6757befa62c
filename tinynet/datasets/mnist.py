"""MNIST, complete and inside the package: nothing is downloaded."""

from pathlib import Path

from tinynet import files
from tinynet.datasets.dataset import Dataset
from tinynet.datasets.idx import load_pair
from tinynet.errors import FileFormatError

FOLDER = Path(__file__).parent / "data"

SHA256 = {  # of the compressed files that ship with tinynet; data/README.md has the originals' sums
    "train-images-idx3-ubyte.gz": "0b367032e93c5d0cea0925647cfdb18614af8ee15f83e6f2fc2ad904a6835971",
    "train-labels-idx1-ubyte.gz": "1787548bbe0bff1ec2ecdc0ef292b02df999e2d1a6002d27500982c652b17203",
    "t10k-images-idx3-ubyte.gz": "1a1a05eab793c14bb050b398624a11b0ffd1a2953baed553b1b9bd079e2a20be",
    "t10k-labels-idx1-ubyte.gz": "b91679a0acfe4ba0e50a2437a903084cba1f5f92592b016a25a7dfd00455798b",
}


def mnist() -> tuple[Dataset, Dataset]:
    """Load MNIST: 60,000 training and 10,000 test images of handwritten digits.

    Returns
    -------
    train, test : Dataset
        x (examples, 784) float32 in [0, 1], row by row; y (examples,) labels 0 to 9.

    Raises
    ------
    FileFormatError
        If a file is not the one that tinynet ships.
    """
    for name, expected in SHA256.items():
        if files.sha256(FOLDER / name) != expected:
            raise FileFormatError(f"{FOLDER / name}: not the file tinynet ships; install tinynet again")
    train_images, train_labels, test_images, test_labels = (FOLDER / name for name in SHA256)
    return load_pair(train_images, train_labels), load_pair(test_images, test_labels)
