"""Finished runs on disk. Each has a file, whose name stands for all that its numbers depend on."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import platform
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Protocol

from threadpoolctl import threadpool_info

import tinynet
from tinynet import files
from tinynet.datasets.idx import data_version
from tinynet.errors import InputError

# No run's numbers depend on these files. A change in any other file makes kept results stale.
HARMLESS = {
    "__init__.py",
    "__main__.py",
    "callbacks",
    "cli",
    "convergence",
    "course",
    "errors.py",
    "experiments",  # but for SHARED and the settings' own module
    "files.py",
    "io",
    "plots",
    "progress.py",
    "sklearn.py",
    "text.py",
    "typing.py",
}
SHARED = ("experiments/gradients.py", "experiments/runs.py", "experiments/variants.py")


class Settings(Protocol):
    """What a sweep can run: a frozen dataclass of plain values. Its `run` depends on them alone.

    If it has a field ``data``, that is a folder of IDX files, or None.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def run(self) -> dict[str, Any]:
        """Do the run; return plain data that can be written as JSON."""
        ...


class Store:
    """A folder of finished runs, ``KIND-CODE/HASH.json``. A file has a checksum of its result.

    KIND is the class of the settings. CODE is the version of the code that made the run: a run that other code made
    is another run, which is neither used nor touched. HASH stands for the settings. In it the content of the data set
    takes the place of the folder's path.

    Versions of Python, NumPy, Numba and the BLAS are in the file, under ``made_by``, and not in its name. They change
    the last digits of numbers, but a sweep that moves to another machine should not start over.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damaged: dict[Path, str] = {}  # files that could not be read, and why
        self.version = functools.cache(code_version)  # these two as they were when this store first asked
        self.data_version = functools.cache(version_of_data)

    def path(self, settings: Settings) -> Path:
        """Return where a run is kept."""
        fields = dataclasses.asdict(settings)
        if (data := self.data_version(folder_of(settings))) is not None:
            fields["data"] = data
        kind = type(settings)
        name = hashlib.sha256(json.dumps([kind.__qualname__, fields], sort_keys=True).encode()).hexdigest()
        return self.folder / self._subfolder(kind) / f"{name}.json"

    def _subfolder(self, kind: type) -> str:
        return f"{kind.__name__}-{self.version(kind.__module__)[:16]}"

    def read(self, settings: Settings) -> dict[str, Any] | None:
        """Return a kept result. Return None if there is none, or if its file is damaged, which is remembered."""
        path = self.path(settings)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            result = content["result"]
            if not isinstance(result, dict):
                reason = "holds no result"
            elif content["sha256"] != _checksum(result):
                reason = "was changed after it was written"
            else:
                return result
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            reason = error.strerror or "cannot be read"
        except (KeyError, TypeError):
            reason = "holds no result"
        except (ValueError, RecursionError):
            reason = "not a whole JSON file"
        self.damaged[path] = reason
        return None

    def keep(self, settings: Settings, made: dict[str, Any]) -> None:
        """Write what was ``made``, a run's result and ``made_by``, and its settings; raise InputError if it cannot."""
        content = {"settings": dataclasses.asdict(settings), **made, "sha256": _checksum(made["result"])}
        try:
            files.write_text(self.path(settings), json.dumps(content))
        except OSError as error:
            raise InputError(
                f"{self.folder}: cannot keep a result there ({error.strerror}); the runs finished before are kept: "
                "make room and start again to go on, or choose another folder"
            ) from None

    def remarks(self, kinds: Iterable[type]) -> list[str]:
        """Return a line on the kept runs of these kinds that other code made, and one on each damaged file."""
        lines, here = [], {self._subfolder(kind) for kind in kinds}
        stale = [
            path
            for name in sorted({kind.partition("-")[0] for kind in here})
            for path in self.folder.glob(f"{name}-*/*.json")
            if path.parent.name not in here
        ]
        if stale:
            lines.append(
                f"{self.folder}: {len(stale)} {'run' if len(stale) == 1 else 'runs'} kept there, made by another "
                "version of the code, not used and not touched"
            )
        for path, reason in self.damaged.items():
            lines.append(f"{path}: {reason}; this run is made again, the others are kept")
        return lines


def _checksum(result: Any) -> str:
    return hashlib.sha256(json.dumps(result, sort_keys=True).encode()).hexdigest()


def code_version(module: str) -> str:
    """Return a hash of the source that a run's numbers depend on: much of tinynet, and the settings' ``module``."""
    root = Path(tinynet.__file__).parent
    paths = sorted(path for path in root.rglob("*.py") if path.relative_to(root).parts[0] not in HARMLESS)
    paths += [*(root / name for name in SHARED), *_source(module, root)]
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _source(module: str, root: Path) -> list[Path]:
    """Return the file of a module of tinynet or of the user; a module that was typed in has none."""
    name = module.removeprefix("tinynet.")
    if name != module:
        return [root / f"{name.replace('.', '/')}.py"]
    file = getattr(sys.modules[module], "__file__", None)
    return [Path(file)] if file else []


def shared_module(settings: Settings) -> str:
    """Return the module that a sweep and its workers elsewhere must have alike.

    It is the settings' own, if that is in tinynet. A user's script is not a file on a cluster's machines.
    """
    module = type(settings).__module__
    return module if module.startswith("tinynet.") else "tinynet"


def folder_of(settings: Settings) -> str | None:
    """Return a run's folder of data, if it has one."""
    folder: str | None = getattr(settings, "data", None)
    return folder


def version_of_data(folder: str | None) -> str | None:
    """Return a hash of what is now in a folder of data, None for None; raise InputError if there are no data in it."""
    version = None if folder is None else data_version(folder)
    if version == "":
        raise InputError(f"{folder}: no such folder, or no IDX files in it")
    return version


@functools.cache
def made_by() -> dict[str, Any]:
    """Return what the runs of this process are computed with. Call it after a run: then the BLAS is loaded."""
    blas = [info for info in threadpool_info() if info["user_api"] == "blas"]
    versions = {package: importlib.metadata.version(package) for package in ("numpy", "numba")}
    return {
        "tinynet": tinynet.__version__,
        "python": platform.python_version(),
        **versions,
        "machine": f"{platform.system()} {platform.machine()}",
        "blas": [f"{b['internal_api']} {b['version']}, kernel set {b.get('architecture', 'unknown')}" for b in blas],
    }
