"""A Jupyter kernel to run cells in, as a notebook does."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
TIMEOUT = 120  # seconds: no cell takes a tenth of it
Messages = list[tuple[str, dict[str, Any]]]


@contextlib.contextmanager
def kernel(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Callable[[str], Messages]]:
    """Give a function that runs a cell in a new kernel and returns the type and content of what it shows.

    Jupyter's own files go into ``folder``. A cell that fails fails the test.
    """
    pytest.importorskip("ipykernel")
    from jupyter_client.manager import KernelManager

    variables = ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR")
    own = dict.fromkeys(variables, str(folder)) | {"PYTHONPATH": str(ROOT)}
    inherited = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in own.items():
            patch.setenv(variable, value)
        manager = KernelManager(transport="ipc" if os.name == "posix" else "tcp")
        manager.start_kernel(cwd=str(ROOT), env={**(inherited if environment is None else environment), **own})
    client = manager.blocking_client()

    def run(code: str) -> Messages:
        shown: Messages = []

        def note(message: dict[str, Any]) -> None:
            if message["msg_type"] not in ("status", "execute_input"):
                shown.append((message["msg_type"], message["content"]))

        reply = client.execute_interactive(code, timeout=TIMEOUT, output_hook=note)
        assert reply["content"]["status"] == "ok", reply["content"]
        return shown

    try:
        client.start_channels()
        client.wait_for_ready(timeout=TIMEOUT)
        yield run
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def printed(messages: Messages) -> str:
    """Return what went to standard output."""
    return "".join(content["text"] for _, content in messages if content.get("name") == "stdout")
