"""A resumed TPE goes on; it does not begin again."""

import yaml

from lnt_core.identity import trial_id
from sweeps.config import SweepConfig
from sweeps.driver.search import optuna_search
from sweeps.plan.space import strategies, trial_config
from sweeps.storage.execution import TRIAL, Result, new_execution


def test_a_resumed_study_draws_no_point_again(tmp_path) -> None:
    sweep = SweepConfig.model_validate(
        {
            "name": "s",
            "model": {"tiny": True},
            "search": {
                "strategy": ["full", "lora"],
                "learning_rate": {"low": 1e-6, "high": 1e-2},
                "algorithm": "tpe",
                "num_trials": 8,
            },
            "tracking": {"storage": str(tmp_path)},
        }
    )
    execution = new_execution(sweep)
    rates = []
    for number in range(8):  # every trial by a driver of its own
        point = optuna_search(sweep, execution).suggest(f"trial-{number}")
        rates.append(point["learning_rate"])
        config = trial_config(sweep, strategies(sweep)[point["strategy"]], rates[-1])
        out = execution.trial(trial_id(config))
        out.mkdir(parents=True, exist_ok=True)
        (out / TRIAL).write_text(yaml.safe_dump(config.model_dump(mode="json")))
        execution.write_result(out.name, Result("finished", 1, {"select/cider": 1.0}))
    assert len(set(rates)) == 8
