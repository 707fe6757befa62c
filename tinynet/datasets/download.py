"""Data sets that are downloaded once, through pooch, each file checked against its published SHA-256.

A file gets its name when it is complete and checked, and is never overwritten.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinynet import files, progress
from tinynet.datasets.dataset import Dataset
from tinynet.datasets.idx import load_pair
from tinynet.errors import FileFormatError, InputError

FASHION_MNIST = (  # its authors' repository, at the last commit
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/"
    "b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion/"
)
TIMEOUT = 15  # seconds to wait for the server
KMNIST = "https://codh.rois.ac.jp/kmnist/dataset/kmnist/"

FASHION_MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
KMNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
    "train-labels-idx1-ubyte.gz": "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
    "t10k-images-idx3-ubyte.gz": "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
    "t10k-labels-idx1-ubyte.gz": "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
}


def fashion_mnist(folder: str | Path | None = None) -> tuple[Dataset, Dataset]:
    """Load Fashion-MNIST (Xiao, Rasul and Vollgraf 2017): MNIST's shape, ten kinds of clothing; 30 MB.

    The labels: T-shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle boot. Licence: MIT.

    Parameters
    ----------
    folder : path, optional
        The folder of the four files, to which missing ones are downloaded; by default the user's cache folder. If
        none is missing, neither a connection nor pooch is needed.

    Returns
    -------
    train, test : Dataset
        60,000 and 10,000 examples; x (examples, 784) float32 in [0, 1], y (examples,) labels 0 to 9.

    Raises
    ------
    InputError
        If a file is missing and cannot be downloaded; the message says where to put it by hand.
    FileFormatError
        If a file is not the published one.
    """
    return load("Fashion-MNIST", FASHION_MNIST, FASHION_MNIST_SHA256, folder)


def kmnist(folder: str | Path | None = None) -> tuple[Dataset, Dataset]:
    """Load Kuzushiji-MNIST (Clanuwat et al. 2018): MNIST's shape, ten characters of cursive Japanese; 21 MB.

    The labels: o, ki, su, tsu, na, ha, ma, ya, re, wo. Licence: Creative Commons Attribution-Share Alike 4.0,
    "KMNIST Dataset" (created by CODH), adapted from "Kuzushiji Dataset" (created by NIJL and others),
    doi:10.20676/00000341.

    Parameters
    ----------
    folder : path, optional
        As for `fashion_mnist`.

    Returns
    -------
    train, test : Dataset
        60,000 and 10,000 examples; x (examples, 784) float32 in [0, 1], y (examples,) labels 0 to 9.

    Raises
    ------
    InputError, FileFormatError
        As for `fashion_mnist`.
    """
    return load("KMNIST", KMNIST, KMNIST_SHA256, folder)


def load(name: str, address: str, sha256: Mapping[str, str], folder: str | Path | None) -> tuple[Dataset, Dataset]:
    """Return training and test set from four files, in MNIST's order; download missing ones."""
    folder = files.as_path(folder) if folder is not None else _cache(name)
    by_hand = f"put {', '.join(sha256)} into {folder} by hand"
    for file, published in sha256.items():
        if not (folder / file).exists():
            _download(address + file, folder / file, published, by_hand)
        if files.sha256(folder / file) != published:
            raise FileFormatError(f"{folder / file}: not the file of {name}; move it away to have it downloaded")
    train_images, train_labels, test_images, test_labels = (folder / file for file in sha256)
    return load_pair(train_images, train_labels), load_pair(test_images, test_labels)


def _cache(name: str) -> Path:
    return Path(_pooch(f"give the folder that has the files of {name}").os_cache("tinynet")) / name


def _pooch(otherwise: str) -> Any:
    try:
        import pooch
    except ImportError:
        raise InputError(f"downloads need pooch: pip install 'tinynet-lab[download]'; or {otherwise}") from None
    return pooch


def _download(url: str, path: Path, published: str, by_hand: str) -> None:
    """Download a file to ``path``; if it is not complete or not the published one, write nothing."""
    pooch = _pooch(by_hand)
    files.writable_folder(path.parent)
    counter = progress.bar(1, path.name, unit=" bytes")  # pooch sets the total, which the server knows
    receive = pooch.HTTPDownloader(progressbar=counter, chunk_size=2**16, timeout=TIMEOUT)
    try:
        with counter, files.replacing(path) as temporary:
            receive(url, str(temporary), None)
            if files.sha256(temporary) != published:
                raise FileFormatError(
                    f"{url}: the download is not the published file (its SHA-256 differs), and was not kept; {by_hand}"
                )
    except OSError as error:  # the base of all errors that requests raises
        raise InputError(f"{url}: could not be downloaded ({type(error).__name__}); {by_hand}") from error
