"""The report of a finished sweep, from MLflow alone, in a real browser."""

import os

import pytest

from tests import warm
from tests.e2e.browser import CHROMIUM, messages, requested
from tests.e2e.conftest import LNT

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium; .ci/run installs it"),
]
SHAPES = """return [...document.querySelectorAll("svg")].map(svg => {
    const box = svg.getBoundingClientRect();
    return [box.width, box.height, svg.querySelectorAll("path, use").length];
})"""
IMAGES = "return [...document.images].map(image => image.naturalWidth)"
OVERFLOW = "return document.documentElement.scrollWidth - window.innerWidth"
INK = "return getComputedStyle(document.querySelector('svg text')).fill"


@pytest.fixture(scope="module")
def report(finished, tmp_path_factory) -> str:
    """Written elsewhere, with nothing but the tracking store's address."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    uri = f"sqlite:///{finished.folder / 'mlflow.db'}"
    command = [LNT, "report", "small", "--tracking-uri", uri]
    done = warm.run(command, cwd=elsewhere, env=os.environ)
    assert done.returncode == 0, done.stderr
    return f"file://{elsewhere / 'small.html'}"


def test_it_is_drawn_whole_without_a_message_or_a_network(report, browser) -> None:
    messages(browser)
    requested(browser)
    browser.get(report)
    shapes = browser.execute_script(SHAPES)
    assert len(shapes) == 2 + 2 + 3  # rates and losses, a band a strategy, three costs
    for width, height, num_marks in shapes:
        assert width > 200
        assert height > 100
        assert num_marks > 10
    assert browser.execute_script(IMAGES) == [48] * 12  # pixels of a drawn scene
    assert messages(browser) == []
    others = [url for url in requested(browser) if not url.startswith("data:")]
    assert others == [report]


@pytest.mark.parametrize("width", [360, 1400])
def test_it_fits_a_phone_and_a_screen(width, report, browser) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(report)
    assert browser.execute_script(OVERFLOW) <= 0
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_figures_follow_light_and_dark(report, browser) -> None:
    inks = []
    for scheme in ("light", "dark"):
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        browser.get(report)
        inks.append(browser.execute_script(INK))
    assert inks == ["rgb(28, 36, 48)", "rgb(230, 233, 238)"]


def test_it_says_what_lnt_best_says(report, browser, finished) -> None:
    browser.get(report)
    rows = browser.execute_script(
        "return [...document.querySelectorAll('#results tbody tr')]"
        ".map(row => [...row.cells].map(cell => cell.textContent))"
    )
    winners = finished.best()["winners"]
    assert [row[2] for row in rows[:-1]] == [f"{w['score']:.2f}" for w in winners]
    assert rows[-1][0] == "untuned base"
