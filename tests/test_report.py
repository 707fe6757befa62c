import base64
import html.parser
from pathlib import Path

from tinynet import report


class Page(html.parser.HTMLParser):
    """Collects text, image sources and every attribute that could load something."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.images: list[str] = []
        self.links: list[str] = []
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href"):
                (self.images if tag == "img" else self.links).append(value or "")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def write(tmp_path: Path) -> Page:
    svg = tmp_path / "plot.svg"
    svg.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    path = tmp_path / "report.html"
    report.write(
        path,
        title="A < B",
        verdict="Holds: 5 > 3 & so on.",
        table=[["arm", "accuracy"], ["plain", "<10 %>"]],
        pictures=[report.Picture(svg, 'a "caption"')],
        command="tinynet compare --init 'normal(0.05)'",
        facts=[["seeds", "0, 1"]],
    )
    return Page(path.read_text(encoding="utf-8"))


def test_the_page_says_everything_and_escapes_it(tmp_path: Path) -> None:
    text = write(tmp_path).text
    for expected in (
        "A < B",
        "Holds: 5 > 3 & so on.",
        "<10 %>",
        'a "caption"',
        "tinynet compare --init 'normal(0.05)'",
    ):
        assert expected in text


def test_the_page_needs_no_other_file(tmp_path: Path) -> None:
    page = write(tmp_path)
    assert page.links == []
    (image,) = page.images
    kind, data = image.split(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(data) == (tmp_path / "plot.svg").read_bytes()
