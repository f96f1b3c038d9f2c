"""How a sweep file becomes trials: the grid, random draws, and Optuna's space."""

import itertools
import math
import random
import typing
from typing import Any

from pydantic import TypeAdapter

from lnt_core.config import TrialConfig
from lnt_core.strategies import STRATEGIES, AnyStrategyConfig, StrategyConfig
from sweeps.config import RateRange, SweepConfig
from sweeps.values import NONE, Values, value_combinations, with_values

Point = tuple[StrategyConfig, float, Values]
"""A strategy with its options, a learning rate, and the other values that the sweep varies."""

ANY_STRATEGY: TypeAdapter[StrategyConfig] = TypeAdapter(AnyStrategyConfig)


def strategies(sweep: SweepConfig) -> list[StrategyConfig]:
    """Every strategy with every combination of its options, in the file's order."""
    return [
        ANY_STRATEGY.validate_python(options)
        for given in sweep.search.strategy
        for options in option_combinations(given)
    ]


def trials(sweep: SweepConfig) -> list[TrialConfig]:
    """The trials of a grid or of random draws."""
    return [trial_config(sweep, *point) for point in points(sweep)]


def points(sweep: SweepConfig) -> list[Point]:
    """The points of a grid or of random draws."""
    chosen, values = strategies(sweep), value_combinations(sweep)
    if sweep.search.algorithm == "grid":
        product = itertools.product(chosen, values, sweep.search.rates)
        return [(strategy, rate, value) for strategy, value, rate in product]
    return _draw(sweep, chosen, values)


def trial_config(
    sweep: SweepConfig, strategy: StrategyConfig, rate: float, values: Values = NONE
) -> TrialConfig:
    """One point of the sweep as a whole trial."""
    sweep = with_values(sweep, values)
    train = sweep.train
    if not sweep.resources.may_use_deepspeed(strategy.name):
        train = train.model_copy(update={"deepspeed": None})
    return TrialConfig(
        model=sweep.model,
        data=sweep.trial_data,
        strategy=strategy,
        learning_rate=rate,
        align=sweep.trial_align,
        train=train,
        seed=sweep.seed,
    )


def label(strategy: StrategyConfig, rate: float, values: Values = NONE) -> str:
    """``lora rank=8 lr=3e-4``: how a trial is called wherever people read."""
    options = options_text(strategy, values)
    return " ".join(filter(None, (strategy.name, options, f"lr={short_rate(rate)}")))


def options_text(strategy: StrategyConfig, values: Values = NONE) -> str:
    """``rank=8 train.weight_decay=0.1``: what tells trials of one strategy apart but the rate."""
    options = strategy.model_dump(
        mode="json", exclude={"name"}, exclude_defaults=True, exclude_none=True
    )
    return " ".join(f"{name}={_short(value)}" for name, value in [*options.items(), *values])


def _short(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def short_rate(rate: float) -> str:
    """``3e-4`` for 0.0003: as papers write it.

    Example:
        >>> short_rate(0.0003), short_rate(1.25e-05)
        ('3e-4', '1.25e-5')
    """
    mantissa, _, exponent = f"{rate:.2e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def option_combinations(given: dict[str, Any]) -> list[dict[str, Any]]:
    """Every combination of a strategy's options; a list means each of its values.

    For an option that is a list itself (`target_modules`), a list of lists does.
    """
    choices = [_choices(given, option) for option in given]
    return [dict(zip(given, values, strict=True)) for values in itertools.product(*choices)]


def _choices(given: dict[str, Any], option: str) -> list[Any]:
    value = given[option]
    strategy = STRATEGIES.get(str(given.get("name")))
    field = strategy.Config.model_fields.get(option) if strategy else None
    if field is not None and typing.get_origin(field.annotation) is tuple:
        many = isinstance(value, list) and bool(value) and all(isinstance(v, list) for v in value)
        return list(value) if many else [value]
    return value if isinstance(value, list) else [value]


def _draw(sweep: SweepConfig, chosen: list[StrategyConfig], values: list[Values]) -> list[Point]:
    """Different points drawn by the sweep's seed: a strategy, then a rate, then other values."""
    draws = random.Random(sweep.seed)
    rates, wanted = sweep.search.learning_rate, sweep.search.num_trials or 0
    found: dict[Point, None] = {}
    while len(found) < wanted:
        strategy = draws.choice(chosen)
        if not isinstance(rates, RateRange):
            rate = draws.choice(sweep.search.rates)
        elif rates.log:
            rate = math.exp(draws.uniform(math.log(rates.low), math.log(rates.high)))
        else:
            rate = draws.uniform(rates.low, rates.high)
        found[strategy, rate, draws.choice(values) if len(values) > 1 else values[0]] = None
    return list(found)
