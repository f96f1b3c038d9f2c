"""A sweep in which trials of two workers and of one share the cluster; a worker is killed."""

import json
import os
import signal

import pytest
import yaml

from sweeps.worker.system_metrics import KEY
from tests.e2e.conftest import Sweep, workers_of
from tests.micro import STAGE
from tests.micro import losses as losses_of
from tests.servers import HANG_S

pytestmark = pytest.mark.fault
NUM_STEPS = 40
SEARCH = {"strategy": ["full", "layernorm"], "learning_rate": [1e-3]}
TRAIN = STAGE | {"max_steps": NUM_STEPS, "micro_batch_size": 4, "checkpoint_every_steps": 2}
REL = 1e-5
"""As in tests/lnt_core/training/test_zero_engine.py."""


@pytest.fixture
def plain(micro_with):
    """Every trial in one process."""
    made = micro_with(search=SEARCH, train=TRAIN)
    made.lnt("run", "sweep.yaml")
    return made


def test_what_a_worker_raises_fails_its_trial_alone_and_at_once(micro_with) -> None:
    wrong = {"zero_optimization": {"stage": 2, "no_such_key": 1}}  # DeepSpeed knows its own keys
    sweep = micro_with(
        search=SEARCH,
        train=TRAIN | {"deepspeed": wrong, "max_steps": 4},
        resources={"workers_per_trial": {"full": 2}},
    )
    told = sweep.lnt("run", "sweep.yaml", expect=1)
    results = [json.loads(path.read_text()) for path in sweep.files("result.json")]
    failed, finished = sorted(results, key=lambda result: result["status"])
    assert (failed["status"], finished["status"]) == ("failed", "finished")
    assert "no_such_key" in failed["error"]
    assert "its process died" not in failed["error"]  # it is not tried again
    assert "1 trial failed" in told


def losses(sweep) -> dict[tuple[str, float], list[float]]:
    """Of each step of each trial, from its events."""
    found = {}
    for path in sweep.files("events.jsonl"):
        config = yaml.safe_load(path.with_name("trial.yaml").read_text())
        told = losses_of(path.parent)
        assert list(told) == list(range(1, NUM_STEPS + 1))
        found[config["strategy"]["name"], config["learning_rate"]] = [*map(float, told.values())]
    return found


def assert_node_was_sampled(sweep) -> None:
    """Of trials of one process and of several alike."""
    for path in sweep.files("events.jsonl"):
        assert KEY in path.read_text(), path


def test_a_winner_of_several_workers_is_trained_again_by_as_many(micro_with, tmp_path) -> None:
    """And with the micro batch that was found for it; stage 1 is trained by as many, and shown."""
    sweep = micro_with(
        search={"strategy": ["layernorm"], "learning_rate": [1e-3]},
        train=TRAIN | {"deepspeed": "zero3", "max_steps": 6, "micro_batch_size": "auto"},
        resources={"workers_per_trial": 2},
    )
    sweep.environment["LNT_CACHE"] = str(tmp_path / "cache")  # which has no stage 1
    assert "Stage 1: step " in sweep.lnt("run", "sweep.yaml")
    client, runs = sweep.all_runs()
    (stage_1,) = [run for run in runs if run.data.tags["lnt.kind"] == "align"]
    (trial,) = [run for run in runs if run.data.tags["lnt.kind"] == "trial"]
    assert trial.data.metrics["train/micro_batch_size"] == 4  # a worker's share of 8: it is tiny
    assert stage_1.info.status == "FINISHED"
    points = client.get_metric_history(stage_1.info.run_id, "train/loss")
    assert [point.step for point in points] == [1, 2]
    (saved,) = (tmp_path / "cache").glob("align-*")
    assert saved.suffix == ".pt"
    sweep.lnt("export", "small", "-o", "out")
    out = sweep.folder / "out"
    best = yaml.safe_load((out / "best.yaml").read_text())
    assert best["resources"]["workers_per_trial"] == 2
    assert best["trial"]["train"]["micro_batch_size"] == 4
    ours = json.loads((out / "deepspeed.json").read_text())
    assert ours["zero_optimization"]["stage"] == 3
    assert ours["gradient_accumulation_steps"] * ours["train_micro_batch_size_per_gpu"] * 2 == 8
    assert yaml.safe_load((out / "accelerate.yaml").read_text())["num_processes"] == 2
    told = sweep.lnt("train", "out/best.yaml")
    ((_, _, score),) = sweep.scores()
    assert told.startswith(f"CIDEr {score} (exported: {score})")


def test_a_killed_worker_of_a_mixed_sweep_costs_nothing_but_time(
    plain, micro, cache, tmp_path
) -> None:
    changes = {
        "search": SEARCH,
        "train": TRAIN | {"deepspeed": "zero2"},
        "resources": {"cpus_per_trial": 1, "workers_per_trial": {"full": 2}},
    }
    mixed = Sweep(tmp_path / "mixed", cache, **(micro | changes))
    driver = mixed.start("run", "sweep.yaml")
    mixed.wait_until(lambda: bool(mixed.files("checkpoint/step-*/complete.pt")))
    workers = workers_of(driver)
    assert len(workers) == 2
    os.kill(workers[1].pid, signal.SIGKILL)
    assert driver.wait(timeout=HANG_S) == 0, (mixed.folder / "driver.log").read_text()
    mixed.assert_tracked_once(num_trials=2, num_steps=NUM_STEPS)
    one, several = losses(plain), losses(mixed)
    assert one.keys() == several.keys()
    for trial, seen in several.items():
        assert seen == pytest.approx(one[trial], rel=REL), trial
    assert mixed.scores() == plain.scores()
    assert_node_was_sampled(mixed)
    assert not mixed.files("checkpoint")
    assert not mixed.files("ray-train")
