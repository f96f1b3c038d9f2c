"""Breaking a sweep, and finding it whole."""

import os
import signal

import psutil
import pytest

from tests.servers import HANG_S

pytestmark = pytest.mark.fault
NUM_TRIALS, NUM_STEPS = 4, 60


def test_a_killed_worker_costs_nothing_but_time(undisturbed, micro_with) -> None:
    sweep = micro_with()
    driver = sweep.start("run", "sweep.yaml")
    sweep.wait_until(lambda: bool(sweep.files("checkpoint.pt")))
    workers = [
        process
        for process in psutil.Process(driver.pid).children(recursive=True)
        if process.cmdline() and process.cmdline()[0].startswith("ray::ImplicitFunc")
    ]
    assert workers
    os.kill(workers[0].pid, signal.SIGKILL)
    assert driver.wait(timeout=HANG_S) == 0
    sweep.assert_tracked_once(num_trials=NUM_TRIALS, num_steps=NUM_STEPS)
    assert sweep.outcome() == undisturbed.outcome()


def test_a_finished_sweep_has_nothing_to_resume(undisturbed) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.files("result.json")}
    undisturbed.lnt("run", "sweep.yaml", "--resume")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    undisturbed.assert_tracked_once(num_trials=NUM_TRIALS, num_steps=NUM_STEPS)


def test_failed_trials_are_told_and_tried_again(micro_with) -> None:
    """Conversations cut after the 16 tokens of their image: nothing can be learnt from them."""
    sweep, cut = micro_with(), ("--set", "train.max_length=17")
    told = sweep.lnt("run", "sweep.yaml", *cut, expect=1)
    assert "4 trials failed; first error: " in told
    assert "lnt run sweep.yaml --set train.max_length=17 --resume" in told
    sweep.lnt("run", "sweep.yaml", *cut, "--resume", expect=1)
    _, runs = sweep.runs()
    assert {run.info.status for run in runs} == {"FAILED"}
    assert len(runs) == NUM_TRIALS + 1
