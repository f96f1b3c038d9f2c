"""TPE: the study of a resumed sweep, and the trials at the points that are drawn."""

from dataclasses import replace

import optuna
import pytest

from sweeps.config import SweepConfig
from sweeps.driver.search import point_of, resumed_study, tpe_search, trial_at
from sweeps.plan.space import strategies
from sweeps.storage.execution import Result, new_execution
from sweeps.storage.trials import add_trial, read_trial


def sweep_of(folder, **search) -> SweepConfig:
    return SweepConfig.model_validate(
        {
            "name": "s",
            "model": {"tiny": True},
            "search": {
                "strategy": ["full", "lora"],
                "learning_rate": {"low": 1e-6, "high": 1e-2},
                "algorithm": "tpe",
                "num_trials": 8,
            }
            | search,
            "tracking": {"storage": str(folder)},
        }
    )


@pytest.fixture
def sweep(tmp_path) -> SweepConfig:
    return sweep_of(tmp_path)


def test_a_resumed_study_knows_what_finished_and_asks_for_the_rest(sweep) -> None:
    execution = new_execution(sweep)
    full, lora = range(2)
    outcomes = [
        (full, 1e-3, Result("finished", 1, {"select/cider": 7.0})),
        (full, 1e-2, Result("diverged", 1)),
        (lora, 1e-4, Result("failed", 1, error="x")),
        (lora, 1e-5, None),
    ]
    for strategy, rate, result in outcomes:
        trial = trial_at(sweep, {"strategy": strategy, "learning_rate": rate})
        add_trial(execution, trial)
        if result:
            execution.write_result(trial.id, result)
    study = resumed_study(sweep, execution, optuna.storages.InMemoryStorage())
    known = [t for t in study.trials if t.value is not None]
    assert [(t.params["learning_rate"], t.value) for t in known] == [(1e-3, 7.0), (1e-2, 0.0)]
    assert tpe_search(sweep, execution).suggest("next") == trial.id


def test_what_was_added_by_hand_is_no_point_of_the_study(sweep) -> None:
    execution = new_execution(sweep)
    drawn = trial_at(sweep, {"strategy": 0, "learning_rate": 1e-3})
    add_trial(execution, replace(drawn, added_by="clone"))
    execution.write_result(drawn.id, Result("finished", 1, {"select/cider": 7.0}))
    assert resumed_study(sweep, execution, optuna.storages.InMemoryStorage()).trials == []


def test_a_resumed_study_draws_no_point_again(sweep) -> None:
    execution = new_execution(sweep)
    drawn = set()
    for number in range(8):  # each trial is drawn by a new driver
        name = tpe_search(sweep, execution).suggest(f"trial-{number}")
        drawn.add(read_trial(execution, name).config.learning_rate)
        execution.write_result(name, Result("finished", 1, {"select/cider": 1.0}))
    assert len(drawn) == 8


def test_a_point_and_its_trial_are_one_to_one(tmp_path) -> None:
    sweep = sweep_of(tmp_path, values={"train.weight_decay": [0.0, 0.1]})
    point = {"strategy": 1, "learning_rate": 3e-4, "values": 1}
    trial = trial_at(sweep, point)
    assert trial.config.strategy == strategies(sweep)[1]
    assert (trial.config.learning_rate, trial.config.train.weight_decay) == (3e-4, 0.1)
    assert trial.values == (("train.weight_decay", 0.1),)
    assert point_of(sweep, trial) == point


def test_a_study_of_losses_knows_that_lower_is_better(tmp_path) -> None:
    sweep = SweepConfig.model_validate(
        sweep_of(tmp_path).model_dump() | {"data": {"scenes": {"select": "loss"}}}
    )
    execution = new_execution(sweep)
    for rate, result in (
        (1e-3, Result("finished", 1, {"select/loss": 2.0})),
        (1e-4, Result("finished", 1, {"select/loss": 3.0})),
        (1e-2, Result("diverged", 1)),
    ):
        trial = trial_at(sweep, {"strategy": 0, "learning_rate": rate})
        add_trial(execution, trial)
        execution.write_result(trial.id, result)
    study = resumed_study(sweep, execution, optuna.storages.InMemoryStorage())
    ranked = sorted(study.trials, key=lambda t: -t.value)
    assert [t.params["learning_rate"] for t in ranked] == [1e-3, 1e-4, 1e-2]
