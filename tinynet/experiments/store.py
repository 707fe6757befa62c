"""Finished runs on disk: a file each, named after all that its numbers depend on, written whole or not at all."""

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

# No run's numbers depend on these files; a change in any other makes kept results stale.
HARMLESS = {
    "__init__.py",
    "__main__.py",
    "callbacks",
    "cli",
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
SHARED = ("experiments/runs.py", "experiments/variants.py")


class Settings(Protocol):
    """A frozen dataclass of plain values whose `run` depends on nothing else and returns plain data.

    A field called ``data`` is a folder of IDX files, or None.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def run(self) -> dict[str, Any]:
        """Do the run; the result survives JSON."""
        ...


class Store:
    """A folder of finished runs: ``KIND-CODE/HASH.json``, each with a checksum of its result.

    KIND is the settings' class, CODE the version of the code that made the run, HASH stands for the settings, and
    for the content of the data set in place of its path. So what other code made is another run: it is neither
    used nor touched.

    Versions of Python, NumPy, Numba and the BLAS are not in the name: they change a number's last digits, and a sweep
    that is moved to another machine should not start over. They are in the file, under ``made_by``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damaged: dict[Path, str] = {}  # files that could not be read, and why
        self._versions: dict[str, str] = {}
        self._data: dict[str | None, str | None] = {}

    def version(self, module: str) -> str:
        """Return `code_version`, as it was when first asked."""
        self._versions[module] = self._versions.get(module) or code_version(module)
        return self._versions[module]

    def data_version(self, settings: Settings) -> str | None:
        """Return `version_of_data`, as it was when first asked."""
        folder = getattr(settings, "data", None)
        self._data[folder] = self._data.get(folder) or version_of_data(settings)
        return self._data[folder]

    def path(self, settings: Settings) -> Path:
        """Return where a run is kept."""
        fields = dataclasses.asdict(settings)
        if (data := self.data_version(settings)) is not None:
            fields["data"] = data
        kind = type(settings)
        name = hashlib.sha256(json.dumps([kind.__qualname__, fields], sort_keys=True).encode()).hexdigest()
        return self.folder / self._subfolder(kind) / f"{name}.json"

    def _subfolder(self, kind: type) -> str:
        return f"{kind.__name__}-{self.version(kind.__module__)[:16]}"

    def read(self, settings: Settings) -> dict[str, Any] | None:
        """Return a kept result; None if there is none, or its file is `damaged`."""
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
        """Write a run's ``result`` and ``made_by``, with its settings; raise InputError if there is no room."""
        content = {"settings": dataclasses.asdict(settings), **made, "sha256": _checksum(made["result"])}
        try:
            files.write_text(self.path(settings), json.dumps(content))
        except OSError as error:
            raise InputError(
                f"{self.folder}: cannot keep a result there ({error.strerror}); the runs finished before are kept: "
                "make room and start again to go on, or choose another folder"
            ) from None

    def remarks(self, kinds: Iterable[type]) -> list[str]:
        """Return a line on kept runs of these kinds that other code made, and one on each file that is damaged."""
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
    """Return a hash of the source that a run's numbers depend on: tinynet's own and the settings' ``module``."""
    root = Path(tinynet.__file__).parent
    paths = sorted(path for path in root.rglob("*.py") if path.relative_to(root).parts[0] not in HARMLESS)
    paths += [*(root / name for name in SHARED), *_source(module, root)]
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _source(module: str, root: Path) -> list[Path]:
    """Return the file of a module, if it has one: tinynet's, or the user's own."""
    name = module.removeprefix("tinynet.")
    if name != module:
        return [root / f"{name.replace('.', '/')}.py"]
    file = getattr(sys.modules[module], "__file__", None)
    return [Path(file)] if file else []


def shared_module(settings: Settings) -> str:
    """Return the module of which a sweep and its workers must have the same version; scripts are not on a cluster."""
    module = type(settings).__module__
    return module if module.startswith("tinynet.") else "tinynet"


def version_of_data(settings: Settings) -> str | None:
    """Return a hash of what is in a run's folder of data now, or raise InputError; None for a run without a folder."""
    folder = getattr(settings, "data", None)
    version = None if folder is None else data_version(folder)
    if version == "":
        raise InputError(f"{folder}: no such folder, or no IDX files in it")
    return version


@functools.cache
def made_by() -> dict[str, Any]:
    """Return what runs of this process are computed with; asked for after a run, when its BLAS is loaded."""
    blas = [info for info in threadpool_info() if info["user_api"] == "blas"]
    versions = {package: importlib.metadata.version(package) for package in ("numpy", "numba")}
    return {
        "tinynet": tinynet.__version__,
        "python": platform.python_version(),
        **versions,
        "machine": f"{platform.system()} {platform.machine()}",
        "blas": [f"{b['internal_api']} {b['version']}, kernel set {b.get('architecture', 'unknown')}" for b in blas],
    }
