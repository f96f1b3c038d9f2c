"""Trials on disk."""

from dataclasses import replace

import pytest

from lnt_core.config import StartedFrom
from sweeps.config import SweepConfig
from sweeps.plan.trials import SweepTrial, trials
from sweeps.storage.execution import Execution, new_execution
from sweeps.storage.trials import add_trial, all_trials, read_trial, remove_trial


@pytest.fixture
def sweep(tmp_path) -> SweepConfig:
    return SweepConfig.model_validate(
        {
            "name": "s",
            "model": {"tiny": True},
            "search": {
                "strategy": [{"name": "lora", "rank": 8}],
                "learning_rate": [1e-3, 1e-4],
                "values": {"train.weight_decay": [0.1]},
            },
            "tracking": {"storage": str(tmp_path)},
        }
    )


@pytest.fixture
def execution(sweep) -> Execution:
    return new_execution(sweep)


def warm_clone(original: SweepTrial) -> SweepTrial:
    """A clone with every field of its origin set, and a list among its values."""
    started = {"started_from": StartedFrom(trial="abc", step=7), "learning_rate": 3e-4}
    return SweepTrial(
        original.config.model_copy(update=started),
        values=(("data.tune.kinds", ("detail", "reasoning")), ("from", "abc@7")),
        added_by="clone",
        cloned_from=original.id,
        request="r1",
    )


def test_trials_are_found_in_the_order_in_which_they_were_planned(sweep, execution) -> None:
    planned = trials(sweep)
    added = [*reversed(planned), warm_clone(planned[0])]
    for trial in added:
        add_trial(execution, trial)
    assert list(all_trials(execution).items()) == [(trial.id, trial) for trial in added]


def test_a_trial_is_read_back_as_it_was_written(sweep, execution) -> None:
    planned = trials(sweep)[0]
    for trial in (planned, warm_clone(planned)):
        add_trial(execution, trial)
        found = read_trial(execution, trial.id)
        assert found == trial
        assert found.id == trial.id


def test_a_trial_that_is_added_twice_keeps_its_first_origin(sweep, execution) -> None:
    trial = trials(sweep)[0]
    for added_by in ("", "clone"):
        add_trial(execution, replace(trial, added_by=added_by))
    assert all_trials(execution) == {trial.id: trial}


def test_a_trial_that_is_taken_back_is_gone(sweep, execution) -> None:
    first, second = trials(sweep)
    for trial in (first, second):
        add_trial(execution, trial)
    remove_trial(execution, first.id)
    assert list(all_trials(execution)) == [second.id]
