"""A sweep that finds a broken file of its own on disk."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import STAGE, Sweep

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
NUM_TRIALS, NUM_STEPS = 4, 60
SMALL = {
    "search": {"strategy": ["layernorm", "full"], "learning_rate": [2e-3, 1e-4]},
    "train": {"max_steps": NUM_STEPS, "checkpoint_every_steps": 3, **STAGE},
    "resources": {"max_concurrent_trials": 1},  # so that midway is a state, not a moment
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, cache) -> Sweep:
    sweep = Sweep(tmp_path_factory.mktemp("undisturbed") / "sweep", cache, **SMALL)
    sweep.lnt("run", "sweep.yaml")
    return sweep


@pytest.fixture
def small(sweep_with) -> Sweep:
    return sweep_with(**SMALL)


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


def test_a_broken_checkpoint_fails_its_trial_alone_until_it_is_gone(undisturbed, small) -> None:
    driver = small.start("run", "sweep.yaml")
    small.wait_until(is_underway(small, num_ended=1))
    driver.send_signal(signal.SIGINT)
    assert driver.wait(timeout=120) == 130
    (checkpoint,) = small.files("checkpoint.pt")
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    printed = small.lnt("run", "sweep.yaml", "--resume", expect=1)
    assert "1 trials failed, the first with: " in printed
    assert "lnt run sweep.yaml --resume" in printed
    client, runs = small.runs()
    status = {run.data.tags.get("lnt.trial_id"): run.info.status for run in runs}
    broken = checkpoint.parent.name
    assert status.pop(None) == "FAILED"
    assert status.pop(broken) == "FAILED"
    assert set(status.values()) == {"FINISHED"}
    assert len(status) == NUM_TRIALS - 1
    (run,) = [run for run in runs if run.data.tags.get("lnt.trial_id") == broken]
    assert "error.txt" in [file.path for file in client.list_artifacts(run.info.run_id)]
    assert run.info.run_id not in {winner["run_id"] for winner in small.best()["winners"]}
    checkpoint.unlink()
    small.lnt("run", "sweep.yaml", "--resume")
    small.assert_tracked_once(num_trials=NUM_TRIALS, num_steps=NUM_STEPS)
    assert small.scores() == undisturbed.scores()
