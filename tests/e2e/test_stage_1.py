"""Stage 1 of a sweep that is killed in its middle: what comes of it, and how MLflow shows it."""

import os
import signal
from pathlib import Path

import pytest
import torch

from lnt_core.training.align import kept_connector
from lnt_core.worker import Worker
from sweeps.config import SweepConfig
from sweeps.plan.base import base_config
from sweeps.storage.events import read_events
from tests.e2e.browser import CHROMIUM, page
from tests.e2e.conftest import Sweep, dashboard_of, kill
from tests.micro import STAGE
from tests.servers import HANG_S

pytestmark = pytest.mark.fault
STEPS = 400
CHANGES = {
    "align": {"max_steps": STEPS, "checkpoint_every_steps": 20, **STAGE},
    "search": {"strategy": ["layernorm"], "learning_rate": [1e-3]},
    "train": {"max_steps": 2, **STAGE},
}


def connector(cache: Path) -> dict[str, torch.Tensor]:
    (saved,) = cache.glob("align-*")  # and neither a checkpoint nor a lock
    return kept_connector(saved)


@pytest.fixture(scope="module")
def resumed(tmp_path_factory, micro):
    """A sweep with a cache of its own, whose driver and trainer are killed in stage 1."""
    folder = tmp_path_factory.mktemp("stage-1")
    sweep = Sweep(folder / "sweep", folder / "cache", **(micro | CHANGES))
    driver = sweep.start("run", "sweep.yaml")
    sweep.wait_until(lambda: len(steps_in(sweep)) > STEPS // 10)
    trainer = lock_holder(folder / "cache")
    kill(driver)
    os.kill(trainer, signal.SIGKILL)
    assert 1 <= len(steps_in(sweep)) < STEPS
    assert not list((folder / "cache").glob("align-????????????.pt"))
    sweep.lnt("run", "sweep.yaml", "--resume")
    return sweep


def steps_in(sweep: Sweep) -> list[int]:
    """The steps of stage 1 that are logged."""
    paths = sweep.folder.glob("lnt_runs/small/*/align/events.jsonl")
    return [event.step for path in paths for event, _ in read_events(path)]


def lock_holder(cache: Path) -> int:
    """The id of the process that trains stage 1, as the kernel knows it."""
    (lock,) = cache.glob("align-*.lock")
    for line in Path("/proc/locks").read_text().splitlines():
        if line.split()[5].endswith(f":{lock.stat().st_ino}"):
            return int(line.split()[4])
    raise AssertionError(f"nobody holds {lock}")


def test_it_ends_with_the_same_connector_and_every_loss_once(resumed, micro, tmp_path) -> None:
    config, _ = base_config(SweepConfig.model_validate(micro | CHANGES))
    losses: dict[int, float] = {}
    Worker(tmp_path).prepare(
        config, report=lambda step, metrics: losses.update({step: metrics["train/loss"]})
    )
    one, other = connector(tmp_path), connector(resumed.folder.parent / "cache")
    assert all(torch.equal(one[name], other[name]) for name in one)
    client, runs = resumed.all_runs()
    (run,) = [run for run in runs if run.data.tags["lnt.kind"] == "align"]
    (parent,) = [run for run in runs if run.data.tags["lnt.kind"] == "sweep"]
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert parent.data.tags["lnt.align_run"] == run.info.run_id
    assert {run.info.status for run in runs} == {"FINISHED"}
    points = client.get_metric_history(run.info.run_id, "train/loss")
    assert {point.step: point.value for point in points} == losses
    assert len(points) == STEPS


def test_alone_it_is_interrupted_and_goes_on_and_a_sweep_links_to_it(micro, tmp_path) -> None:
    sweep = Sweep(tmp_path / "sweep", tmp_path / "cache", **(micro | CHANGES))
    alone = sweep.start("align", "sweep.yaml")
    log = sweep.folder / "driver.log"
    sweep.wait_until(lambda: "Stage 1: step " in log.read_text())
    alone.send_signal(signal.SIGINT)
    assert alone.wait(timeout=HANG_S) == 130, log.read_text()
    assert "It goes on from its last checkpoint." in log.read_text()
    assert "Traceback" not in log.read_text()
    assert list((tmp_path / "cache").glob("align-*.checkpoint.pt"))
    sweep.lnt("align", "sweep.yaml")
    sweep.lnt("run", "sweep.yaml")
    client, runs = sweep.all_runs()
    (run,) = [run for run in runs if run.data.tags["lnt.kind"] == "align"]
    (parent,) = [run for run in runs if run.data.tags["lnt.kind"] == "sweep"]
    assert run.info.status == "FINISHED"
    assert parent.data.tags["lnt.align_run"] == run.info.run_id
    points = client.get_metric_history(run.info.run_id, "train/loss")
    assert [point.step for point in points] == list(range(1, STEPS + 1))


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium; .ci/run installs it")
def test_its_run_shows_the_curve_and_what_it_is(resumed, browser, tmp_path) -> None:
    _, runs = resumed.all_runs()
    (run,) = [run for run in runs if run.data.tags["lnt.kind"] == "align"]
    (parent,) = [run for run in runs if run.data.tags["lnt.kind"] == "sweep"]
    where = f"#/experiments/{run.info.experiment_id}/runs"
    with dashboard_of(resumed, tmp_path / "ui.log") as url:
        page(browser, f"{url}/{where}/{run.info.run_id}", "stage 1", "the connector alone")
        metrics = f"{url}/{where}/{run.info.run_id}/model-metrics"
        page(browser, metrics, ">loss<", ">tokens_per_s<", ">Step<")
        page(browser, f"{url}/{where}/{parent.info.run_id}", "lnt.align_run", run.info.run_id)
