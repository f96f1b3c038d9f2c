"""Sweeps that are killed again and again, at once, or by what they find on disk."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Sweep, kill
from tests.micro import SWEEP
from tests.servers import HANG_S

pytestmark = pytest.mark.fault
NUM_TRIALS, NUM_STEPS = 4, 60


@pytest.fixture
def small(micro_with) -> Sweep:
    return micro_with()


def steps(folder: Path) -> list[int]:
    """Of the whole lines of a trial's events."""
    lines = (folder / "events.jsonl").read_text().split("\n")[:-1]
    return [int(line[1 : line.index(",")]) for line in lines]


def is_underway(sweep: Sweep, *, num_ended: int) -> Callable[[], bool]:
    """So many trials have ended, and another has a checkpoint and most of its way before it."""

    def ready() -> bool:
        ended = {path.parent for path in sweep.files("result.json")}
        running = {path.parent for path in sweep.files("checkpoint.pt")} - ended
        return len(ended) >= num_ended and any(len(steps(p)) < NUM_STEPS // 2 for p in running)

    return ready


def contents(sweep: Sweep) -> dict[Path, bytes]:
    """What every ended trial has written."""
    ended = [path.parent for path in sweep.files("result.json")]
    return {p: p.read_bytes() for t in ended for p in (t / "result.json", t / "events.jsonl")}


def test_killed_three_times_and_resumed_at_once_it_ends_the_same(undisturbed, small) -> None:
    driver = small.start("run", "sweep.yaml", cold=True)
    small.wait_until(lambda: bool(list(small.folder.glob("lnt_runs/small/*/execution.json"))))
    time.sleep(3)  # into the start of Ray and MLflow
    kill(driver)
    assert not small.files("result.json")
    driver = small.start("run", "sweep.yaml", "--resume")  # its first Ray may still be going down
    small.wait_until(is_underway(small, num_ended=1))
    kill(driver)
    ended_first = contents(small)
    driver = small.start("run", "sweep.yaml", "--resume")
    small.wait_until(is_underway(small, num_ended=2))
    kill(driver)
    ended = contents(small)
    small.lnt("run", "sweep.yaml", "--resume")
    assert ended_first.items() <= ended.items() <= contents(small).items()
    small.assert_tracked_once(num_trials=NUM_TRIALS, num_steps=NUM_STEPS)
    assert small.outcome() == undisturbed.outcome()


def test_a_rate_that_diverges_has_no_score_and_never_wins(micro_with) -> None:
    """At such a weight decay the higher rate turns every weight's sign, and multiplies it."""
    search = {"strategy": ["full"], "learning_rate": [0.9, 1e-4]}
    sweep = micro_with(search=search, train=SWEEP["train"] | {"weight_decay": 10.0})
    assert "Of 2 trials: 1 diverged." in sweep.lnt("run", "sweep.yaml")
    found = [(w["strategy"], w["learning_rate"]) for w in sweep.best()["winners"]]
    assert found == [("full", 1e-4)]
    _, runs = sweep.runs()
    (diverged,) = [run for run in runs if run.data.tags.get("lnt.status") == "diverged"]
    assert diverged.data.params["learning_rate"] == "0.9"
    assert diverged.info.status == "FINISHED"
    assert "select/cider" not in diverged.data.metrics


def test_a_killed_tpe_draws_as_many_as_asked_for_and_no_more(micro_with) -> None:
    search = {
        "strategy": ["layernorm", "full"],
        "learning_rate": {"low": 1e-5, "high": 1e-2},
        "algorithm": "tpe",
        "num_trials": 4,
    }
    sweep = micro_with(search=search)
    driver = sweep.start("run", "sweep.yaml")
    sweep.wait_until(is_underway(sweep, num_ended=1))
    kill(driver)
    ended = contents(sweep)
    sweep.lnt("run", "sweep.yaml", "--resume")
    assert ended.items() <= contents(sweep).items()
    sweep.assert_tracked_once(num_trials=4, num_steps=NUM_STEPS)


def test_an_interrupted_asha_sweep_finishes_and_stops_some(micro_with) -> None:
    search = {
        "strategy": ["full"],
        "learning_rate": {"low": 1e-7, "high": 5e-3},
        "algorithm": "random",
        "num_trials": 6,
        "scheduler": "asha",
    }
    sweep = micro_with(search=search)
    driver = sweep.start("run", "sweep.yaml")
    sweep.wait_until(is_underway(sweep, num_ended=1))
    driver.send_signal(signal.SIGINT)
    assert driver.wait(timeout=HANG_S) == 130
    sweep.lnt("run", "sweep.yaml", "--resume")
    _, runs = sweep.runs()
    assert {run.info.status for run in runs} == {"FINISHED"}
    statuses = [run.data.tags["lnt.status"] for run in runs if "lnt.trial_id" in run.data.tags]
    assert len(statuses) == 6
    assert set(statuses) == {"finished", "stopped"}
