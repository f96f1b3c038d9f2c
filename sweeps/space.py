"""How a sweep file becomes trials: the grid, random draws, and Optuna's space."""

import itertools
import math
import random
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lnt_core.config import TrialConfig
from lnt_core.errors import all_problems, bad_field
from lnt_core.strategies import STRATEGIES, AnyStrategyConfig, StrategyConfig
from sweeps.config import RateRange, SweepConfig
from sweeps.problems import validation_problems

_STRATEGY: TypeAdapter[StrategyConfig] = TypeAdapter(AnyStrategyConfig)


def strategies(sweep: SweepConfig) -> list[StrategyConfig]:
    """Every strategy with every combination of its options, in the file's order.

    Raises:
        ConfigError: Names every bad strategy and option at once.
    """
    found: list[StrategyConfig] = []
    problems: list[str] = []
    for index, given in enumerate(sweep.search.strategy):
        field = f"search.strategy[{index}]"
        if given.get("name") not in STRATEGIES:
            problems.append(bad_field(field, given.get("name", given), allowed=STRATEGIES))
            continue
        for options in _combinations(given):
            try:
                found.append(_STRATEGY.validate_python(options))
            except ValidationError as error:
                config = STRATEGIES[given["name"]].Config
                problems += [f"{field}.{p}" for p in _option_problems(error, config)]
    if problems:
        raise all_problems(sweep.name, problems)
    return found


def trials(sweep: SweepConfig) -> list[TrialConfig]:
    """The trials of a grid or of random draws.

    Raises:
        ConfigError: A bad strategy, or two trials that are the same.
    """
    chosen = strategies(sweep)
    if sweep.search.algorithm == "grid":
        points = list(itertools.product(chosen, sweep.search.rates))
    else:
        points = _draw(sweep, chosen)
    if twice := _duplicates(points):
        raise all_problems(sweep.name, [f"search: the trial {t} is listed twice" for t in twice])
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
    problems = validation_problems(error, config)
    return [problem.removeprefix(f"{config.model_fields['name'].default}.") for problem in problems]


def _duplicates(points: list[tuple[StrategyConfig, float]]) -> list[str]:
    seen: set[tuple[StrategyConfig, float]] = set()
    twice = []
    for point in points:
        if point in seen:
            strategy, rate = point
            twice.append(f"{strategy.name} lr={short_rate(rate)}")
        seen.add(point)
    return twice


def _draw(sweep: SweepConfig, chosen: list[StrategyConfig]) -> list[tuple[StrategyConfig, float]]:
    """Different points drawn by the sweep's seed: a strategy, then a rate."""
    draws = random.Random(sweep.seed)
    rates, wanted = sweep.search.learning_rate, sweep.search.num_trials or 0
    if not isinstance(rates, RateRange) and wanted > len(chosen) * len(set(sweep.search.rates)):
        most = len(chosen) * len(set(sweep.search.rates))
        fix = "lower it, or search a grid"
        problem = bad_field("search.num_trials", wanted, allowed=f"at most {most} here", fix=fix)
        raise all_problems(sweep.name, [problem])
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
