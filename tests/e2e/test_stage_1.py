"""Stage 1 of a sweep that is killed in its middle: what comes of it, and how MLflow shows it."""

import os
import signal
from pathlib import Path

import pytest
import torch

from lnt_core.training.align import kept_connector
from lnt_core.worker import Worker
from sweeps.cli.exit_codes import EXIT_REFUSED
from sweeps.config import SweepConfig
from sweeps.plan.base import base_config
from sweeps.storage.events import read_events
from tests.e2e.browser import CHROMIUM, page
from tests.e2e.conftest import Sweep, dashboard_of, kill, workers_of
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
    paths = sweep.folder.glob("lnt_runs/small/*/align/*/events.jsonl")
    return [event.step for path in paths for event, _ in read_events(path)]


def of_kind(runs, kind: str) -> list:
    return [run for run in runs if run.data.tags["lnt.kind"] == kind]


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


FORMATS = {"values": {"train.precision": ["fp32", "bf16"]}}


def test_two_workers_train_it_before_the_trials_also_after_a_kill(micro, tmp_path) -> None:
    changes = CHANGES | {"align": CHANGES["align"] | {"workers": 2, "max_steps": 200}}
    sweep = Sweep(tmp_path / "sweep", tmp_path / "cache", **(micro | changes))
    alone = sweep.start("align", "sweep.yaml")
    sweep.wait_until(lambda: len(steps_in(sweep)) > 30)
    os.kill(workers_of(alone)[1].pid, signal.SIGKILL)
    assert alone.wait(timeout=HANG_S) == EXIT_REFUSED
    assert "it goes on from the last checkpoint" in (sweep.folder / "driver.log").read_text()
    assert list((tmp_path / "cache").glob("align-*.checkpoint-*"))
    told = sweep.lnt("run", "sweep.yaml")
    assert "Stage 1: step " in told
    assert connector(tmp_path / "cache") is not None  # and neither a lock nor a checkpoint
    client, runs = sweep.all_runs()
    (parent,) = of_kind(runs, "sweep")
    (run,) = [r for r in of_kind(runs, "align") if "mlflow.parentRunId" in r.data.tags]
    assert run.info.status == "FINISHED"
    assert parent.data.tags["lnt.align_run"] == run.info.run_id
    points = client.get_metric_history(run.info.run_id, "train/loss")
    assert [point.step for point in points] == list(range(1, 201))
    config, _ = base_config(SweepConfig.model_validate(micro | changes))
    one: list[float] = []
    Worker(tmp_path / "one").align(
        config, report=lambda step, metrics: one.append(metrics["train/loss"])
    )
    assert [point.value for point in points] == pytest.approx(one, rel=1e-6)


def test_what_a_trial_trains_itself_has_a_run_and_a_line_too(micro, tmp_path) -> None:
    changes = CHANGES | {
        "search": CHANGES["search"] | FORMATS,
        "align": CHANGES["align"] | {"max_steps": 40},
    }
    sweep = Sweep(tmp_path / "sweep", tmp_path / "cache", **(micro | changes))
    told = sweep.lnt("run", "sweep.yaml")
    assert "\nStage 1: step 1 of 40, " in f"\n{told}"
    assert "\nStage 1 of layernorm train.precision=bf16 lr=1e-3: step 1 of 40, " in told
    client, runs = sweep.all_runs()
    (parent,), stages = of_kind(runs, "sweep"), of_kind(runs, "align")
    names = {run.info.run_name for run in stages}
    assert names == {"stage 1 train.precision=fp32", "stage 1 train.precision=bf16"}
    linked = parent.data.tags["lnt.align_run"].split(", ")
    assert sorted(linked) == sorted(run.info.run_id for run in stages)
    for run in stages:
        points = client.get_metric_history(run.info.run_id, "train/loss")
        assert (run.info.status, len(points)) == ("FINISHED", 40)
    timed = {
        run.data.params["train.precision"]: run.data.metrics.get("time/align_s")
        for run in of_kind(runs, "trial")
    }
    assert timed["fp32"] is None
    assert timed["bf16"] > 0


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
