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
    from sweeps.plan.costs import Cost


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


def plan(sweep: SweepConfig, *, files: bool = True) -> list[PlannedTrial]:
    """Every trial with its predicted cost; for `tpe`, one entry per strategy and combination.

    Args:
        sweep: The sweep.
        files: Whether the data files may be read for the lengths of conversations; otherwise
            `model.shapes` gives them.

    Raises:
        ConfigError: The architecture is unknown, lacks a part that a strategy tunes, or does not
            go with other values.
    """
    costs = strategy_costs(sweep, files=files)
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


def strategy_costs(
    sweep: SweepConfig, *, files: bool = True
) -> dict[tuple[StrategyConfig, Values], "Cost"]:
    """The cost of each strategy with its options, for each combination of varied values."""
    from sweeps.plan.costs import Costs  # imports torch, which most commands do not need

    predictor = Costs(sweep, files=files)
    if problems := predictor.value_problems():
        raise all_problems(sweep.name, problems)
    found = {}
    for values in value_combinations(sweep):
        varied = with_values(sweep, values)
        lengths = predictor.lengths(varied)
        for strategy in strategies(sweep):
            found[strategy, values] = predictor.of(varied, strategy, lengths)
    return found


def too_big(planned: list[PlannedTrial]) -> list[str]:
    """A line for each strategy that does not fit the given GPU memory, with what would fit."""
    lines = [
        f"{trial.strategy} {trial.options}".strip() + f": {trial.cost.too_big}"
        for trial in planned
        if trial.cost.too_big
    ]
    return list(dict.fromkeys(lines))
