"""A bar where someone sees it, no escape codes, and nothing but results on standard output."""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tinynet import cli, progress

pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")
termios = pytest.importorskip("termios")
SMALL = ["--depth", "2", "--width", "8", "--batch-size", "20"]
Streams = Callable[..., contextlib.AbstractContextManager[list[bytes]]]


@contextlib.contextmanager
def streams(monkeypatch: pytest.MonkeyPatch, *names: str, terminal: bool) -> Iterator[list[bytes]]:
    """Have these streams lead to a terminal or into a pipe; what came through is in the list afterwards."""
    reading, writing = pty.openpty() if terminal else os.pipe()
    if terminal:
        termios.tcsetwinsize(writing, (24, 80))
    received: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):  # how a terminal says that its other end is closed
            while part := os.read(reading, 4096):
                received.append(part)

    thread = threading.Thread(target=read)
    thread.start()
    with monkeypatch.context() as patch:
        file = os.fdopen(writing, "w")
        for name in names:
            patch.setattr(sys, name, file)
        yield received
        file.close()
    thread.join()
    os.close(reading)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_is_drawn_in_a_terminal_only(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with streams(monkeypatch, "stderr", terminal=terminal) as received, progress.bar(3, "three") as bar:
        bar.update(3)
    assert (b"three: 100%" in b"".join(received)) == terminal
    assert terminal or received == []


def test_no_bar_is_drawn_where_standard_error_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with progress.bar(3, "three") as bar:
        bar.update(3)


def test_a_bar_goes_to_standard_error_and_the_result_to_standard_output(
    idx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "net.safetensors")
    with streams(monkeypatch, "stderr", terminal=True) as received:
        assert cli.main(["train", *SMALL, "--steps", "20", "--data", str(idx_folder), "--out", out]) == 0
    assert b"20/20" in b"".join(received)
    assert capsys.readouterr().out.startswith("20 steps, test accuracy ")


COLOURLESS: list[Any] = [
    pytest.param({"NO_COLOR": "1"}, True, id="a terminal and NO_COLOR"),
    pytest.param({}, False, id="a pipe"),
]


@pytest.mark.parametrize(("environment", "terminal"), COLOURLESS)
@pytest.mark.parametrize("command", ["list", "train", "--help", "wrong"])
def test_no_escape_code_is_printed(
    command: str,
    environment: dict[str, str],
    terminal: bool,
    idx_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    more = {"train": [*SMALL, "--steps", "20", "--data", str(idx_folder), "--out", str(tmp_path / "net")]}
    with (
        streams(monkeypatch, "stdout", "stderr", terminal=terminal) as received,
        contextlib.suppress(SystemExit),  # of the help, and of what is wrong
    ):
        cli.main([command, *more.get(command, [])])
    text = b"".join(received)
    assert text
    assert b"\x1b" not in text
