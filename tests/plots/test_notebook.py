"""What a notebook shows: the HTML and pictures themselves, then in a real Jupyter kernel."""

import base64
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

import tinynet as tn
from tests.jupyter import Messages, kernel
from tinynet import experiments, plots
from tinynet.experiments import suite, sweep
from tinynet.experiments.arms import Results
from tinynet.experiments.experiment import Experiment, Finding, Verdict
from tinynet.experiments.sweep import run_sweep
from tinynet.plots import notebook

ROOT = Path(__file__).parents[1]
WIDTH = 2 * 6 * 72  # dots, of loss and accuracy side by side


class Page(HTMLParser):
    """The tags, texts and cells of a piece of HTML, every element of which must be closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in ("img", "br"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data

    def pictures(self) -> list[np.ndarray[Any, Any]]:
        """Return the pixels of every picture; each is inside the HTML."""
        sources = [attributes["src"] for tag, attributes in self.tags if tag == "img"]
        return [pixels(base64.b64decode(str(s).removeprefix("data:image/png;base64,"))) for s in sources]


def pixels(png: bytes) -> np.ndarray[Any, Any]:
    return matplotlib.image.imread(io.BytesIO(png), format="png")


# -- a network -----------------------------------------------------------------------------------------------------


def test_a_network_shows_its_layers_as_a_table() -> None:
    net = tn.mlp(784, [100], 10, activation="sigmoid", norm="batch", seed=0)
    page = Page(net._repr_html_())
    header, *rows, total = page.rows
    assert header == ["layer", "settings", "reads", "outputs", "parameters"]
    assert [(name, settings, reads) for name, settings, reads, _, _ in rows] == [
        (name, settings, ", ".join(reads)) for name, settings, reads, _, _ in net.describe()
    ]
    assert [int(row[4].replace(",", "")) for row in rows] == [0, 784 * 100, 2 * 100, 0, 100 * 10 + 10]
    assert total == ["total", "", "", "", "79,610"]
    assert "Sequential, 4 layers: 784 inputs, 10 outputs, 79,610 parameters, float32" in page.text


def test_a_node_that_reads_two_names_both() -> None:
    x = tn.Input(4)
    h = tn.Dense(4)(x)
    page = Page(tn.Network(x, tn.Add()(h, tn.Dense(4)(h)), seed=0, dtype="float64")._repr_html_())
    assert ["dense_1, dense_2" in row for row in page.rows] == [False, False, False, False, True, False]
    assert "float64" in page.text


def test_a_small_network_is_drawn_and_a_large_one_is_a_folded_table() -> None:
    small, large = (tn.Sequential([tn.Dense(2) for _ in range(n)], inputs=2, seed=0) for n in (20, 21))
    page = Page(small._repr_html_())
    assert len(page.pictures()) == 1
    assert ("details", {"open": None}) in page.tags
    page = Page(large._repr_html_())
    assert page.pictures() == []
    assert ("details", {}) in page.tags
    assert len(page.rows) == 1 + 22 + 1


def test_the_drawing_has_the_size_of_the_graph_and_a_white_page() -> None:
    tall, short = (
        Page(tn.Sequential([tn.Dense(2) for _ in range(n)], inputs=2, seed=0)._repr_html_()).pictures()[0]
        for n in (9, 1)
    )
    assert tall.shape[1] == short.shape[1]
    assert tall.shape[0] > 3 * short.shape[0]
    np.testing.assert_array_equal(short[0, 0], [1, 1, 1, 1])


def test_drawing_leaves_no_figure_open_that_a_notebook_would_show_again() -> None:
    import matplotlib.pyplot as plt

    plt.close("all")
    tn.mlp(4, [3], 2, seed=0)._repr_html_()
    tn.History([1], [1.0], [1.0], [0.5], [0.1])._repr_png_()
    assert plt.get_fignums() == []


def test_text_is_escaped_and_nothing_is_run_or_loaded() -> None:
    nasty = '<script>alert("1")</script>&'
    rows: list[tuple[str, str, tuple[str, ...], int, int]] = [
        ("input", nasty, (), 4, 0),
        (nasty, "Dense", ("input",), 2, 10),
    ]
    for layers in (2, 30):
        rows += [(f"dense_{k}", "Dense", (nasty,), 2, 10) for k in range(len(rows), layers + 1)]
        page = Page(notebook.network_html(nasty, rows, nasty))
        assert page.rows[1][1] == page.rows[2][0] == page.rows[3][2] == nasty
        names = {tag for tag, _ in page.tags}
        assert names <= {"details", "summary", "b", "div", "table", "thead", "tbody", "tr", "th", "td", "img"}
        assert all(str(a["src"]).startswith("data:image/png") for tag, a in page.tags if tag == "img")
        assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
        assert not any(re.search(r"(?<!-)\b(color|background)\b", str(a.get("style"))) for _, a in page.tags)


# -- a history -----------------------------------------------------------------------------------------------------


def test_a_history_shows_loss_and_accuracy_side_by_side() -> None:
    history = tn.History([10, 20], [2.0, 1.0], [1.5, 0.5], [0.5, 0.75], [0.1, 0.1])
    loss, accuracy = notebook.history_figure(history, accuracy=True).axes
    assert (loss.get_ylabel(), len(loss.lines)) == ("loss", 2)
    assert (accuracy.get_ylabel(), len(accuracy.lines)) == ("accuracy", 1)
    shown = history._repr_png_()
    assert shown is not None
    png, size = shown
    assert pixels(png).shape[:2] == (2 * size["height"], 2 * size["width"])
    assert size["width"] == WIDTH


def test_without_a_validation_set_there_is_no_accuracy_to_show() -> None:
    nan = float("nan")
    shown = tn.History([10, 20], [2.0, 1.0], [nan, nan], [nan, nan], [0.1, 0.1])._repr_png_()
    assert shown is not None
    assert shown[1]["width"] == WIDTH // 2


def test_a_history_without_a_record_has_no_curves() -> None:
    assert tn.History()._repr_png_() is None
    assert str(tn.History()) == "History: no record"


def test_a_history_is_one_line_of_text() -> None:
    history = tn.History([10, 20], [2.0, 1.0], [1.5, 0.5], [0.5, 0.75], [0.1, 0.1])
    line = "History: 2 records, step 20, training loss 1, validation loss 0.5, validation accuracy 0.75"
    assert str(history) == line
    history.append(30, float("inf"), float("nan"), float("nan"), 0.1)
    history.diverged = True
    assert str(history) == "History: 3 records, diverged at step 30, training loss inf"


# -- what an experiment found --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Coin:
    seed: int

    def run(self) -> dict[str, Any]:
        if self.seed < 0:
            raise tn.InputError("no such coin")
        return {"heads": self.seed % 2}


def drawn(results: Results) -> dict[str, Any]:
    figure, (ax,) = plots.figure()
    ax.plot([r["heads"] for r in results.values()])
    return {"heads": figure}


def coins(*seeds: int) -> Experiment:
    return Experiment(
        name="coins",
        title="Coins <&> heads",
        claim="Heads.",
        method="Thrown.",
        runs=lambda quick: [Coin(seed) for seed in (seeds[:1] if quick else seeds)],
        verdict=lambda results: Verdict("holds", f"{len(results)} coins < 4."),
        table=lambda results: [["coin", "heads"], *([str(s.seed), str(r["heads"])] for s, r in results.items())],
        draw=drawn,
        captions={"heads": "Heads & tails."},
    )


def test_a_finding_shows_verdict_table_and_captioned_figures() -> None:
    finding = coins(1, 2).finding({Coin(1): {"heads": 1}, Coin(2): {"heads": 0}})
    page = Page(finding._repr_html_())
    assert page.rows == [["coin", "heads"], ["1", "1"], ["2", "0"]]
    assert "Coins <&> heads" in page.text
    assert "Holds: 2 coins < 4." in page.text
    assert "Heads & tails." in page.text
    assert len(page.pictures()) == 1
    assert repr(finding) == "Coins <&> heads: holds"
    assert str(finding).splitlines() == [
        "Coins <&> heads", "", "coin   heads", "1      1", "2      0", "", "Holds: 2 coins < 4.",
    ]  # fmt: skip


def test_an_experiment_whose_every_run_failed_shows_nothing() -> None:
    finding = coins(1).finding({})
    assert str(finding.verdict) == "Not shown: every run failed"
    assert Page(finding._repr_html_()).pictures() == []


def test_every_experiment_can_be_run_from_a_notebook_and_finished_runs_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(suite.EXPERIMENTS, "coins", coins(1, 2, -3))
    with monkeypatch.context() as patch:  # in this process: a worker's start takes seconds
        patch.setattr(sweep, "run_sweep", lambda runs, *, store, jobs, description: run_sweep(runs, store=store))
        finding = experiments.run("coins", out=tmp_path, jobs=1)
    assert isinstance(finding, Finding)
    assert finding.table[1:] == [["1", "1"], ["2", "0"]]
    assert "failed: Coin(seed=-3): no such coin" in capsys.readouterr().err
    assert experiments.run("coins", quick=True, out=tmp_path).table[1:] == [["1", "1"]]


def test_an_experiment_that_does_not_exist_is_refused() -> None:
    with pytest.raises(tn.InputError, match="learning-rate"):
        experiments.run("learning-rat", quick=True)


# -- in a kernel ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Messages]]:
    """A function that runs a cell in a new Jupyter kernel and returns the type and content of what it shows."""
    with kernel(tmp_path_factory.mktemp("jupyter")) as run:
        run(
            "import sys, tinynet as tn\n"
            "moons = tn.datasets.moons(60, seed=0)\n"
            "net = tn.mlp(2, [4], 2, norm=None, seed=0)\n"
            "def fit(*callbacks, **options):\n"
            "    return tn.fit(net, moons, validation=moons, steps=30, batch_size=20, callbacks=callbacks, **options)"
        )
        yield run


@pytest.mark.slow
def test_a_network_and_a_history_show_themselves(cell: Callable[[str], Messages]) -> None:
    ((kind, content),) = cell("net")
    assert kind == "execute_result"
    assert len(Page(content["data"]["text/html"]).pictures()) == 1
    ((kind, content),) = cell("fit()")
    assert kind == "execute_result"
    assert content["data"]["text/plain"].startswith("History: 30 records, step 30, training loss ")
    assert (
        pixels(base64.b64decode(content["data"]["image/png"])).shape[1]
        == 2 * content["metadata"]["image/png"]["width"]
    )


@pytest.mark.slow
def test_a_plot_shows_itself_once(cell: Callable[[str], Messages]) -> None:
    for _ in range(2):  # the first loads the notebook's backend
        assert [kind for kind, _ in cell("net.plot();")] == ["display_data"]


@pytest.mark.slow
def test_live_curves_take_one_place_and_stay(cell: Callable[[str], Messages]) -> None:
    (first, shown), *updates = cell("fit(tn.LiveCurves(seconds=1e-9));")
    assert first == "display_data"
    assert updates
    assert {kind for kind, _ in updates} == {"update_display_data"}
    assert {update["transient"]["display_id"] for _, update in updates} == {shown["transient"]["display_id"]}
    assert updates[-1][1]["data"]["text/plain"].startswith("History: 30 records, step 30")
    for content in (shown, updates[-1][1]):
        assert content["metadata"]["image/png"]["width"] == WIDTH
        assert pixels(base64.b64decode(content["data"]["image/png"])).shape[1] == 2 * WIDTH


@pytest.mark.slow
def test_a_progress_bar_warns_of_no_missing_widgets(cell: Callable[[str], Messages]) -> None:
    shown = cell("import warnings; warnings.simplefilter('always'); fit(tn.LiveCurves(), progress=True);")
    said = "".join(content.get("text", "") for _, content in shown)
    assert "Warning" not in said
    assert "IProgress" not in said
    assert "30/30" in said + str([content.get("data") for _, content in shown])
