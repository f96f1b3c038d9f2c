"""How a sweep file becomes trials: the grid, random draws, and Optuna's space."""

import itertools
import math
import random
from collections import Counter
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lnt_core.config import TrialConfig
from lnt_core.errors import bad_field
from lnt_core.strategies import STRATEGIES, AnyStrategyConfig, StrategyConfig
from sweeps.config import RateRange, SweepConfig
from sweeps.problems import validation_problems

_STRATEGY: TypeAdapter[StrategyConfig] = TypeAdapter(AnyStrategyConfig)


def strategies(sweep: SweepConfig) -> list[StrategyConfig]:
    """Every strategy with every combination of its options, in the file's order."""
    return [
        _STRATEGY.validate_python(options)
        for given in sweep.search.strategy
        for options in _combinations(given)
    ]


def strategy_problems(content: Any) -> list[str]:
    """What is wrong with the strategies of a sweep file's content; empty if nothing is."""
    search = content.get("search") if isinstance(content, dict) else None
    listed = search.get("strategy") if isinstance(search, dict) else None
    problems: list[str] = []
    for index, entry in enumerate(listed if isinstance(listed, list) else [listed]):
        given = {"name": entry} if isinstance(entry, str) else entry
        if not isinstance(given, dict):
            continue  # the sweep's own types say so
        field = f"search.strategy[{index}]"
        name = given.get("name")
        if name not in STRATEGIES:
            problems.append(bad_field(field, name, allowed=STRATEGIES))
            continue
        problems += [
            f"{field}.{option} is an empty list: give at least one value"
            for option, value in given.items()
            if value == []
        ]
        for options in _combinations(given):
            try:
                _STRATEGY.validate_python(options)
            except ValidationError as error:
                found = _option_problems(error, STRATEGIES[name].Config)
                problems += [f"{field}{problem}" for problem in found]
    return problems


def point_problems(sweep: SweepConfig) -> list[str]:
    """Points that stand twice, or more random points than there are; empty if all is well."""
    chosen, search = strategies(sweep), sweep.search
    if search.algorithm == "grid":
        twice = [label(trial_config(sweep, *p)) for p in _duplicates(chosen, search.rates)]
        return [f"search: the trial {name} is listed twice" for name in twice]
    if search.algorithm == "tpe" and search.rates:
        fix = "TPE would draw the same trials again; for a list use `grid` or `random`"
        return [
            bad_field(
                "search.learning_rate", list(search.rates), allowed="a range {low, high}", fix=fix
            )
        ]
    most = len(set(chosen)) * len(set(search.rates))
    wanted = search.num_trials or 0
    if search.algorithm == "random" and search.rates and wanted > most:
        fix = "lower it, or search a grid"
        return [bad_field("search.num_trials", wanted, allowed=f"at most {most} here", fix=fix)]
    return []


def trials(sweep: SweepConfig) -> list[TrialConfig]:
    """The trials of a grid or of random draws."""
    chosen = strategies(sweep)
    if sweep.search.algorithm == "grid":
        points = list(itertools.product(chosen, sweep.search.rates))
    else:
        points = _draw(sweep, chosen)
    return [trial_config(sweep, strategy, rate) for strategy, rate in points]


def trial_config(sweep: SweepConfig, strategy: StrategyConfig, rate: float) -> TrialConfig:
    """One point of the sweep as a whole trial."""
    return TrialConfig(
        model=sweep.model,
        data=sweep.trial_data,
        strategy=strategy,
        learning_rate=rate,
        align=sweep.trial_align,
        train=sweep.train,
        seed=sweep.seed,
    )


def label(config: TrialConfig) -> str:
    """``layernorm lr=3e-4``: how a trial is called wherever people read."""
    options = config.strategy.model_dump(exclude={"name"}, exclude_defaults=True)
    shown = "".join(f" {name}={value}" for name, value in options.items())
    return f"{config.strategy.name}{shown} lr={short_rate(config.learning_rate)}"


def short_rate(rate: float) -> str:
    """``3e-4`` for 0.0003: as papers write it.

    Example:
        >>> short_rate(0.0003), short_rate(1.25e-05)
        ('3e-4', '1.25e-5')
    """
    mantissa, _, exponent = f"{rate:.2e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def _combinations(given: dict[str, Any]) -> list[dict[str, Any]]:
    choices = [value if isinstance(value, list) else [value] for value in given.values()]
    return [dict(zip(given, values, strict=True)) for values in itertools.product(*choices)]


def _option_problems(error: ValidationError, config: type[StrategyConfig]) -> list[str]:
    """What follows the strategy's place: ``.rank is 0, ...`` or ``: ...`` of the whole."""
    name = str(config.model_fields["name"].default)
    return [problem.removeprefix(name) for problem in validation_problems(error, config)]


def _duplicates(
    chosen: list[StrategyConfig], rates: tuple[float, ...]
) -> list[tuple[StrategyConfig, float]]:
    counts = Counter(itertools.product(chosen, rates))
    return [point for point, count in counts.items() if count > 1]


def _draw(sweep: SweepConfig, chosen: list[StrategyConfig]) -> list[tuple[StrategyConfig, float]]:
    """Different points drawn by the sweep's seed: a strategy, then a rate."""
    draws = random.Random(sweep.seed)
    rates, wanted = sweep.search.learning_rate, sweep.search.num_trials or 0
    points: dict[tuple[StrategyConfig, float], None] = {}
    while len(points) < wanted:
        strategy = draws.choice(chosen)
        if not isinstance(rates, RateRange):
            rate = draws.choice(sweep.search.rates)
        elif rates.log:
            rate = math.exp(draws.uniform(math.log(rates.low), math.log(rates.high)))
        else:
            rate = draws.uniform(rates.low, rates.high)
        points[strategy, rate] = None
    return list(points)
