"""Files: written whole or not at all, and checked while they are read.

Reading takes memory and time in proportion to a file's real size, whatever its header says: both are compared before
anything is allocated.
"""

import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from tinynet.errors import FileFormatError, InputError
from tinynet.typing import Array

TEXT_LIMIT = 2**24  # bytes: a history of 200,000 records, which Python reads in two seconds
HEADER_LIMIT = 2**24  # bytes of a safetensors header: a network of 2,500 layers takes 400,000
CHECKSUM = "tinynet_sha256"
DTYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8"} | {
    f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)
}  # NumPy's types; BF16, which NumPy does not have, is read as float32


def as_path(given: str | Path) -> Path:
    """Return a str or path as a Path; raise InputError for anything else."""
    try:
        return Path(given)
    except TypeError:
        raise InputError(f"a path is a str or a pathlib.Path, not {type(given).__name__}") from None


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; if the block ends without error, rename it to ``path``."""
    path = as_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)  # mkstemp makes files only their owner may read
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.filename is None:  # a full disk is found while writing, where Python no longer knows the name
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Write the folder's list of names to the disk, so that a new name survives a power cut."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:  # some network file systems cannot; the file itself is written
        pass
    finally:
        os.close(handle)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON that any reader takes: numbers that are not finite become the strings "nan", "inf", "-inf"."""
    write_text(path, json.dumps(finite(content), indent=1, allow_nan=False) + "\n")


def finite(content: Any) -> Any:
    """Return plain data with the strings "nan", "inf" and "-inf" for the numbers that JSON does not have."""
    if isinstance(content, float) and content - content != 0:
        return str(content)
    if isinstance(content, Mapping):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return content


@contextmanager
def opened(path: str | Path) -> Iterator[tuple[BufferedReader, int]]:
    """Yield an open file and its size in bytes.

    Raises
    ------
    FileFormatError
        If it is a folder, or a pipe or device (which could block or never end), or if memory runs out in the block.
    OSError
        If it does not exist, or may not be read.
    """
    path = as_path(path)
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise FileFormatError(f"{path}: not a file, but {'a folder' if path.is_dir() else 'a pipe or device'}")
    try:
        with path.open("rb") as file:
            yield file, about.st_size
    except MemoryError:
        raise FileFormatError(f"{path}: its {about.st_size:,} bytes are too many for this machine's memory") from None


def beside(path: str | Path, ending: str, own: Sequence[str] = (".safetensors",)) -> Path:
    """Return the path of a file that belongs to another: the other's name with an ending added.

    Parameters
    ----------
    path : path
        ``lr0.1`` gives ``lr0.1.csv``.
    ending : str
        Such as ``.csv``.
    own : sequence of str
        Endings that are replaced, since tinynet writes them: ``net.safetensors`` gives ``net.csv``.
    """
    path = as_path(path)
    name = next((path.name.removesuffix(e) for e in own if path.name.endswith(e) and path.name != e), path.name)
    return path.with_name(name + ending)


def brief(content: object) -> str:
    """Return content as text for an error's message, cut to 100 characters."""
    text = str(content)
    return text if len(text) <= 100 else f"{text[:100]}..."


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with opened(path) as (file, _):
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(path: str | Path) -> str:
    """Read UTF-8 text; raise FileFormatError for other content, or if there is more than `TEXT_LIMIT`."""
    with opened(path) as (file, size):
        if size > TEXT_LIMIT:
            raise FileFormatError(f"{path}: has {size:,} bytes, and tinynet reads text up to {TEXT_LIMIT:,}")
        try:
            return file.read(size).decode("utf-8")
        except UnicodeDecodeError as error:
            raise FileFormatError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None


def read_json(path: str | Path) -> Any:
    """Read a JSON file; raise FileFormatError for any other."""
    return parsed_json(read_text(path), str(path))


def parsed_json(text: str, where: str) -> Any:
    """Return what JSON says; raise FileFormatError if ``text``, which came from ``where``, is something else."""
    try:
        return json.loads(text, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{where}: not a JSON file ({brief(error)})") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; raise ValueError if a name is there twice, since either could be meant."""
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content:
            raise ValueError(f"{brief(name)!r} is there twice")
        content[name] = value
    return content


def write_arrays(path: str | Path, arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write named arrays, text metadata and a checksum over both as a safetensors file.

    Raises
    ------
    InputError
        If `read_arrays` could not read the file: an array is not of floats or integers, or the header is too long.
    """
    from safetensors.numpy import save

    arrays = {name: _plain(f"{path}: {name}", array) for name, array in arrays.items()}
    content = save(arrays, metadata={**metadata, CHECKSUM: checksum(arrays, metadata)})
    size = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + size]), sort_keys=True).encode()  # the library's order is random
    header += b" " * (-len(header) % 8)  # the arrays stay aligned
    if len(header) > HEADER_LIMIT:
        raise InputError(f"{path}: names and metadata of {len(header):,} bytes; there can be {HEADER_LIMIT:,}")
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.writelines((len(header).to_bytes(8, "little"), header, memoryview(content)[8 + size :]))


def _plain(where: str, array: Array) -> Array:
    """Return the array C-ordered and little-endian, as files hold it; safetensors checks neither."""
    array = np.asarray(array, order="C")
    dtype = array.dtype.newbyteorder("<")
    if dtype not in map(np.dtype, DTYPES.values()):
        raise InputError(f"{where} is {array.dtype}; a file can hold floats and integers of up to 64 bits")
    return array.astype(dtype, copy=False)


def read_arrays(path: str | Path) -> tuple[dict[str, Array], dict[str, str]]:
    """Read a safetensors file's arrays and metadata; bfloat16 becomes float32, which has all of its numbers.

    Raises
    ------
    FileFormatError
        If it is another kind of file, names something twice, or does not match the checksum of `write_arrays` (files
        of other software have none).
    InputError
        If there is no such file.
    """
    from safetensors import SafetensorError, deserialize

    if not as_path(path).exists():
        raise InputError(f"{path}: no such file")
    with opened(path) as (file, size):
        header_size = int.from_bytes(file.read(8), "little")
        if size < 8 or header_size > min(size - 8, HEADER_LIMIT):
            raise FileFormatError(f"{path}: not a safetensors file (its header does not fit in)")
        file.seek(0)
        content = file.read(size)
    try:
        tensors = dict(deserialize(content))  # type: ignore[no-untyped-call]
        arrays = {name: _array(**tensor) for name, tensor in tensors.items()}
        header = content[8 : 8 + header_size].decode("utf-8")
        metadata = json.loads(header, object_pairs_hook=_distinct).get("__metadata__") or {}
    except (SafetensorError, ValueError, RecursionError) as error:
        raise FileFormatError(f"{path}: not a safetensors file that tinynet reads ({brief(error)})") from None
    if CHECKSUM in metadata and metadata[CHECKSUM] != checksum(arrays, metadata):
        raise FileFormatError(f"{path}: damaged: what it holds does not fit its checksum")
    return arrays, metadata


def _array(dtype: str, shape: list[int], data: bytearray) -> Array:
    if dtype == "BF16":  # the upper half of a float32: exact
        halves = np.frombuffer(data, "<u2").astype("<u4")
        return (halves << 16).view("<f4").reshape(shape)
    if dtype not in DTYPES:
        raise ValueError(f"it holds {dtype}, a type that NumPy does not have")
    return np.frombuffer(data, DTYPES[dtype]).reshape(shape)


def checksum(arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> str:
    """Return the SHA-256 of arrays and metadata in order of their names, without the checksum itself."""
    names = sorted(arrays)
    kinds = [(name, arrays[name].dtype.str, arrays[name].shape) for name in names]
    texts = sorted((name, text) for name, text in metadata.items() if name != CHECKSUM)
    digest = hashlib.sha256(json.dumps([kinds, texts]).encode())
    for name in names:
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def writable_folder(path: str | Path) -> Path:
    """Return the folder, created if missing; raise InputError if it cannot be written."""
    path = as_path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise InputError(f"{path}: cannot write there ({error.strerror}); choose another folder") from None
    return path
