"""Breaking a sweep, and finding it whole."""

import json
import os
import signal

import pytest

from tests.e2e.conftest import processes_called
from tests.patched import sitecustomize
from tests.servers import HANG_S

pytestmark = pytest.mark.fault
NUM_TRIALS, NUM_STEPS = 4, 60


def test_a_killed_worker_costs_nothing_but_time(undisturbed, micro_with) -> None:
    sweep = micro_with(resources={"max_concurrent_trials": 2})
    driver = sweep.start("run", "sweep.yaml")
    sweep.wait_until(lambda: bool(sweep.files("checkpoint.pt")))
    workers = processes_called(driver, "ImplicitFunc")
    assert workers
    os.kill(workers[0].pid, signal.SIGKILL)
    assert driver.wait(timeout=HANG_S) == 0
    sweep.assert_tracked_once(num_trials=NUM_TRIALS, num_steps=NUM_STEPS)
    assert sweep.outcome() == undisturbed.outcome()


LOST_GPU = """
import os

def patch(loop):
    import torch
    real, lost = loop.optimizer_step, []
    def step(*args, **options):
        if options["step"] == 5 and not os.path.exists(os.environ["LOST"]):
            open(os.environ["LOST"], "x").close()
            lost.append(True)
        if lost:
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
        return real(*args, **options)
    loop.optimizer_step = step
"""


def test_a_process_that_has_lost_its_gpu_fails_one_trial_and_leaves(
    undisturbed, micro_with
) -> None:
    """As after an illegal access: from the first error on, every step in that process fails."""
    sweep = micro_with()
    patched = sitecustomize("lnt_core.training.loop", LOST_GPU)
    (sweep.folder / "sitecustomize.py").write_text(patched)
    lost = sweep.folder / "lost"
    sweep.environment |= {"PYTHONPATH": str(sweep.folder), "LOST": str(lost)}
    told = sweep.lnt("run", "sweep.yaml", expect=1)
    assert lost.exists()
    assert "an illegal memory access" in told
    expected, found = undisturbed.outcome(), sweep.outcome()
    (failed,) = [key for key, (status, *_) in found.items() if status == "failed"]
    assert sorted(found[failed][2]) == [1, 2, 3, 4]
    assert {k: v for k, v in found.items() if k != failed} == {
        k: v for k, v in expected.items() if k != failed
    }
    results = [json.loads(path.read_text()) for path in sweep.files("result.json")]
    assert sum("AcceleratorError" in result["error"] for result in results) == 1


def test_a_finished_sweep_has_nothing_to_resume(undisturbed) -> None:
    """Nor is anything registered once more."""

    def registered() -> dict[str, str]:
        client, _ = undisturbed.runs()
        assert len(client.search_model_versions("name = 'small'")) == 2
        return dict(client.get_registered_model("small").aliases)

    first = registered()
    assert set(first) == {"best", "best-layernorm", "best-full"}
    before = {path: path.stat().st_mtime_ns for path in undisturbed.files("result.json")}
    undisturbed.lnt("run", "sweep.yaml", "--resume")
    assert registered() == first
    assert {path: path.stat().st_mtime_ns for path in before} == before
    undisturbed.assert_tracked_once(num_trials=NUM_TRIALS, num_steps=NUM_STEPS)


def test_failed_trials_are_told_and_tried_again(undisturbed, micro_with) -> None:
    """Where their weights should go, there is a file."""
    sweep = micro_with()
    driver = sweep.start("run", "sweep.yaml")
    sweep.wait_until(lambda: len(sweep.files("trial.yaml")) == NUM_TRIALS)
    in_the_way = [path.with_name("weights") for path in sweep.files("trial.yaml")]
    for path in in_the_way:
        path.write_text("")
    assert driver.wait(timeout=HANG_S) == 1
    told = (sweep.folder / "driver.log").read_text()
    assert "4 trials failed; first error: " in told
    assert "lnt run sweep.yaml --resume" in told
    _, runs = sweep.runs()
    assert {run.info.status for run in runs} == {"FAILED"}
    assert len(runs) == NUM_TRIALS + 1
    for path in in_the_way:
        path.unlink()
    sweep.lnt("run", "sweep.yaml", "--resume")
    sweep.assert_tracked_once(num_trials=NUM_TRIALS, num_steps=NUM_STEPS)
    assert sweep.outcome() == undisturbed.outcome()
