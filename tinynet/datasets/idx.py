"""The IDX format of MNIST and its kin: a magic number, the dimensions, then the values; often gzip-compressed."""

import hashlib
import math
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tinynet import files
from tinynet.datasets.dataset import Dataset
from tinynet.errors import DataError, FileFormatError, InputError
from tinynet.typing import Array

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP = b"\x1f\x8b"
LONGEST_HEADER = 4 + 4 * 255
CHUNK = 2**14  # bytes read at a time, and copied again after a short gzip member


def read_idx(path: str | Path) -> Array:
    """Return the array in an IDX file, plain or gzip (of one member or several).

    Parameters
    ----------
    path : path

    Returns
    -------
    ndarray
        Of the file's shape and type: bytes, integers or floats, big-endian as in the file; read-only.

    Raises
    ------
    FileFormatError
        If the file is truncated, has extra bytes, or is no IDX file; the message names the file and the reason.
    """
    path = files.as_path(path)
    with files.opened(path) as (file, size):
        head = file.read(LONGEST_HEADER)
        packed = head[:2] == GZIP
        if packed:
            head, _ = _unpack(path, file, LONGEST_HEADER)
        dtype, shape, start = _header(path, head)
        announced = start + math.prod(shape) * dtype.itemsize
        if packed and announced > 100 * size + 2**24:
            raise FileFormatError(
                f"{path}: {size} bytes of gzip whose header announces {files.brief(announced)} bytes; "
                "real images do not pack so well (if these do, unpack the file by hand)"
            )
        if packed:
            content, complete = _unpack(path, file, announced + 1)
            if not complete:
                raise FileFormatError(f"{path}: damaged gzip file (it ends early, or holds more than its header says)")
            size = len(content)
        elif announced == size:  # else the file is wrong, and its rest is not read
            file.seek(0)
            content = file.read(size)
            size = len(content)
    if size != announced:
        said = files.brief(f"{announced - start} bytes, {' x '.join(map(str, shape))} values")
        raise FileFormatError(
            f"{path}: {size - start} bytes follow its header, which says {said}; the file is damaged"
        )
    try:
        return np.frombuffer(content, dtype, offset=start).reshape(shape)
    except ValueError as error:  # more dimensions than NumPy has, or an empty array of impossible size
        raise FileFormatError(f"{path}: its header gives an impossible shape ({error})") from None


def _header(path: Path, content: bytes) -> tuple["np.dtype[np.generic]", tuple[int, ...], int]:
    """Return dtype, shape and where the values start."""
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES or content[3] == 0:
        raise FileFormatError(f"{path}: not an IDX file (it starts with {content[:4].hex(' ') or 'nothing'})")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise FileFormatError(f"{path}: ends within its header; the file is damaged")
    shape = tuple(int(n) for n in np.frombuffer(content[4:start], ">u4"))
    return np.dtype(TYPES[content[2]]), shape, start


def _unpack(path: Path, file: BinaryIO, at_most: int) -> tuple[bytes, bool]:
    """Return at most ``at_most`` bytes of a gzip file's content, and whether they are fewer and the file is complete.

    The file is read as gzip reads it: the contents of its members are joined, and zeros may follow the last member.
    It is not complete if it ends within a member, or has other bytes after the zeros.
    """
    file.seek(0)
    parts: list[bytes] = []
    room, packed, unpacker = at_most, b"", None
    while room:
        packed = packed or file.read(CHUNK)
        if not packed:
            return b"".join(parts), unpacker is None
        if unpacker is None:
            if packed[0] == 0:
                return b"".join(parts), not (packed + file.read()).strip(b"\0")
            unpacker = zlib.decompressobj(wbits=31)
        try:
            part = unpacker.decompress(packed, room)
        except zlib.error as error:
            raise FileFormatError(f"{path}: damaged gzip file ({error})") from None
        parts += [part] if part else []
        room -= len(part)
        packed, unpacker = (unpacker.unused_data, None) if unpacker.eof else (unpacker.unconsumed_tail, unpacker)
    return b"".join(parts), False


def _files(folder: Path, pattern: str) -> list[Path]:
    """Return files whose name matches, except hidden ones: macOS adds a ``._name`` to each on other systems' disks."""
    return sorted(path for path in folder.glob(pattern) if path.is_file() and not path.name.startswith("."))


def data_version(folder: str | Path) -> str:
    """Return a hash of names and contents of the files that `idx` may read in a folder; "" if there are none."""
    found = [path for part in ("images", "labels") for path in _files(files.as_path(folder), f"*{part}*idx*")]
    digest = hashlib.sha256()
    for path in found:
        digest.update(f"{path.name} {files.sha256(path)}\n".encode())
    return digest.hexdigest() if found else ""


def find(folder: Path, *parts: str) -> Path:
    """Return the one IDX file in ``folder`` whose name contains one of ``parts``."""
    found = sorted({path for part in parts for path in _files(folder, f"*{part}*")})
    plain = {path.name.removesuffix(".gz"): path for path in reversed(found)}  # plain before gzip
    if len(plain) != 1:
        problem = f"more than one: {', '.join(sorted(plain))}" if plain else "no such file"
        raise InputError(f"{folder}: looked for a file named *{parts[0]}*, found {problem}")
    return next(iter(plain.values()))


def idx(folder: str | Path) -> tuple[Dataset, Dataset]:
    """Load a folder of four IDX files, plain or gzip: MNIST, Fashion-MNIST, an EMNIST split, or your own.

    Each name contains one of MNIST's, followed by ``idx``: ``train-images``, ``train-labels``, ``t10k-images`` (or
    ``test-images``) and ``t10k-labels`` (or ``test-labels``).

    Parameters
    ----------
    folder : path

    Returns
    -------
    train, test : Dataset
        x (examples, features) float32, bytes scaled to [0, 1]; y (examples,) integer labels.

    Raises
    ------
    InputError
        If a file is missing, or several have such a name; hidden files do not count.
    FileFormatError
        If a file is damaged or of another format, or images and labels do not belong together.
    """
    folder = files.as_path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    train = load_pair(find(folder, "train-images*idx"), find(folder, "train-labels*idx"))
    test = load_pair(
        find(folder, "t10k-images*idx", "test-images*idx"), find(folder, "t10k-labels*idx", "test-labels*idx")
    )
    if train.x.shape[1] != test.x.shape[1]:
        raise FileFormatError(
            f"{folder}: training images have {train.x.shape[1]} pixels, test images {test.x.shape[1]}"
        )
    return train, test


def load_pair(images_path: Path, labels_path: Path) -> Dataset:
    """Return a data set from a file of images and a file of labels."""
    images, labels = read_idx(images_path), read_idx(labels_path)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels.ravel()
    if labels.ndim == 2 and labels.dtype.kind in "iu" and len(images) == len(labels):
        raise FileFormatError(
            f"{labels_path}: has {labels.shape[1]} numbers an image; if the first is the label, as in QMNIST, take it "
            f"by tn.Dataset(tn.datasets.read_idx({str(images_path)!r}) / np.float32(255), "
            f"tn.datasets.read_idx({str(labels_path)!r})[:, 0])"
        )
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise FileFormatError(f"{labels_path}: not a file of labels (it has {labels.ndim} dimensions)")
    if images.ndim < 2:
        raise FileFormatError(f"{images_path}: not a file of images (it has {images.ndim} dimension)")
    if len(images) != len(labels):
        raise FileFormatError(f"{images_path} has {len(images)} images, {labels_path} {len(labels)} labels")
    most = max(256, len(labels))  # a network gets an output for every number up to the largest label
    if labels.size and not (labels.min() >= 0 and labels.max() < most):
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise FileFormatError(f"{labels_path}: holds the label {wrong}; labels count classes from 0, below {most}")
    if images.size == 0:
        raise FileFormatError(f"{images_path}: holds no images (its shape is {images.shape})")
    with np.errstate(all="ignore"):  # a double too large for float32 becomes inf, and Dataset says where
        x = images.reshape(len(images), -1).astype(np.float32)
    if images.dtype == np.uint8:
        x *= np.float32(1 / 255)
    try:
        return Dataset(x, labels.astype(np.int64))
    except DataError as error:
        raise FileFormatError(f"{images_path}: {error}") from None
