import base64
import html.parser
import json
from pathlib import Path

from tinynet.experiments import page as report


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


def section(tmp_path: Path) -> report.Section:
    svg = tmp_path / "plot.svg"
    svg.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    return report.Section(
        name="first",
        title="A < B",
        verdict="Holds: 5 > 3 & so on.",
        text="What was run.",
        table=[["arm", "accuracy"], ["plain", "<10 %>"]],
        pictures=[report.Picture(svg, 'a "caption"')],
        command="tinynet compare --init 'normal(0.05)'",
        facts=[["seeds", "0, 1"]],
        data='{"a": 1}',
    )


def test_the_page_says_everything_and_escapes_it(tmp_path: Path) -> None:
    report.write(tmp_path / "report.html", title="All & more", sections=[section(tmp_path)])
    text = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    for expected in (
        "All & more",
        "A < B",
        "Holds: 5 > 3 & so on.",
        "<10 %>",
        'a "caption"',
        "tinynet compare --init 'normal(0.05)'",
        "0, 1",
    ):
        assert expected in text


def test_the_page_needs_no_other_file(tmp_path: Path) -> None:
    summary = [["claim", "verdict"], ["A < B", "holds"]]
    report.write(tmp_path / "report.html", title="All", sections=[section(tmp_path)], summary=summary)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    link, data = page.links
    assert link == "#first"
    assert json.loads(base64.b64decode(data.split(",")[1])) == {"a": 1}
    (image,) = page.images
    kind, svg = image.split(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(svg) == (tmp_path / "plot.svg").read_bytes()


def test_no_text_in_the_labs_data_can_end_its_script(tmp_path: Path) -> None:
    lab = {"axes": {}, "labels": {}, "arms": ["</script><b>"], "steps": [], "runs": {}}
    report.write(tmp_path / "report.html", title="All", sections=[section(tmp_path)], lab=lab)
    content = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "</script><b>" not in content
    found = content.split('id="lab-data">')[1].split("</script>")[0]
    assert json.loads(found) == lab


def test_the_markdown_page_has_every_section_with_its_pictures(tmp_path: Path) -> None:
    (tmp_path / "plot.png").write_bytes(b"picture")
    summary = [["claim", "verdict"], ["A < B", "5 | 3"]]
    path = tmp_path / "docs" / "page.md"
    report.write_markdown(path, title="All", made="a program", sections=[section(tmp_path)], summary=summary)
    assert path.read_text(encoding="utf-8").split("\n\n") == [
        "# All",
        "Written by a program.",
        "| claim | verdict |\n| --- | --- |\n| [A < B](#a--b) | 5 \\| 3 |",
        "## A < B",
        "**Holds.** 5 > 3 & so on.",
        "What was run.",
        "![A < B: plot](images/page_first_plot.png)",
        '*a "caption"*',
        "| arm | accuracy |\n| --- | --- |\n| plain | <10 %> |",
        "Run it again: `tinynet compare --init 'normal(0.05)'` (0, 1 seeds).\n",
    ]
    assert (tmp_path / "docs" / "images" / "page_first_plot.png").read_bytes() == b"picture"
