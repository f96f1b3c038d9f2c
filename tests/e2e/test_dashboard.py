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
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--window-size=1600,1000",
    "--virtual-time-budget=30000",
]


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


def page(url: str, profile) -> str:
    """The page's content once its scripts have run."""
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "--dump-dom", url]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium; .ci/run installs it")
class TestDashboard:
    def test_trials_stand_below_their_sweep_the_best_first(
        self, dashboard, finished, tmp_path
    ) -> None:
        _, runs = finished.runs()
        (parent,) = [run for run in runs if run.data.tags["lnt.kind"] == "sweep"]
        where = quote(f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
        order = f"orderByKey={quote('metrics.`select/cider`')}&orderByAsc=false"
        url = f"{dashboard}/#/experiments/{parent.info.experiment_id}/runs"
        shown = page(f"{url}?searchFilter={where}&{order}", tmp_path)
        trials = [run for run in runs if run.data.tags["lnt.kind"] == "trial"]
        trials.sort(key=lambda run: -run.data.metrics["select/cider"])
        places = [shown.find(f">{run.info.run_name}<") for run in trials]
        assert -1 not in places
        assert places[0] == min(places)

    def test_a_trial_shows_its_metrics_by_step(self, dashboard, finished, tmp_path) -> None:
        _, runs = finished.runs()
        run = next(run for run in runs if run.data.tags["lnt.kind"] == "trial")
        where = f"experiments/{run.info.experiment_id}/runs/{run.info.run_id}/model-metrics"
        shown = page(f"{dashboard}/#/{where}", tmp_path)
        assert run.info.run_name in shown
        assert "peak_gib" in shown
        assert "Step" in shown

    def test_the_sweeps_page_shows_the_figure(self, dashboard, finished, tmp_path) -> None:
        _, runs = finished.runs()
        (parent,) = [run for run in runs if run.data.tags["lnt.kind"] == "sweep"]
        where = f"experiments/{parent.info.experiment_id}/runs/{parent.info.run_id}/artifacts"
        shown = page(f"{dashboard}/#/{where}/curve.png", tmp_path)
        assert "best.yaml" in shown
        assert "<img" in shown
        assert "curve.png" in shown
