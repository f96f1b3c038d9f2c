"""Optuna's study after a resume."""

import yaml

from lnt_core.identity import trial_id
from sweeps.config import SweepConfig
from sweeps.driver.search import optuna_search
from sweeps.plan.space import strategies, trial_config
from sweeps.storage.execution import TRIAL, Result, new_execution
from sweeps.worker.context import point_of


def test_a_resumed_study_knows_what_finished_and_asks_for_the_rest(tmp_path) -> None:
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
    full, lora = strategies(sweep)
    outcomes = [
        (full, 1e-3, Result("finished", 1, {"select/cider": 7.0})),
        (full, 1e-2, Result("diverged", 1)),
        (lora, 1e-4, Result("failed", 1, error="x")),
        (lora, 1e-5, None),
    ]
    for strategy, rate, result in outcomes:
        config = trial_config(sweep, strategy, rate)
        name = trial_id(config)
        execution.trial(name).mkdir(parents=True)
        (execution.trial(name) / TRIAL).write_text(yaml.safe_dump(config.model_dump(mode="json")))
        if result:
            execution.write_result(name, result)
    search = optuna_search(sweep, execution)
    known = {(t.params["learning_rate"], t.value) for t in search._ot_study.get_trials() if t.value}
    worst = [t.value for t in search._ot_study.get_trials() if t.value == 0.0]
    assert known == {(1e-3, 7.0)}
    assert worst == [0.0]
    assert search.suggest("next") == point_of(sweep, trial_config(sweep, lora, 1e-5))
