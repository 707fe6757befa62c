"""Text in any encoding that exports have, line by line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BufferedIOBase, TextIOWrapper

from tinynet.errors import FileFormatError
from tinynet.files import brief

LINE_LIMIT = 2**20  # characters: 20,000 columns
HEAD = 2**16  # bytes that tell the kind of file
MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # byte-order marks


def encoding(head: bytes) -> str | None:
    """Return the encoding of a text by its first bytes; None if they are not of a text."""
    for mark, name in MARKS.items():
        if head.startswith(mark):
            return name
    if b"\0" not in head:
        return "utf-8"
    halves = head[0:200:2], head[1:200:2]  # UTF-16 without a mark: each second byte of an ASCII text is 0
    for nothing, letters, name in ((halves[1], halves[0], "utf-16-le"), (halves[0], halves[1], "utf-16-be")):
        if not nothing.strip(b"\0") and b"\0" not in letters:
            return name
    return None


class Lines:
    """A text's lines, none of them longer than memory has room for.

    Parameters
    ----------
    file : binary file
    name : str
        For messages.
    code : str
        Its encoding.
    advance : callable
        Called now and then with the number of characters read since.
    """

    def __init__(self, file: BufferedIOBase, name: str, code: str, advance: Callable[[int], object]) -> None:
        self.text = TextIOWrapper(file, code, newline="")  # type: ignore[type-var]
        self.name, self.advance = name, advance
        self.number = 0
        self.line = "\n"  # the last that was read
        self.comments: list[str] = []

    def __iter__(self) -> Iterator[str]:
        """Yield the lines that are neither empty nor comments."""
        read = 0
        while line := self._next():
            self.number += 1
            read += len(line)
            if read > 2**20:
                self.advance(read)
                read = 0
            self.line = line
            if line[0] == "#":
                self.comments = [*self.comments[-9:], line]
            elif not line.isspace():
                yield line
        self.advance(read)

    @property
    def ended(self) -> bool:
        """Whether the last line that was read has its end."""
        return self.line.endswith(("\n", "\r"))

    def _next(self) -> str:
        try:
            line = self.text.readline(LINE_LIMIT)
        except UnicodeError as error:
            raise FileFormatError(f"{self.name}: not text after line {self.number} ({brief(error)})") from None
        if len(line) == LINE_LIMIT:
            raise FileFormatError(f"{self.name}: line {self.number + 1} has more than {LINE_LIMIT:,} characters")
        return line
