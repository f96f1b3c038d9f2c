"""The search space of a sweep: strategies with options, learning rates, other values."""

import itertools
import math
import random
import typing
from typing import Any

from pydantic import TypeAdapter

from lnt_core.config import TrialConfig
from lnt_core.strategies import STRATEGIES, AnyStrategyConfig, StrategyConfig
from sweeps.config import SweepConfig
from sweeps.search_space import RateRange

Values = tuple[tuple[str, Any], ...]
"""One combination of `search.values`: ``(("train.weight_decay", 0.1), ...)``. Lists become tuples,
so that it is hashable."""
NONE: Values = ()
MAKE_STEPS = ("train.max_steps", "train.epochs", "train.batch_size", "data.tune.")
"""Keys, and prefixes of keys, that determine the number of optimizer steps."""
Point = tuple[StrategyConfig, float, Values]
"""A strategy with its options, a learning rate, and the other values that the sweep varies."""
ANY_STRATEGY: TypeAdapter[StrategyConfig] = TypeAdapter(AnyStrategyConfig)


def strategies(sweep: SweepConfig) -> list[StrategyConfig]:
    """Every strategy with every combination of its options, in the order of the sweep file."""
    return [
        ANY_STRATEGY.validate_python(options)
        for given in sweep.search.strategy
        for options in option_combinations(given)
    ]


def points(sweep: SweepConfig) -> list[Point]:
    """All points of a grid, or the random draws."""
    chosen, values = strategies(sweep), value_combinations(sweep)
    if sweep.search.algorithm == "grid":
        product = itertools.product(chosen, values, sweep.search.rates)
        return [(strategy, rate, value) for strategy, value, rate in product]
    return _draw(sweep, chosen, values)


def trial_config(
    sweep: SweepConfig, strategy: StrategyConfig, rate: float, values: Values = NONE
) -> TrialConfig:
    """The config of the trial at one point of the search space."""
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


def value_combinations(sweep: SweepConfig) -> list[Values]:
    """Every combination of `search.values`, the last key varying fastest.

    Without `search.values`, a single empty combination.
    """
    choices = [[(key, value) for value in values] for key, values in sweep.search.values.items()]
    return list(itertools.product(*choices))


def with_values(sweep: SweepConfig, values: Values) -> SweepConfig:
    """The sweep with these values in place of its own.

    Raises:
        ValidationError: The resulting config is invalid.
    """
    if not values:
        return sweep
    content = sweep.model_dump(exclude_unset=True)
    for key, value in values:
        *parents, last = key.split(".")
        inner = content
        for parent in parents:
            below = inner.get(parent)
            inner[parent] = inner = {} if below is None else below
        inner[last] = value
    return SweepConfig.model_validate(content)


def option_combinations(given: dict[str, Any]) -> list[dict[str, Any]]:
    """Every combination of a strategy's options, where a list stands for each of its elements.

    For an option that is a list itself (`target_modules`), only a list of lists varies it.
    """
    choices = [_choices(given, option) for option in given]
    return [dict(zip(given, values, strict=True)) for values in itertools.product(*choices)]


def num_combinations(given: dict[str, Any]) -> int:
    """The number of :func:`option_combinations`, without making them."""
    return math.prod(len(_choices(given, option)) for option in given)


def _choices(given: dict[str, Any], option: str) -> list[Any]:
    value = given[option]
    strategy = STRATEGIES.get(str(given.get("name")))
    field = strategy.Config.model_fields.get(option) if strategy else None
    if field is not None and typing.get_origin(field.annotation) is tuple:
        many = isinstance(value, list) and bool(value) and all(isinstance(v, list) for v in value)
        return list(value) if many else [value]
    return value if isinstance(value, list) else [value]


def _draw(sweep: SweepConfig, chosen: list[StrategyConfig], values: list[Values]) -> list[Point]:
    """Distinct points drawn with the sweep's seed: a strategy, a rate, then other values."""
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
