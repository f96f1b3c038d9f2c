"""What every trial of an execution is given, and how a trial passes through Ray Tune."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lnt_core.config import TrialConfig
from sweeps.config import SweepConfig
from sweeps.plan.space import Point, strategies, trial_config, value_combinations
from sweeps.storage.execution import Execution
from sweeps.storage.extra_trials import POINT, Added, read_added

OBJECTIVE = "objective"
TunePoint = dict[str, Any]
"""``{"strategy": index, "learning_rate": rate, "values": index}``, the indices into the sweep's
strategies and combinations of values; the last is left out where nothing else varies."""


def point_of(sweep: SweepConfig, config: TrialConfig) -> TunePoint:
    """Where a trial lies in its sweep."""
    strategy, rate = config.strategy, config.learning_rate
    point: TunePoint = {"strategy": strategies(sweep).index(strategy), "learning_rate": rate}
    if not sweep.search.values:
        return point
    combinations = value_combinations(sweep)
    found = (trial_config(sweep, strategy, rate, values) == config for values in combinations)
    return point | {"values": list(found).index(True)}


AGAIN = "again"
"""Key of a point whose trial is run once more though it has ended: its weights were deleted."""


@dataclass(frozen=True)
class Context:
    """What every trial of one execution is given besides its point."""

    sweep: SweepConfig
    execution: Execution
    cache: Path
    budget: Any = None
    """The actor of :func:`sweeps.budget.start_budget`, if the sweep has limits."""

    def config(self, point: dict[str, Any]) -> TrialConfig:
        """The trial at a point of Ray Tune's."""
        if added := self._added(point):
            return added.config
        return trial_config(self.sweep, *self.point(point))

    def point(self, point: dict[str, Any]) -> Point:
        """What the indices of a point of Ray Tune's (``sweeps.search.TunePoint``) stand for."""
        if added := self._added(point):
            return added.config.strategy, added.config.learning_rate, added.values
        strategy = strategies(self.sweep)[int(point["strategy"])]
        values = value_combinations(self.sweep)[int(point.get("values", 0))]
        return strategy, float(point["learning_rate"]), values

    def _added(self, point: dict[str, Any]) -> Added | None:
        """The trial, if the sweep file does not have it."""
        name = point.get(POINT)
        return None if name is None else read_added(self.execution, str(name))


def named_point(context: Context, name: str, config: TrialConfig) -> TunePoint:
    """A trial as it is handed to Ray Tune, whether the sweep file has it or not."""
    added = read_added(context.execution, name)
    return point_of(context.sweep, config) if added is None else added.point
