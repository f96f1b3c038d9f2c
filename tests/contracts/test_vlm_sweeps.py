"""A sweep file for each family of vision-language checkpoints: checked, planned, trained, scored.

Its trials run here, without Ray, which knows nothing of models (tests/e2e has that).
"""

import pytest
import yaml

from lnt_core.trial import run_trial
from lnt_core.worker import Worker
from sweeps.plan.checks import check_sweep
from sweeps.plan.load import load_sweep
from sweeps.plan.planned import plan
from sweeps.plan.trials import trials

pytestmark = pytest.mark.heavy
STEPS = 2


def test_the_trials_of_a_sweep_file_train_and_score_as_planned(family, scenes, tmp_path) -> None:
    files = {"annotations": scenes.tune.annotations, "images": scenes.tune.images}
    select = files | {"task": "flickr8k", "split": "val", "report_split": None, "max_new_tokens": 4}
    content = {
        "name": "family",
        "model": {"checkpoint": family.folder},
        "data": {"tune": files, "select": select},
        "search": {"strategy": ["layernorm", "lora"], "learning_rate": [1e-3]},
        "train": {"max_steps": STEPS, "batch_size": 4, "micro_batch_size": 2, "analyse": False},
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(content))
    sweep = load_sweep(str(tmp_path / "sweep.yaml"))
    assert check_sweep(sweep) == []
    costs = {trial.strategy: trial.cost for trial in plan(sweep).trials}
    worker = Worker(tmp_path / "cache")
    for trial in trials(sweep):
        losses: dict[int, float] = {}

        def report(step: int, metrics: dict[str, float], seen=losses) -> None:
            seen |= {step: metrics["train/loss"]} if "train/loss" in metrics else {}

        result = run_trial(trial.config, out=tmp_path / trial.id, report=report, worker=worker)
        assert result.status == "finished"
        assert list(losses) == list(range(1, STEPS + 1))
        assert result.metrics["select/cider"] >= 0
        planned = costs[trial.config.strategy.name].trainable_parameters
        assert result.metrics["params/trainable"] == planned
