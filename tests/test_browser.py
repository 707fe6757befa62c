"""The lab handout in a real browser (Debian's chromium and chromium-driver; skipped where there is none)."""

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinynet.experiments import page as report

pytestmark = pytest.mark.slow
webdriver = pytest.importorskip("selenium.webdriver")
if not shutil.which("chromedriver") or not shutil.which("chromium"):
    pytest.skip("needs chromium and chromedriver", allow_module_level=True)

from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.remote.webdriver import WebDriver  # noqa: E402
from selenium.webdriver.support.select import Select  # noqa: E402

AXES = {"depth": [2, 5], "lr": [0.1, 1.0, 3.0], "activation": ["sigmoid", "relu"]}


def grid() -> dict[str, object]:
    """Return a made-up grid in which every cell has curves of its own; one diverged, one failed."""
    runs = {}
    for k, index in enumerate(itertools.product(*(range(len(values)) for values in AXES.values()))):
        depth = AXES["depth"][index[0]]
        plain = {"accuracy": [0.1, 0.01 * k], "gradient": [10.0**-j for j in range(depth)], "diverged": False}
        other = {"accuracy": [0.5, 0.9 - 0.01 * k], "gradient": [1e-2] * depth, "diverged": k == 2}
        runs[",".join(map(str, index))] = [plain, other]
    runs["1,2,1"][0]["gradient"][0] = None  # type: ignore[index]
    del runs["0,0,0"]
    labels = {"depth": "Hidden layers", "lr": "Learning rate", "activation": "Activation"}
    return {"axes": AXES, "labels": labels, "arms": ["plain", "normalized"], "steps": [100, 200], "runs": runs}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    section = report.Section("one", "One", "Holds: yes.", "Text.", [["a"], ["1"]], [], "tinynet run one")
    report.write(folder / "report.html", title="Report", sections=[section], lab=grid())
    return Path(folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    flags = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
    for flag in f"{flags} disable-component-update disable-sync disable-dev-shm-usage".split():
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def opened(browser: WebDriver, address: str) -> WebDriver:
    browser.get("about:blank")  # an address that differs only behind its # would not be loaded anew
    browser.get(address)
    return browser


def drawing(browser: WebDriver) -> tuple[list[str], list[str]]:
    """Return the points of the lines in both charts."""
    curve, gradient = (
        [line.get_attribute("points") for line in browser.find_elements(By.CSS_SELECTOR, f"#{chart} polyline")]
        for chart in ("lab-curve", "lab-gradient")
    )
    return curve, gradient


def summary(browser: WebDriver) -> str:
    return browser.find_element(By.ID, "lab-summary").text


def test_a_slider_moved_by_the_keyboard_redraws_both_charts(browser: WebDriver, page: str) -> None:
    opened(browser, f"{page}#depth=2&lr=1&activation=relu")
    before = drawing(browser)
    slider = browser.find_element(By.ID, "lab-depth")
    slider.send_keys(Keys.ARROW_RIGHT)
    after = drawing(browser)
    assert browser.find_element(By.ID, "lab-depth-value").text == "5"
    assert before[0] != after[0]
    assert before[1] != after[1]
    assert len(after[1][0].split()) == 5, "a point a layer"


def test_a_list_chooses_among_names(browser: WebDriver, page: str) -> None:
    opened(browser, f"{page}#depth=2&lr=1&activation=relu")
    before = summary(browser)
    Select(browser.find_element(By.ID, "lab-activation")).select_by_visible_text("sigmoid")
    assert browser.execute_script("return location.hash") == "#depth=2&lr=1&activation=sigmoid"
    assert summary(browser) != before


def test_a_link_restores_the_choice(browser: WebDriver, page: str) -> None:
    opened(browser, page)
    browser.find_element(By.ID, "lab-lr").send_keys(Keys.ARROW_RIGHT)
    address, drawn, said = browser.current_url, drawing(browser), summary(browser)
    assert "lr=3" in address
    opened(browser, address)
    assert (drawing(browser), summary(browser)) == (drawn, said)
    opened(browser, f"{page}#depth=nonsense&lr=0.1")  # what is unknown is left as it is
    assert browser.find_element(By.ID, "lab-lr-value").text == "0.1"


def test_the_address_changed_by_hand_changes_the_page(browser: WebDriver, page: str) -> None:
    opened(browser, f"{page}#depth=2&lr=1&activation=relu")
    before = drawing(browser)
    browser.execute_script("location.hash = '#depth=5&lr=3&activation=relu'")
    browser.execute_async_script("setTimeout(arguments[0], 100)")
    assert drawing(browser) != before


def test_divergence_and_missing_runs_are_said(browser: WebDriver, page: str) -> None:
    opened(browser, f"{page}#depth=2&lr=1&activation=sigmoid")
    texts = [t.text for t in browser.find_elements(By.CSS_SELECTOR, "#lab-curve text")]
    assert "normalized: diverged" in summary(browser)
    assert "✕ diverged" in texts
    opened(browser, f"{page}#depth=2&lr=0.1&activation=sigmoid")
    assert summary(browser) == "This run failed: there is nothing to show."


def test_the_page_fits_a_phone_and_turns_dark(browser: WebDriver, page: str) -> None:
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    opened(browser, page)
    try:
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
        back = "return getComputedStyle(document.body).backgroundColor"
        assert browser.execute_script(back) == "rgb(22, 24, 27)"
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_nothing_is_said_on_the_console(browser: WebDriver, page: str) -> None:
    browser.get_log("browser")
    opened(browser, f"{page}#depth=5&lr=3&activation=relu")
    browser.find_element(By.ID, "lab-depth").send_keys(Keys.ARROW_LEFT)
    assert browser.get_log("browser") == []
