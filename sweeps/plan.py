"""What a sweep would run, checked and counted before anything starts."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from lnt_core.config import DataConfig, ModelConfig
from lnt_core.data.check import data_problems
from lnt_core.errors import all_problems
from lnt_core.identity import trial_id
from lnt_core.strategies import StrategyConfig
from sweeps.config import SweepConfig
from sweeps.space import strategies, trials
from sweeps.space_check import point_problems
from sweeps.values import value_combinations, with_values


@dataclass(frozen=True)
class Cost:
    """What a strategy costs, whatever the learning rate."""

    trainable_parameters: int
    trainable_share: float
    memory_gib: float
    """Weights, gradients and AdamW's state; activations are not in it."""


@dataclass(frozen=True)
class PlannedTrial:
    """One line of the plan."""

    id: str
    strategy: str
    learning_rate: float
    cost: Cost


def check_sweep(sweep: SweepConfig, *, files: bool = True) -> None:
    """Raise one ConfigError that names every bad point and every missing or unreadable file."""
    problems = point_problems(sweep)
    if files:
        problems += _model_problems(sweep.model)
        for data in _datas(sweep):
            problems += data_problems(sweep.model, data)
    if problems:
        raise all_problems(sweep.name, problems)


def plan(sweep: SweepConfig) -> list[PlannedTrial]:
    """Every trial with its cost, from models without weights; for `tpe` one line a strategy.

    Raises:
        ConfigError: An unknown architecture.
    """
    costs = {strategy: _cost(sweep, strategy) for strategy in strategies(sweep)}
    if sweep.search.algorithm == "tpe":
        return [PlannedTrial("", s.name, float("nan"), cost) for s, cost in costs.items()]
    return [
        PlannedTrial(trial_id(t), t.strategy.name, t.learning_rate, costs[t.strategy])
        for t in trials(sweep)
    ]


def _cost(sweep: SweepConfig, strategy: StrategyConfig) -> Cost:
    import warnings

    from lnt_core.accounting import count_parameters, state_gib
    from lnt_core.models.build import build_on_meta
    from lnt_core.models.roles import find_roles
    from lnt_core.strategies import get_strategy

    model = build_on_meta(sweep.model)
    model.requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuned = get_strategy(strategy.name).apply(model, find_roles(model), strategy)
    count = count_parameters(tuned)
    memory = state_gib(tuned, precision=sweep.train.precision)
    return Cost(count.trainable, count.share, memory)


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
