"""The MLflow page of a finished sweep, in a real browser."""

import shutil
import socket
import subprocess
import time
import urllib.request
from urllib.parse import quote

import pytest

from tests.e2e.conftest import LNT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--window-size=1600,1000",
)


@pytest.fixture(scope="module")
def dashboard(finished):
    """`lnt ui` on the finished sweep's store."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([LNT, "ui", "--port", str(port)], cwd=finished.folder)
    url = f"http://127.0.0.1:{port}"
    for _ in range(120):
        try:
            urllib.request.urlopen(f"{url}/health", timeout=1)
            break
        except OSError:
            time.sleep(0.5)
    yield url
    server.terminate()
    server.wait(timeout=30)


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium by its own driver."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(flag)
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


def page(browser, url: str, *texts: str) -> str:
    """The page's content, once every text stands in it."""
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get("about:blank")  # else a change of the part behind # loads nothing anew
    browser.get(url)
    wait = WebDriverWait(browser, timeout=60)
    wait.until(lambda driver: all(text in driver.page_source for text in texts))
    return browser.page_source


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium; .ci/run installs it")
class TestDashboard:
    def test_trials_stand_below_their_sweep_the_best_first(
        self, dashboard, finished, browser
    ) -> None:
        _, runs = finished.runs()
        (parent,) = [run for run in runs if run.data.tags["lnt.kind"] == "sweep"]
        where = quote(f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
        order = f"orderByKey={quote('metrics.`select/cider`')}&orderByAsc=false"
        url = f"{dashboard}/#/experiments/{parent.info.experiment_id}/runs"
        trials = [run for run in runs if run.data.tags["lnt.kind"] == "trial"]
        trials.sort(key=lambda run: -run.data.metrics["select/cider"])
        names = [f">{run.info.run_name}<" for run in trials]
        shown = page(browser, f"{url}?searchFilter={where}&{order}", *names)
        assert min(names, key=shown.find) == names[0]

    def test_a_trial_shows_its_metrics_by_step(self, dashboard, finished, browser) -> None:
        _, runs = finished.runs()
        run = next(run for run in runs if run.data.tags["lnt.kind"] == "trial")
        where = f"experiments/{run.info.experiment_id}/runs/{run.info.run_id}/model-metrics"
        page(browser, f"{dashboard}/#/{where}", run.info.run_name, ">layer_similarity<", ">Step<")

    def test_the_sweeps_page_shows_the_figure(self, dashboard, finished, browser) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        _, runs = finished.runs()
        (parent,) = [run for run in runs if run.data.tags["lnt.kind"] == "sweep"]
        where = f"experiments/{parent.info.experiment_id}/runs/{parent.info.run_id}/artifacts"
        page(browser, f"{dashboard}/#/{where}/curve.png", "best.yaml", "sweep.yaml", "<img")
        largest = "return Math.max(...[...document.images].map(image => image.naturalWidth))"
        WebDriverWait(browser, timeout=60).until(lambda b: b.execute_script(largest) == 960)
