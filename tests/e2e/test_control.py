"""Following and changing a sweep while it runs, from a shell."""

import json
import math
import subprocess
from pathlib import Path

import pytest

from sweeps.tracking.requests import ANSWERED, ASKED
from tests.e2e.conftest import LNT, kill
from tests.micro import STAGE
from tests.servers import HANG_S

pytestmark = pytest.mark.fault
LONG = {"max_steps": 20_000, "checkpoint_every_steps": 50, **STAGE}
SHORT = {"max_steps": 20, **STAGE}
WARM_STEPS = 2_000
FIRST, SECOND = "layernorm lr=1e-4", "layernorm lr=5e-5"
EQUAL = {"strategy": ["layernorm"], "learning_rate": [1e-9, 1e-10], "extend_at_edge": True}
"""Rates that change no caption: of equal scores the smallest rate wins, which is at the edge."""
NONSENSE = {
    "note": "please stop lora",
    "000000000001": '{"id": "/../victim", "kind": "clone", "trial": "TRIAL"}',
    "../victim": '{"kind": "clone", "trial": "TRIAL", "from_checkpoint": true}',
    "000000000002": '{"kind": "delete", "trial": "TRIAL"}',
}
EQUAL_RATES = [1e-13, 1e-12, 1e-11, 1e-10, 1e-9]


def trials_of(sweep) -> dict[str, dict[str, str]]:
    """The tags of each trial's run, by the run's name."""
    _, runs = sweep.runs()
    found = [run for run in runs if run.data.tags["lnt.kind"] == "trial"]
    return {run.info.run_name: run.data.tags for run in found}


@pytest.fixture
def running(micro_with):
    """A sweep whose first trial has a checkpoint and a long way to go."""
    search = {"strategy": ["layernorm"], "learning_rate": [1e-4, 5e-5]}
    sweep = micro_with(search=search, train=LONG)
    driver = sweep.start("run", "sweep.yaml")
    sweep.wait_until(lambda: bool(sweep.files("checkpoint.pt")))
    yield sweep, driver
    if driver.poll() is None:
        kill(driver)


def is_running(sweep, name: str) -> bool:
    return trials_of(sweep).get(name, {}).get("lnt.status") == "running"


def test_stop_and_clone_while_others_run_and_watch_to_the_end(running) -> None:
    sweep, driver = running
    watch = subprocess.Popen(
        [LNT, "watch", "small", "--interval-s", "1"],
        cwd=sweep.folder,
        env=sweep.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    victim = _ask_for_nonsense(sweep)
    warm = ("learning_rate=2e-4", f"train.max_steps={WARM_STEPS}", "--from-checkpoint")
    assert ", from step " in sweep.lnt("trial", "clone", "small", FIRST, *warm)
    short = ("train.max_steps=20",)
    told = sweep.lnt("trial", "clone", "small", FIRST, "learning_rate=3e-4", *short)
    assert told.startswith("the clone is trial ")
    sweep.lnt("trial", "clone", "small", FIRST, "learning_rate=3e-4", *short, expect=2)
    assert sweep.lnt("trial", "stop", "small", FIRST).startswith("stopped at step ")
    sweep.lnt("trial", "stop", "small", FIRST, expect=2)
    sweep.wait_until(lambda: len(trials_of(sweep)) >= 4)
    sweep.lnt("trial", "stop", "small", SECOND)
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
    (parent,) = [run for run in sweep.runs()[1] if run.data.tags["lnt.kind"] == "sweep"]
    for name in NONSENSE:
        assert "not a request" in parent.data.tags[ANSWERED + name]
    assert victim.read_text() == "kept"
    sweep.lnt("trial", "stop", "small", FIRST, expect=2)


def _ask_for_nonsense(sweep) -> Path:
    """Whoever may set tags may write anything; returns a file that a path made of it would hit."""
    client, runs = sweep.runs()
    (parent,) = [run for run in runs if run.data.tags["lnt.kind"] == "sweep"]
    (checkpoint,) = sweep.files("checkpoint.pt")
    victim = checkpoint.parents[1] / "victim.pt"
    victim.write_text("kept")
    for name, text in NONSENSE.items():
        client.set_tag(
            parent.info.run_id, ASKED + name, text.replace("TRIAL", checkpoint.parent.name)
        )
    return victim


def _check_the_warm_clone(sweep, tags) -> None:
    """It goes on behind the checkpoint, at its own learning rate, on its own schedule."""
    (warm,) = [run_tags for run_tags in tags.values() if "lnt.started_at_step" in run_tags]
    began = int(warm["lnt.started_at_step"])
    (events,) = [p for p in sweep.files("events.jsonl") if p.parent.name == warm["lnt.trial_id"]]
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    rates = {step: metrics["train/lr"] for step, _, metrics, _ in lines if "train/lr" in metrics}
    assert list(rates) == list(range(began + 1, WARM_STEPS + 1))
    assert max(rates.values()) <= 2e-4
    half = max(WARM_STEPS // 2, began + 1)  # the cosine is its own config's
    warmup = math.ceil(0.03 * WARM_STEPS)
    cosine = 2e-4 * 0.5 * (1 + math.cos(math.pi * (half - warmup) / (WARM_STEPS - warmup)))
    assert rates[half] == pytest.approx(cosine, rel=1e-6)
    assert rates[WARM_STEPS] == 0.0


def test_a_clone_outlives_the_driver(running) -> None:
    sweep, driver = running
    told = sweep.lnt("trial", "clone", "small", FIRST, "learning_rate=3e-4", "train.max_steps=20")
    clone = told.split()[4].rstrip(";")
    kill(driver)
    again = sweep.start("run", "sweep.yaml", "--resume")
    for name in (FIRST, SECOND):
        sweep.wait_until(lambda name=name: is_running(sweep, name))
        sweep.lnt("trial", "stop", "small", name)
    assert again.wait(timeout=HANG_S) == 0
    statuses = {tags["lnt.trial_id"]: tags["lnt.status"] for tags in trials_of(sweep).values()}
    assert statuses.pop(clone) == "finished"
    assert list(statuses.values()) == ["stopped", "stopped"]


def rates(sweep) -> list[float]:
    runs = [run for run in sweep.runs()[1] if run.data.tags["lnt.kind"] == "trial"]
    return sorted(float(run.data.params["learning_rate"]) for run in runs)


def test_an_edge_is_extended_also_after_a_kill_and_the_best_points_get_further_seeds(
    micro_with,
) -> None:
    sweep = micro_with(search=EQUAL, train=SHORT)
    driver = sweep.start("run", "sweep.yaml")
    sweep.wait_until(lambda: any("edge" in p.read_text() for p in sweep.files("origin.json")))
    kill(driver)
    before = {path: path.stat().st_mtime_ns for path in sweep.files("result.json")}
    assert len(before) >= 2
    printed = sweep.lnt("run", "sweep.yaml", "--resume", "--seeds", "2")
    assert "Mean ± sd over seeds (number of seeds), layernorm: " in printed
    added = [tags["lnt.added"] for tags in trials_of(sweep).values() if "lnt.added" in tags]
    assert sorted(added) == ["edge"] * 3 + ["seed"] * 2
    assert sorted(set(rates(sweep))) == pytest.approx(EQUAL_RATES)
    assert {tags["lnt.status"] for tags in trials_of(sweep).values()} == {"finished"}
    assert [point["n"] for point in sweep.best()["repeated"]] == [2, 2]
    (winner,) = sweep.best()["winners"]
    assert (winner["learning_rate"], winner["at_edge"]) == (pytest.approx(1e-13), True)
    (weights,) = {path.parent for path in sweep.files("weights/*")}
    by_id = {run.data.tags.get("lnt.trial_id"): run for run in sweep.runs()[1]}
    assert by_id[weights.parent.name].info.run_id == winner["run_id"]
    assert {path: path.stat().st_mtime_ns for path in before} == before
