"""What a sweep would run, checked and counted before anything starts."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from lnt_core.config import DataConfig, ModelConfig
from lnt_core.data.check import data_problems
from lnt_core.errors import all_problems
from lnt_core.identity import trial_id
from lnt_core.strategies import StrategyConfig
from sweeps.config import SweepConfig
from sweeps.space import options_text, points, strategies, trial_config
from sweeps.space_check import point_problems
from sweeps.values import Values, value_combinations, with_values

if TYPE_CHECKING:
    from sweeps.costs import Cost


@dataclass(frozen=True)
class PlannedTrial:
    """One line of the plan."""

    id: str
    """Empty for a trial that will be drawn."""
    strategy: str
    options: str
    """What tells it from other trials of its strategy but the rate."""
    learning_rate: float
    cost: "Cost"


def check_sweep(sweep: SweepConfig, *, files: bool = True) -> None:
    """Raise one ConfigError that names every bad point and every missing or unreadable file."""
    problems = point_problems(sweep)
    if files:
        problems += _model_problems(sweep.model)
        for data in _datas(sweep):
            problems += data_problems(sweep.model, data)
    if files and not problems:
        from sweeps.costs import Costs  # torch; reading a sweep does without

        problems = Costs(sweep, files=files).problems(strategies(sweep))
    if problems:
        raise all_problems(sweep.name, problems)


def plan(sweep: SweepConfig, *, files: bool = True) -> list[PlannedTrial]:
    """Every trial with its cost, from models without weights; for `tpe` one line a strategy.

    Raises:
        ConfigError: An unknown architecture, or one that lacks what a strategy tunes.
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
    """The cost of each strategy with its options, under each combination of other values."""
    from sweeps.costs import Costs  # torch; reading a sweep does without

    predictor = Costs(sweep, files=files)
    found = {}
    for values in value_combinations(sweep):
        varied = with_values(sweep, values)
        lengths = predictor.lengths(varied)
        for strategy in strategies(sweep):
            found[strategy, values] = predictor.of(varied, strategy, lengths)
    return found


def _datas(sweep: SweepConfig) -> list[DataConfig]:
    """What trials read: the sweep's own data, and those of values that are data."""
    found = [sweep.trial_data]
    for values in value_combinations(sweep):
        with contextlib.suppress(ValidationError):  # a problem of the point, named as such
            found.append(with_values(sweep, values).trial_data)
    return list(dict.fromkeys(found))


def _model_problems(model: ModelConfig) -> list[str]:
    names = {
        "model.language_model": model.language_model,
        "model.vision_tower": model.vision_tower,
        "model.checkpoint": model.checkpoint,
    }
    return [
        f"{field}: {name} is neither a folder with a config.json nor in the local Hugging Face "
        f"cache; fetch it with `hf download {name}`"
        for field, name in names.items()
        if name is not None and not _is_here(name)
    ]


def _is_here(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    if (Path(name) / "config.json").is_file():
        return True
    try:
        return isinstance(try_to_load_from_cache(name, "config.json"), str)
    except HFValidationError:
        return False
