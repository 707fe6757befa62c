"""One target under atheris: ``python -m tests.fuzz.worker TARGET FOLDER [libFuzzer's options]``.

FOLDER is where the seeds lie. A finding ends it: libFuzzer writes the content that did it to a file, and Python
prints the exception.
"""

import sys
import tempfile
import time
from pathlib import Path

import atheris

WATCHED = [  # what reads files; the kernels are compiled, and cannot be watched
    "tinynet.io.network_file",
    "tinynet.datasets.idx",
    "tinynet.files",
    "tinynet.history",
    "tinynet.initializers",
    "tinynet.io.pytorch",
    "tinynet.layers",
    "tinynet.network",
]

with atheris.instrument_imports(include=WATCHED):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    name, *options = sys.argv[1:]
    target = next(target for target in TARGETS if target.name == name)

    def attempt(content: bytes) -> None:
        start = time.process_time()  # of this process alone: another one may keep the disk or the processor busy
        target.attempt(content, path)
        assert time.process_time() - start < 5, "took more than 5 s"

    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        path = Path(folder) / "file"
        atheris.Setup([sys.argv[0], *options], attempt)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
