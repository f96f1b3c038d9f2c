"""The plan of a sweep: its trials, each with its predicted cost."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lnt_core.errors import all_problems
from lnt_core.identity import trial_id
from lnt_core.strategies import StrategyConfig
from sweeps.config import SweepConfig
from sweeps.plan.labels import options_text
from sweeps.plan.space import (
    Values,
    points,
    strategies,
    trial_config,
    value_combinations,
    with_values,
)

if TYPE_CHECKING:
    from sweeps.plan.cost import Cost
    from sweeps.plan.costs import Costs
    from sweeps.plan.features import PlannedFeatures
    from sweeps.plan.reports import PlannedReports
    from sweeps.plan.stage_1 import PlannedStage1


@dataclass(frozen=True)
class PlannedTrial:
    """A trial of the plan."""

    id: str
    """Empty if the trial is still to be drawn."""
    strategy: str
    options: str
    """The strategy's options and the varied values: ``rank=8``."""
    learning_rate: float
    cost: "Cost"


@dataclass(frozen=True)
class Plan:
    """What a sweep will run, with the predicted cost of each part."""

    stages_1: list["PlannedStage1"]
    """Every stage 1; none if the sweep has none."""
    trials: list[PlannedTrial]
    """Every trial; for `tpe`, one entry per strategy and combination of values."""
    reports: "PlannedReports | None" = None
    """What winners and the untuned base are scored on at the end; None if on nothing."""
    features: "PlannedFeatures | None" = None
    """What is kept of the training images; None if their size is not known."""

    def too_big(self) -> list[str]:
        """A line for each stage 1 and strategy that does not fit the given GPU memory.

        Each says what would fit.
        """
        stages = [(f"stage 1 {s.values}", s.too_big) for s in self.stages_1]
        trials = [(f"{t.strategy} {t.options}", t.cost.too_big) for t in self.trials]
        lines = [f"{name.strip()}: {why}" for name, why in [*stages, *trials] if why]
        return list(dict.fromkeys(lines))


def plan(sweep: SweepConfig, *, files: bool = True) -> Plan:
    """The plan of a sweep.

    Args:
        sweep: The sweep.
        files: Whether the data files may be read for the lengths of conversations; otherwise
            `model.shapes` gives them.

    Raises:
        ConfigError: The architecture is unknown, lacks a part that a strategy tunes, or does not
            go with other values.
    """
    from sweeps.plan.costs import Costs  # imports torch, which most commands do not need
    from sweeps.plan.features import planned_features
    from sweeps.plan.reports import planned_reports
    from sweeps.plan.stage_1 import planned_stages_1

    predictor = Costs(sweep, files=files)
    if problems := predictor.value_problems():
        raise all_problems(sweep.name, problems)
    return Plan(
        planned_stages_1(sweep, predictor),
        _trials(sweep, predictor),
        planned_reports(sweep, predictor, files=files),
        planned_features(sweep, predictor, files=files),
    )


def _trials(sweep: SweepConfig, predictor: "Costs") -> list[PlannedTrial]:
    costs = _strategy_costs(sweep, predictor)
    if sweep.search.algorithm == "tpe":
        return [
            PlannedTrial("", s.name, options_text(s, values), float("nan"), cost)
            for (s, values), cost in costs.items()
        ]
    return [
        PlannedTrial(
            trial_id(trial_config(sweep, strategy, rate, values)),
            strategy.name,
            options_text(strategy, values),
            rate,
            costs[strategy, values],
        )
        for strategy, rate, values in points(sweep)
    ]


def _strategy_costs(
    sweep: SweepConfig, predictor: "Costs"
) -> dict[tuple[StrategyConfig, Values], "Cost"]:
    """The cost of each strategy with its options, for each combination of varied values."""
    found = {}
    for values in value_combinations(sweep):
        varied = with_values(sweep, values)
        lengths = predictor.lengths(varied)
        for strategy in strategies(sweep):
            found[strategy, values] = predictor.of(varied, strategy, lengths)
    return found
