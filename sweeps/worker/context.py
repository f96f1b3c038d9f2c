"""What every trial of an execution is given, and how a trial passes through Ray Tune.

A trial is written to disk when it is planned, and travels by its id: Ray Tune is handed
``{"trial": id}``, and whoever needs the rest reads it from the trial's folder.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps.config import SweepConfig
from sweeps.plan.trials import SweepTrial
from sweeps.storage.execution import Execution
from sweeps.storage.trials import read_trial

TRIAL_KEY = "trial"
"""The one key of a trial's config in Ray Tune, and of its reports; the value is the trial's id."""
OBJECTIVE = "objective"
"""The key of the score in a report to Ray Tune: what schedulers and searches compare."""


@dataclass(frozen=True)
class Context:
    """What every trial of one execution is given."""

    sweep: SweepConfig
    execution: Execution
    cache: Path
    """The folder of what sweeps share: tiny models, drawn scenes, stage 1."""
    budget: Any = None
    """The actor of :func:`sweeps.driver.budget.start_budget`, if the sweep has limits."""

    def trial(self, tune_config: dict[str, Any]) -> SweepTrial:
        """The trial that Ray Tune's config names."""
        return read_trial(self.execution, tune_config[TRIAL_KEY])
