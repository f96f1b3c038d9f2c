"""The context that all trials of an execution share, and how a trial is passed to Ray Tune.

A trial is written to disk when it is planned. Its config in Ray Tune is ``{"trial": id}``; each
process reads the rest from the trial's folder.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lnt_core.config import TrialConfig
from lnt_core.distributed.zero_config import stage_of
from sweeps.config import SweepConfig
from sweeps.plan.space import strategies, trial_config
from sweeps.plan.trials import SweepTrial
from sweeps.storage.execution import Execution
from sweeps.storage.trials import read_trial

TRIAL_KEY = "trial"
"""Key of the trial's id, in its config in Ray Tune (the only key) and in its reports."""
BASE_ID = "base"
"""In place of a trial's id: the run that prepares what all share and scores the untuned base."""
OBJECTIVE = "objective"
"""Key of the score in a report to Ray Tune, by which schedulers and searches compare trials."""


ANY_RATE = 1e-3
"""Learning rate in the config of the base, which does not depend on it."""


@dataclass(frozen=True)
class Context:
    """What all trials of one execution share."""

    sweep: SweepConfig
    execution: Execution
    cache: Path
    """Folder of what sweeps share: tiny models, drawn scenes, connectors of stage 1."""
    budget: Any = None
    """The Ray actor of :func:`sweeps.driver.budget.start_budget`; None without a budget."""

    def trial(self, tune_config: dict[str, Any]) -> SweepTrial:
        """The trial that a config of Ray Tune names."""
        return read_trial(self.execution, tune_config[TRIAL_KEY])


def base_config(sweep: SweepConfig) -> tuple[TrialConfig, int]:
    """A config of the untuned base, and how many workers shard it; 0: one process holds it.

    If every strategy shards the base (ZeRO-3), as many workers do as the strategy with the fewest.
    """
    configs = [trial_config(sweep, strategy, ANY_RATE) for strategy in strategies(sweep)]
    unsharded = [config for config in configs if stage_of(config.train.deepspeed) != 3]
    if unsharded:
        return unsharded[0], 0
    workers = {sweep.resources.workers_of(config.strategy.name): config for config in configs}
    return workers[min(workers)], min(workers)
