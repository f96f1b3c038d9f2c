"""The context that all trials of an execution share, and how a trial is passed to Ray Tune.

A trial is written to disk when it is planned. Its config in Ray Tune is ``{"trial": id}``; each
process reads the rest from the trial's folder.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps.config import SweepConfig
from sweeps.plan.trials import SweepTrial
from sweeps.storage.execution import Execution
from sweeps.storage.trials import read_trial

TRIAL_KEY = "trial"
"""Key of the trial's id, in its config in Ray Tune (the only key) and in its reports."""
BASE_ID = "base"
"""In place of a trial's id: the run that prepares what all share and scores the untuned base."""
STAGE_1 = "align-"
"""Before the id of a stage 1, in place of a trial's: the run of the workers that train it."""
REPORT = "report-"
"""Before the id of a winner, or that of the base: the run that scores it once all trials have
ended, on the tasks that trials are not scored on."""
SCORE = "score"
"""Key of a report to Ray Tune: the score that chooses."""
OBJECTIVE = "objective"
"""Key of the score in a report to Ray Tune, by which schedulers and searches compare trials."""


@dataclass(frozen=True)
class Context:
    """What all trials of one execution share."""

    sweep: SweepConfig
    execution: Execution
    cache: Path
    """Folder of what sweeps share: tiny models, drawn scenes, connectors of stage 1."""
    budget: Any = None
    """The Ray actor of :func:`sweeps.driver.budget.start_budget`; None without a budget."""
    gate: Any = None
    """The Ray actor of :func:`sweeps.driver.gate.start_gate`; None where no node can join."""

    def trial(self, tune_config: dict[str, Any]) -> SweepTrial:
        """The trial that a config of Ray Tune names."""
        return read_trial(self.execution, tune_config[TRIAL_KEY])
