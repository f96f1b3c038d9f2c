"""What is wrong with the points of a sweep: strategies, options, values, and their combinations."""

import itertools
from collections import Counter
from typing import Any

from pydantic import ValidationError

from lnt_core.config import TrialConfig
from lnt_core.errors import bad_field
from lnt_core.strategies import STRATEGIES, StrategyConfig
from sweeps.config import SweepConfig
from sweeps.space import ANY_STRATEGY, label, option_combinations, points, strategies, trial_config
from sweeps.validation import validation_problems
from sweeps.values import value_combinations, value_problems

PROBE_RATE = 1e-3
"""Any allowed rate: what is asked does not depend on it."""


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
        for options in option_combinations(given):
            try:
                ANY_STRATEGY.validate_python(options)
            except ValidationError as error:
                found = _option_problems(error, STRATEGIES[name].Config)
                problems += [f"{field}{problem}" for problem in found]
    return problems


def point_problems(sweep: SweepConfig) -> list[str]:
    """Bad values, points that stand twice, more random points than there are; empty if well."""
    if problems := value_problems(sweep):
        return problems
    if problems := trial_problems(sweep):
        return problems
    search = sweep.search
    if search.algorithm == "grid":
        counts = Counter(points(sweep))
        twice = [label(*point) for point, count in counts.items() if count > 1]
        return [f"search: the trial {name} is listed twice" for name in twice]
    if search.algorithm == "tpe" and search.rates:
        fix = "TPE would draw the same trials again; for a list use `grid` or `random`"
        return [
            bad_field(
                "search.learning_rate", list(search.rates), allowed="a range {low, high}", fix=fix
            )
        ]
    combinations = len(set(strategies(sweep))) * len(set(value_combinations(sweep)))
    most = combinations * len(set(search.rates))
    wanted = search.num_trials or 0
    if search.algorithm == "random" and search.rates and wanted > most:
        fix = "lower it, or search a grid"
        return [bad_field("search.num_trials", wanted, allowed=f"at most {most} here", fix=fix)]
    return []


def trial_problems(sweep: SweepConfig) -> list[str]:
    """Strategies that cannot run with the sweep's other values; empty if all can."""
    problems = []
    for strategy, values in itertools.product(strategies(sweep), value_combinations(sweep)):
        workers = sweep.resources.workers_of(strategy.name)
        try:
            config = trial_config(sweep, strategy, PROBE_RATE, values)
        except ValidationError as error:
            problems += validation_problems(error, TrialConfig)
            continue
        if workers > 1 and config.train.deepspeed is None:
            problems.append(
                f"resources.workers_per_trial: {label(strategy, PROBE_RATE, values)} would have "
                f"{workers} workers, but its `train.deepspeed` is null"
            )
    return list(dict.fromkeys(problems))


def _option_problems(error: ValidationError, config: type[StrategyConfig]) -> list[str]:
    """What follows the strategy's place: ``.rank is 0, ...`` or ``: ...`` of the whole."""
    name = str(config.model_fields["name"].default)
    return [problem.removeprefix(name) for problem in validation_problems(error, config)]
