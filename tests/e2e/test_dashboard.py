"""The MLflow page of a finished sweep, in a real browser."""

from urllib.parse import quote

import pytest
from selenium.webdriver.support.ui import WebDriverWait

from sweeps.tracking.dashboard import view_key
from tests.e2e.browser import CHROMIUM, page
from tests.servers import HANG_S

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def parent(finished):
    """The sweep's own run."""
    _, runs = finished.runs()
    (found,) = [run for run in runs if run.data.tags["lnt.kind"] == "sweep"]
    return found


def _heads(browser) -> list[str]:
    """The table's columns from left to right; the grid adds their elements in any order."""
    return browser.execute_script(
        "return [...document.querySelectorAll('.ag-header-cell')].sort((a, b) => "
        "a.getBoundingClientRect().left - b.getBoundingClientRect().left)"
        ".map(head => head.innerText.trim())"
    )


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

    def test_the_trials_have_their_own_table_and_charts(self, dashboard, parent, browser) -> None:
        runs = f"{dashboard}/#/experiments/{parent.info.experiment_id}/runs"
        view = f"{runs}?viewStateShareKey={view_key(parent.info.run_id)}"
        names = ["lnt.strategy", "learning_rate", "select/cider"]
        shown = page(browser, view, *(f">{name}<" for name in names), "full lr=")
        WebDriverWait(browser, timeout=HANG_S).until(
            lambda b: [head for head in _heads(b) if head in names] == names,
            message=f"the columns are not in the order {names}",
        )
        assert f">{parent.info.run_name}</" not in shown.split("Run Name")[-1]
        page(browser, f"{view}&compareRunsMode=CHART", "Add chart", "full lr=")
        drawn = (
            "return document.querySelectorAll('svg .plot path, .js-plotly-plot svg path').length"
        )
        WebDriverWait(browser, timeout=HANG_S).until(lambda b: b.execute_script(drawn) > 10)

    def test_a_sweep_says_what_it_found_and_links_to_it(self, dashboard, parent, browser) -> None:
        where = f"{dashboard}/#/experiments/{parent.info.experiment_id}/runs/{parent.info.run_id}"
        shown = page(browser, where, "The best of 6 trials is", "All trials, best first")
        assert f"runs/{parent.info.run_id}/artifacts/report.html" in shown
        page(browser, f"{where}/artifacts/report.html", "<iframe")

    def test_a_trials_page_has_its_data_and_its_node(self, dashboard, finished, browser) -> None:
        _, runs = finished.runs()
        run = next(run for run in runs if run.data.tags["lnt.kind"] == "trial")
        where = f"{dashboard}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
        page(browser, where, "scenes train", "Training")
        page(browser, f"{where}/system-metrics", "cpu_utilization_percentage")

    def test_the_registry_has_the_winners(self, dashboard, finished, browser) -> None:
        best = finished.best()["winners"][0]["strategy"]
        page(browser, f"{dashboard}/#/models/small", ">Aliases<", f"best-{best}")

    def test_the_sweeps_page_shows_the_figure(self, dashboard, parent, browser) -> None:
        where = f"experiments/{parent.info.experiment_id}/runs/{parent.info.run_id}/artifacts"
        page(browser, f"{dashboard}/#/{where}/curve.png", "best.yaml", "sweep.yaml", "<img")
        largest = "return Math.max(...[...document.images].map(image => image.naturalWidth))"
        WebDriverWait(browser, timeout=HANG_S).until(lambda b: b.execute_script(largest) == 960)
