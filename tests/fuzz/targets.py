"""What reads files from elsewhere: valid ones to start from, and what they hold, to compare.

Used by tests/test_fuzz.py, with hypothesis, in every run of the tests; and with atheris, coverage-guided and for
minutes, by ``python -m tests.fuzz``.
"""

import functools
import gzip
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save

import tinynet as tn
from tinynet import files
from tinynet.datasets.idx import load_pair
from tinynet.experiments.store import Store
from tinynet.io import pytorch


@dataclass(frozen=True)
class Target:
    """A kind of file: valid ones, how content gets into a file, and how that is read."""

    name: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], object]  # what the file holds, with an == ; FileFormatError for a file that is wrong
    write: Callable[[bytes, Path], object] = lambda content, path: path.write_bytes(content)
    checked: bool = False  # it has a checksum: damage does not go unnoticed

    def attempt(self, content: bytes, path: Path) -> object:
        """Return what the content says, None if it is refused; anything else that is raised is a finding."""
        self.write(content, path)
        try:
            return self.read(path)
        except tn.FileFormatError as error:
            message = str(error)
        assert message.startswith(str(path)), message
        assert len(message) < len(str(path)) + 400, message
        return None


def arrays_of(net):
    return str(net), [(name, a.dtype.str, a.tobytes()) for name, a in {**net.params, **net.state}.items()]


def saved(save) -> bytes:
    """Return the content of the file that ``save`` writes."""
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder) / "file")
        return (Path(folder) / "file").read_bytes()


# -- networks -------------------------------------------------------------------------------------------------


def branching():
    x = tn.Input(3)
    h = tn.LeakyReLU(0.2)(tn.BatchNorm(decay=0.7)(tn.Dense(4, bias=False, init="orthogonal")(x)))
    g = tn.Dropout(0.3)(tn.ELU(0.5)(tn.LayerNorm()(tn.Dense(4, init="normal(0.3)")(h))))
    return tn.Network(x, tn.Dense(2)(tn.Concat()(tn.Add()(h, g), x)), seed=0)


@functools.cache
def networks() -> list[bytes]:
    return [
        saved(tn.mlp(2, [2], 2, norm="batch", dropout=0.1).save),
        saved(branching().save),
        saved(tn.mlp(2, [2], 2, norm="layer", activation="gelu", dtype="float64").save),
    ]


@functools.cache
def architectures() -> list[bytes]:
    """Return type, number of inputs and graph, a line each."""
    found = []
    for content in networks():
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "net").write_bytes(content)
            metadata = files.read_arrays(Path(folder) / "net")[1]
        found.append("\n".join(metadata[key] for key in ("dtype", "inputs", "graph")).encode())
    return found


@functools.cache
def arrays_of_the_seeds() -> list[dict[str, np.ndarray]]:
    found = []
    for content in networks():
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "net").write_bytes(content)
            found.append(files.read_arrays(Path(folder) / "net")[0])
    return found


def write_architecture(content: bytes, path: Path) -> None:
    """Write a file whose checksum is right, so that what it says of its layers is read."""
    dtype, inputs, graph = [*content.decode("utf-8", "replace").split("\n", 2), "", ""][:3]
    metadata = {"format": "tinynet", "version": "1", "dtype": dtype, "inputs": inputs, "graph": graph}
    arrays = arrays_of_the_seeds()[1 if "Concat" in graph else 2 if "64" in dtype else 0]
    path.write_bytes(save(arrays, {**metadata, files.CHECKSUM: files.checksum(arrays, metadata)}))


def read_network(path: Path) -> object:
    net = tn.load(path)
    with np.errstate(all="ignore"):
        assert net.forward(np.ones((2, net.inputs), net.dtype)).shape == (2, net.outputs)
    return arrays_of(net)


@functools.cache
def states() -> list[bytes]:
    net = tn.mlp(3, [4], 2, norm="batch")
    return [saved(lambda path: pytorch.to_torch_state(net, path))]


def read_state(path: Path) -> object:
    net = tn.mlp(3, [4], 2, norm="batch")
    tn.from_torch_state(net, path)
    return arrays_of(net)


# -- data sets ------------------------------------------------------------------------------------------------

LABELS = np.array([3, 0, 2, 1], "u1")


def idx_bytes(array: np.ndarray, code: int) -> bytes:
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def images() -> list[bytes]:
    values = np.arange(24).reshape(4, 2, 3)
    return [
        idx_bytes(values.astype("u1"), 0x08),
        idx_bytes(values.astype("f8"), 0x0E),
        idx_bytes(values.astype("i2"), 0x0B),
    ]


def packed_images() -> list[bytes]:
    return [gzip.compress(content, mtime=0) for content in images()]


def read_images(path: Path) -> object:
    labels = path.with_name("labels")
    if not labels.exists():
        labels.write_bytes(idx_bytes(LABELS, 0x08))
    data = load_pair(path, labels)
    assert np.isfinite(data.x).all()
    return data.x.shape, data.x.tobytes()


def labels() -> list[bytes]:
    return [
        idx_bytes(LABELS, 0x08),
        idx_bytes(LABELS.astype("i4"), 0x0C),
        gzip.compress(idx_bytes(LABELS, 0x08), mtime=0),
    ]


def read_labels(path: Path) -> object:
    pixels = path.with_name("images")
    if not pixels.exists():
        pixels.write_bytes(images()[0])
    try:
        data = load_pair(pixels, path)
    except tn.FileFormatError as error:  # which of the two is wrong, the message says
        raise tn.FileFormatError(str(error).replace(f"{pixels} has", f"{path} {pixels} has")) from None
    assert 0 <= data.y.min() <= data.y.max() < 256
    return data.y.tolist()


# -- histories ------------------------------------------------------------------------------------------------


def history() -> tn.History:
    found = tn.History(diverged=True)
    found.append(100, 2.5, 2.25, 0.125, 0.1)
    found.append(200, 1e-300, 1 / 3, 0.95, 0.1)
    found.append(201, float("inf"), float("nan"), float("nan"), 0.05)
    return found


def read_history(read, path: Path) -> object:
    found = read(path)
    columns = [found.steps, found.train_loss, found.validation_loss, found.validation_accuracy, found.lr]
    assert len({len(column) for column in columns}) == 1
    assert {type(step) for step in found.steps} <= {int}
    return repr(found)


@functools.cache
def histories(suffix: str) -> list[bytes]:
    return [saved(getattr(history(), f"to_{suffix}"))]


# -- results of experiments ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kept:
    """Settings of a run that a results folder holds."""

    seed: int = 0

    def run(self) -> dict[str, object]:
        return {"accuracy": 0.9375, "diverged": False, "loss": [2.5, 1 / 3, float("nan")], "name": "a"}


@functools.cache
def kept_runs() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.keep(Kept(), {"made_by": {"tinynet": tn.__version__}, "result": Kept().run()})
        return [store.path(Kept()).read_bytes()]


def read_kept(path: Path) -> object:
    """Read a file as a sweep reads a kept run: a sweep makes the run again and says the reason."""
    store = Store(path.parent)
    place = store.path(Kept())
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(path.read_bytes())
    found = store.read(Kept())
    if found is None:
        raise tn.FileFormatError(f"{path}: {store.damaged[place]}")
    return repr(found)


TARGETS = [
    Target("network", networks, read_network, checked=True),
    Target("architecture", architectures, read_network, write=write_architecture),
    Target("PyTorch state", states, read_state),
    Target("IDX images", images, read_images),
    Target("IDX images in gzip", packed_images, read_images, checked=True),
    Target("IDX labels", labels, read_labels),
    Target("history in CSV", lambda: histories("csv"), functools.partial(read_history, tn.History.from_csv)),
    Target("kept run", kept_runs, read_kept, checked=True),
    Target("history in JSON", lambda: histories("json"), functools.partial(read_history, tn.History.from_json)),
]
