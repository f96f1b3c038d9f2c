"""The config that an export tells: the one that ran."""

from sweeps.export.best import config_that_ran
from sweeps.storage.execution import RAN
from sweeps.storage.trials import write_config
from tests.sweeps.driver.executions import at_rate, context_of


def test_micro_batch_and_checkpointing_are_those_that_ran_not_those_asked_for(tmp_path) -> None:
    context = context_of(tmp_path)
    execution, trial = context.execution, at_rate(context, 1e-3)
    assert config_that_ran(execution, trial.id) == trial.config
    smaller = trial.config.with_micro_batch(4).with_checkpointing(on=True)
    write_config(smaller, execution.trial(trial.id) / RAN)
    assert config_that_ran(execution, trial.id) == smaller != trial.config
