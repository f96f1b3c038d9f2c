"""A sweep whose trial finds its micro batch: what ran is in MLflow, the export and the folder."""

import json
from pathlib import Path

import pytest
import yaml

from lnt_core.files import read_json, write_json
from tests.e2e.conftest import kill
from tests.micro import STAGE

pytestmark = pytest.mark.fault
NUM_STEPS = 60


def test_a_trial_goes_on_after_a_kill_with_its_number_which_is_told_everywhere(
    micro_with, tmp_path
) -> None:
    """Found without a kill: tests/e2e/test_zero.py."""
    sweep = micro_with(
        search={"strategy": ["layernorm"], "learning_rate": [1e-3]},
        train=STAGE
        | {"max_steps": NUM_STEPS, "checkpoint_every_steps": 5, "micro_batch_size": "auto"},
    )
    driver = sweep.start("run", "sweep.yaml")
    sweep.wait_until(lambda: bool(sweep.files("checkpoint.pt")))
    kill(driver)
    assert not sweep.files("result.json")
    (path,) = sweep.files("micro_batch.json")
    found = read_json(path)
    assert found["size"] == 8  # the batch: the model is tiny
    write_json(path, found | {"size": 2})  # as if there had been little memory then
    sweep.lnt("run", "sweep.yaml", "--resume")
    sweep.assert_tracked_once(num_trials=1, num_steps=NUM_STEPS)
    client, runs = sweep.runs()
    (run,) = [run for run in runs if run.data.tags["lnt.kind"] == "trial"]
    assert run.data.params["train.micro_batch_size"] == "auto"
    assert run.data.tags["lnt.micro_batch"].startswith("2 without gradient checkpointing, found")
    assert "lnt.note" not in run.data.tags
    ran = Path(client.download_artifacts(run.info.run_id, "ran.yaml"))
    assert yaml.safe_load(ran.read_text())["train"]["micro_batch_size"] == 2
    out = tmp_path / "out"
    sweep.lnt("export", "small", "-o", str(out))
    best = yaml.safe_load((out / "best.yaml").read_text())
    assert best["trial"]["train"]["micro_batch_size"] == 2
    deepspeed = json.loads((out / "deepspeed.json").read_text())
    assert deepspeed["train_micro_batch_size_per_gpu"] == 2
    assert deepspeed["gradient_accumulation_steps"] == 4
