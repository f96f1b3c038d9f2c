"""The tracking server goes away midway, or answers nonsense: nothing is lost, nothing waits."""

import os
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.cluster.sweeps import CHANGES, NUM_TRIALS, assert_tracked
from tests.e2e.conftest import Sweep
from tests.left_behind import files_with, tables_with, written_forms
from tests.proxy import faulty_proxy
from tests.servers import DATABASE_PASSWORD, HANG_S, PASSWORD, USER

pytestmark = pytest.mark.cluster
AWAY_S = float(os.environ.get("LNT_OUTAGE_S", "20"))
"""LOG.md has what a minute gave."""


@pytest.fixture
def sweep_to(tmp_path, cache, micro):
    """A sweep that is tracked at an address."""

    def make(url: str, name: str) -> Sweep:
        where = {"uri": url, "storage": "lnt_runs"}
        content = micro | CHANGES | {"name": name, "tracking": where}
        sweep = Sweep(tmp_path / name, cache, **content)
        sweep.environment |= USER | {"RAY_TMPDIR": ray}
        return sweep

    with tempfile.TemporaryDirectory(prefix="ray-") as ray:  # a socket's name must be short
        yield make


def num_ended(sweep: Sweep) -> int:
    return len(list(sweep.folder.glob("lnt_runs/*/*/trials/*/result.json")))


def assert_whole(sweep: Sweep, name: str, database: str) -> None:
    folders = [path.parent for path in sweep.folder.glob("lnt_runs/*/*/trials/*/events.jsonl")]
    assert len(folders) == NUM_TRIALS
    assert_tracked(name, folders, database)


def test_a_server_killed_for_a_while(tracking, database, sweep_to) -> None:
    sweep = sweep_to(tracking.url, "away")
    driver = sweep.start("run", "sweep.yaml")
    sweep.wait_until(lambda: num_ended(sweep) >= 1)
    tracking.kill()
    ended_before = num_ended(sweep)
    time.sleep(AWAY_S)
    sweep.wait_until(lambda: num_ended(sweep) > ended_before)  # trials do not wait
    tracking.start()
    assert driver.wait(timeout=HANG_S) == 0, (sweep.folder / "driver.log").read_text()
    assert_whole(sweep, "away", database)
    assert_no_password_left(sweep, "away", tracking, database)


def assert_no_password_left(sweep, name: str, tracking, database: str) -> None:
    """Neither of the tracking server nor of its database, in whatever files and tables there are.

    Afterwards the sweep is read by a URI that contains the password.
    """
    sweep.environment["MLFLOW_TRACKING_URI"] = tracking.url.replace(
        "//", f"//{quote(USER['MLFLOW_TRACKING_USERNAME'])}:{quote(PASSWORD)}@"
    )
    for variable in USER:
        del sweep.environment[variable]
    said = [
        sweep.lnt("best", name),
        sweep.lnt("report", name, "-o", "report.html"),
        sweep.lnt("export", name, "-o", "out"),
        sweep.lnt("watch", name),
    ]
    (sweep.folder / "said").write_text("".join(said))
    ray = Path(sweep.environment["RAY_TMPDIR"])
    folders = [sweep.folder, Path(sweep.environment["LNT_CACHE"]), ray, tracking.folder]
    assert list(ray.glob("ray/session_*/logs/*"))
    sought = {name.encode()}  # what is there is found
    assert files_with(sought, [sweep.folder])
    assert tables_with(sought, f"{database}/mlflow")
    for secret, user in ((PASSWORD, "admin"), (DATABASE_PASSWORD, "lnt")):
        forms = written_forms(secret, user)
        assert files_with(forms, folders) == []
        assert [tables_with(forms, f"{database}/{kind}") for kind in ("mlflow", "access")] == [
            [],
            [],
        ]


def test_a_server_that_answers_500_and_then_nothing_at_all(tracking, database, sweep_to) -> None:
    with faulty_proxy(tracking.url) as proxy:
        sweep = sweep_to(proxy.url, "nonsense")
        driver = sweep.start("run", "sweep.yaml")
        sweep.wait_until(lambda: num_ended(sweep) >= 1)
        for mode in ("500", "hang"):
            proxy.mode, before = mode, proxy.num_refused
            time.sleep(AWAY_S / 2)
            assert proxy.num_refused > before
        proxy.mode = "pass"
        assert driver.wait(timeout=HANG_S) == 0, (sweep.folder / "driver.log").read_text()
        assert_whole(sweep, "nonsense", database)


def test_a_server_that_is_away_at_the_start_is_told_before_anything_starts(sweep_to) -> None:
    sweep = sweep_to("http://127.0.0.1:9", "nobody")
    driver = sweep.start("run", "sweep.yaml")
    assert driver.wait(timeout=HANG_S) == 2
    assert "no MLflow tracking store answers" in (sweep.folder / "driver.log").read_text()
    assert not os.path.exists(sweep.folder / "lnt_runs")  # noqa: PTH110
