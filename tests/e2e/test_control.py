"""Following and changing a sweep while it runs, from a shell."""

import json
import math
import subprocess
import time

import pytest

from sweeps.tracking.requests import ASKED, Request
from tests.e2e.conftest import LNT, STAGE, kill
from tests.servers import HANG_S

pytestmark = pytest.mark.slow
LONG = {"max_steps": 4000, "checkpoint_every_steps": 5, **STAGE}
SHORT = {"max_steps": 20, "checkpoint_every_steps": 5, **STAGE}
WARM_STEPS = 800
ONE = {"max_concurrent_trials": 1}
FIRST = "layernorm lr=1e-4"


def trials_of(sweep) -> dict[str, dict[str, str]]:
    """The tags of each trial's run, by the run's name."""
    _, runs = sweep.runs()
    found = [run for run in runs if run.data.tags["lnt.kind"] == "trial"]
    return {run.info.run_name: run.data.tags for run in found}


@pytest.fixture
def running(sweep_with):
    """A sweep whose first trial has a checkpoint and a while to go."""
    search = {"strategy": ["layernorm"], "learning_rate": [1e-4, 5e-5]}
    sweep = sweep_with(search=search, train=LONG, resources=ONE)
    driver = sweep.start("run", "sweep.yaml")
    sweep.wait_until(lambda: bool(sweep.files("checkpoint.pt")))
    yield sweep, driver
    if driver.poll() is None:
        kill(driver)


def stop_all(sweep, driver) -> int:
    """Stop trial after trial, until the sweep ends."""
    while driver.poll() is None:
        for name, tags in trials_of(sweep).items():
            if tags["lnt.status"] == "running":
                subprocess.run([LNT, "trial", "stop", "small", name], cwd=sweep.folder)
        time.sleep(0.5)
    return driver.wait()


def test_stop_and_clone_while_others_run_and_watch_to_the_end(running) -> None:
    sweep, driver = running
    watch = subprocess.Popen(
        [LNT, "watch", "small", "--interval-s", "1"],
        cwd=sweep.folder,
        env=sweep.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    warm = ("learning_rate=2e-4", f"train.max_steps={WARM_STEPS}", "--from-checkpoint")
    assert ", from step " in sweep.lnt("trial", "clone", "small", FIRST, *warm)
    short = ("train.max_steps=20",)
    told = sweep.lnt("trial", "clone", "small", FIRST, "learning_rate=3e-4", *short)
    assert told.startswith("the clone is trial ")
    sweep.lnt("trial", "clone", "small", FIRST, "learning_rate=3e-4", *short, expect=2)
    assert sweep.lnt("trial", "stop", "small", FIRST).startswith("stopped at step ")
    sweep.lnt("trial", "stop", "small", FIRST, expect=2)
    sweep.wait_until(lambda: len(trials_of(sweep)) >= 4)
    sweep.lnt("trial", "stop", "small", "layernorm lr=5e-5")
    assert driver.wait(timeout=HANG_S) == 0
    printed, _ = watch.communicate(timeout=HANG_S)
    assert watch.returncode == 0
    assert f"{FIRST}: stopped at " in printed
    assert "small (FINISHED): 4 trials: 2 finished, 2 stopped" in printed
    assert "untuned base" in printed
    tags = trials_of(sweep)
    assert tags[FIRST]["lnt.stopped_by"] == "user"
    cold = tags["layernorm train.max_steps=20 lr=3e-4"]
    assert cold["lnt.cloned_from"] == tags[FIRST]["lnt.trial_id"]
    _check_the_warm_clone(sweep, tags)
    sweep.lnt("trial", "stop", "small", FIRST, expect=2)


def _check_the_warm_clone(sweep, tags) -> None:
    """It goes on behind the checkpoint, at its own learning rate, on its own schedule."""
    (warm,) = [run_tags for run_tags in tags.values() if "lnt.started_at_step" in run_tags]
    began = int(warm["lnt.started_at_step"])
    (events,) = [p for p in sweep.files("events.jsonl") if p.parent.name == warm["lnt.trial_id"]]
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    rates = {step: metrics["train/lr"] for step, _, metrics in lines if "train/lr" in metrics}
    assert list(rates) == list(range(began + 1, WARM_STEPS + 1))
    assert max(rates.values()) <= 2e-4
    half = max(
        WARM_STEPS // 2, began + 1
    )  # the cosine is the config's, whatever the checkpoint's was
    cosine = 2e-4 * 0.5 * (1 + math.cos(math.pi * (half - 24) / (WARM_STEPS - 24)))
    assert rates[half] == pytest.approx(cosine, rel=1e-6)
    assert rates[WARM_STEPS] == 0.0


def test_a_clone_outlives_the_driver(running) -> None:
    sweep, driver = running
    told = sweep.lnt("trial", "clone", "small", FIRST, "learning_rate=3e-4", "train.max_steps=20")
    clone = told.split()[4].rstrip(";")
    kill(driver)
    time.sleep(5)  # its Ray goes down
    again = sweep.start("run", "sweep.yaml", "--resume")
    assert stop_all(sweep, again) in (0, 1)
    by_id = {tags["lnt.trial_id"]: tags for tags in trials_of(sweep).values()}
    assert by_id[clone]["lnt.status"] in ("finished", "stopped")


def test_a_request_that_the_driver_was_killed_over_is_carried_out_by_the_next(running) -> None:
    sweep, driver = running
    client, runs = sweep.runs()
    (parent,) = [run for run in runs if run.data.tags["lnt.kind"] == "sweep"]
    kill(driver)
    request = Request("stop", trials_of(sweep)[FIRST]["lnt.trial_id"])
    client.set_tag(parent.info.run_id, ASKED + request.id, json.dumps(vars(request)))
    time.sleep(5)
    again = sweep.start("run", "sweep.yaml", "--resume")
    sweep.wait_until(lambda: trials_of(sweep)[FIRST]["lnt.status"] == "stopped")
    stop_all(sweep, again)


def test_an_edge_is_extended_and_the_best_points_get_further_seeds(sweep_with) -> None:
    search = {"strategy": ["layernorm"], "learning_rate": [5e-4, 1e-3], "extend_at_edge": True}
    sweep = sweep_with(search=search, train=SHORT)
    sweep.lnt("run", "sweep.yaml")
    added = [tags for tags in trials_of(sweep).values() if "lnt.added" in tags]
    assert added
    assert {tags["lnt.added"] for tags in added} == {"edge"}
    (winner,) = sweep.best()["winners"]
    rates = sorted(float(run.data.params["learning_rate"]) for run in _trial_runs(sweep))
    assert not winner["at_edge"] or len(rates) == 5
    before = {path: path.stat().st_mtime_ns for path in sweep.files("result.json")}
    printed = sweep.lnt("run", "sweep.yaml", "--resume", "--seeds", "2")
    assert "over seeds (number of seeds), layernorm: " in printed
    repeated = sweep.best()["repeated"]
    assert [point["n"] for point in repeated] == [2, 2]
    (winner,) = sweep.best()["winners"]
    assert winner["learning_rate"] == repeated[0]["learning_rate"]
    (weights,) = {path.parent for path in sweep.files("weights/*")}
    by_id = {run.data.tags["lnt.trial_id"]: run for run in _trial_runs(sweep)}
    assert by_id[weights.parent.name].info.run_id == winner["run_id"]
    rewritten = [path for path in before if path.stat().st_mtime_ns != before[path]]
    assert {path.parent.name for path in rewritten} <= {weights.parent.name}


def _trial_runs(sweep):
    return [run for run in sweep.runs()[1] if run.data.tags["lnt.kind"] == "trial"]


def test_an_extension_that_was_killed_goes_on(sweep_with) -> None:
    search = {"strategy": ["layernorm"], "learning_rate": [5e-4, 1e-3], "extend_at_edge": True}
    quick = {**SHORT, "max_steps": 60}
    sweep = sweep_with(search=search, train=quick)
    driver = sweep.start("run", "sweep.yaml")
    sweep.wait_until(lambda: bool(list(sweep.folder.glob("lnt_runs/small/*/added/*.json"))))
    kill(driver)
    time.sleep(5)
    sweep.lnt("run", "sweep.yaml", "--resume")
    statuses = {tags["lnt.status"] for tags in trials_of(sweep).values()}
    assert statuses <= {"finished", "diverged"}
    assert len(trials_of(sweep)) >= 3
