"""Checks before a sweep starts: points of the search space, values, models and files."""

import contextlib
import itertools
import math
from collections import Counter
from typing import Any

from pydantic import ValidationError

from lnt_core.config import DataConfig, ModelConfig, TrialConfig
from lnt_core.distributed.zero_config import stage_of
from lnt_core.errors import ConfigError, all_problems, bad_field
from lnt_core.evaluation.check import data_problems
from lnt_core.paths import is_model_here, shown, why_not_writable
from lnt_core.strategies import STRATEGIES, StrategyConfig
from sweeps.config import SweepConfig
from sweeps.plan.labels import label, options_text
from sweeps.plan.space import (
    ANY_STRATEGY,
    MAKE_STEPS,
    num_combinations,
    option_combinations,
    points,
    strategies,
    trial_config,
    value_combinations,
    with_values,
)
from sweeps.search_space import MAX_TRIALS, MAX_VARIANTS
from sweeps.validation import validation_problems

PROBE_RATE = 1e-3
"""Learning rate for checks that do not depend on it."""
MAY_VARY = ("train.", "data.tune.")
"""Prefixes of keys that may vary: scores under another base model or on other images do not
compare."""


def check_sweep(sweep: SweepConfig, *, files: bool = True) -> list[str]:
    """Check a sweep before it starts.

    Args:
        sweep: The sweep.
        files: Whether to check that models and data files exist and can be read.

    Returns:
        What is left out of the training data, a line for each kind of thing.

    Raises:
        ConfigError: Lists every problem found.
    """
    check_values(sweep, files=files)
    return check_models(sweep) if files else []


def check_values(sweep: SweepConfig, *, files: bool = True) -> None:
    """The quick part of :func:`check_sweep`, without torch: values, and files of data.

    Raises:
        ConfigError: Lists every problem found.
    """
    problems = point_problems(sweep)
    if files:
        problems += _storage_problems(sweep.tracking.storage)
        problems += _model_problems(sweep.model)
        for data in _datas(sweep):
            problems += data_problems(sweep.model, data)
    if problems:
        raise all_problems(sweep.name, problems)


def check_models(sweep: SweepConfig) -> list[str]:
    """The slow part of :func:`check_sweep`: models, strategies applied to them, conversations.

    Returns:
        What is left out of the training data.

    Raises:
        ConfigError: Lists every problem found.
    """
    from sweeps.plan.costs import Costs  # imports torch, which most commands do not need
    from sweeps.plan.data_notes import data_notes

    notes: list[str] = []
    problems = Costs(sweep, files=True).problems(strategies(sweep))
    problems += _template_problems(sweep.model)
    if not problems:
        notes, problems = data_notes(sweep)
    if problems:
        raise all_problems(sweep.name, problems)
    return notes


def _template_problems(model: ModelConfig) -> list[str]:
    """Why the chat template of a language model cannot be used, if it is to be."""
    from lnt_core.models.build import load_conversations

    if model.language_model is None or model.conversation != "chat_template":
        return []
    try:
        load_conversations(model)
    except ConfigError as error:
        return [str(error)]
    return []


def strategy_problems(content: Any) -> list[str]:
    """Problems of the strategies in the content of a sweep file."""
    search = content.get("search") if isinstance(content, dict) else None
    listed = search.get("strategy") if isinstance(search, dict) else None
    problems: list[str] = []
    for index, entry in enumerate(listed if isinstance(listed, list) else [listed]):
        given = {"name": entry} if isinstance(entry, str) else entry
        if not isinstance(given, dict):
            continue  # reported by the validation of SweepConfig
        field = f"search.strategy[{index}]"
        name = given.get("name")
        if not isinstance(name, str) or name not in STRATEGIES:
            problems.append(bad_field(field, name, allowed=STRATEGIES))
            continue
        if num_combinations(given) > MAX_VARIANTS:
            problems.append(
                f"{field} has {_many(num_combinations(given))} combinations of options, but must "
                f"have at most {MAX_VARIANTS:,}"
            )
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
    """Problems of the search space: values, duplicate points, or more random draws than points."""
    if problems := size_problems(sweep) or value_problems(sweep):
        return problems
    if problems := trial_problems(sweep):
        return problems
    search = sweep.search
    if search.algorithm == "grid":
        counts = Counter(points(sweep))
        twice = [label(*point) for point, count in counts.items() if count > 1]
        return [f"search: the trial {name} is listed twice" for name in twice]
    if search.algorithm == "tpe" and search.rates:
        fix = "TPE would draw the same trials repeatedly; use `grid` or `random` for a list"
        return [
            bad_field(
                "search.learning_rate", list(search.rates), allowed="a range {low, high}", fix=fix
            )
        ]
    combinations = len(set(strategies(sweep))) * len(set(value_combinations(sweep)))
    most = combinations * len(set(search.rates))
    wanted = search.num_trials or 0
    if search.algorithm == "random" and search.rates and wanted > most:
        fix = "the search space has no more points; lower it, or use `algorithm: grid`"
        return [bad_field("search.num_trials", wanted, allowed=f"at most {most}", fix=fix)]
    return []


def size_problems(sweep: SweepConfig) -> list[str]:
    """Whether the search space is too large to be listed; it is not listed to find out."""
    search = sweep.search
    variants = sum(num_combinations(given) for given in search.strategy)
    variants *= math.prod(len(values) for values in search.values.values())
    if variants > MAX_VARIANTS:
        return [
            f"search has {_many(variants)} combinations of strategies, their options and "
            f"`values`, but must have at most {MAX_VARIANTS:,}"
        ]
    if search.algorithm == "grid" and variants * len(search.rates) > MAX_TRIALS:
        return [
            f"search has {_many(variants * len(search.rates))} trials, but must have at most "
            f"{MAX_TRIALS:,}"
        ]
    return []


def _many(count: int) -> str:
    return f"{count:,}" if count <= 10**9 else "more than 10^9"


def value_problems(sweep: SweepConfig) -> list[str]:
    """Problems of `search.values`."""
    problems = []
    for key, values in sweep.search.values.items():
        field = f"search.values.{key}"
        if not key.startswith(MAY_VARY):
            allowed = "a key of " + " or ".join(f"`{start.rstrip('.')}`" for start in MAY_VARY)
            problems.append(f"{field} cannot vary within a sweep; only {allowed} can")
        elif not values:
            problems.append(f"{field} is an empty list: give at least one value")
        elif key.startswith("data.tune.") and (sweep.data is None or sweep.data.tune is None):
            problems.append(f"{field} needs `data.tune` with files; drawn scenes have no such key")
        elif sweep.search.scheduler == "asha" and key.startswith(MAKE_STEPS):
            fix = "ASHA compares trials at equal steps"
            got = sweep.search.scheduler
            allowed = f"'none' because search.values varies {key}"
            problems.append(bad_field("search.scheduler", got, allowed=allowed, fix=fix))
    if problems:
        return problems
    for values in value_combinations(sweep):
        try:
            with_values(sweep, values)
        except ValidationError as error:
            problems += [f"search.values: {p}" for p in validation_problems(error, SweepConfig)]
    return list(dict.fromkeys(problems))


def trial_problems(sweep: SweepConfig) -> list[str]:
    """Problems of strategies that cannot run with the sweep's other values."""
    problems = []
    for strategy, values in itertools.product(strategies(sweep), value_combinations(sweep)):
        workers = sweep.resources.workers_of(strategy.name)
        try:
            config = trial_config(sweep, strategy, PROBE_RATE, values)
        except ValidationError as error:
            problems += validation_problems(error, TrialConfig)
            continue
        if workers > 1 and config.train.deepspeed is None:
            name = f"{strategy.name} {options_text(strategy, values)}".strip()
            problems.append(
                f"resources.workers_per_trial: {name} would have {workers} workers, but its "
                "train.deepspeed is null"
            )
        if stage_of(config.train.deepspeed) == 3 and sweep.trial_data.names_for_winners:
            key = "data.scenes.report_when" if sweep.trial_data.scenes else "data.report[].when"
            problems.append(
                bad_field(
                    key,
                    "winners",
                    allowed=f"'trials': ZeRO-3 shards the weights of {strategy.name}, which are "
                    "whole only in its trial",
                )
            )
    return list(dict.fromkeys(problems))


def _option_problems(error: ValidationError, config: type[StrategyConfig]) -> list[str]:
    """Problems to append to the strategy's path: ``.rank is 0, ...``, or ``: ...`` of the whole."""
    name = str(config.model_fields["name"].default)
    return [problem.removeprefix(name) for problem in validation_problems(error, config)]


def _datas(sweep: SweepConfig) -> list[DataConfig]:
    """Every data config of the trials: the sweep's own, and those with varied values."""
    found = [sweep.trial_data]
    for values in value_combinations(sweep):
        with contextlib.suppress(ValidationError):  # reported by value_problems
            found.append(with_values(sweep, values).trial_data)
    return list(dict.fromkeys(found))


def _storage_problems(storage: str) -> list[str]:
    reason = why_not_writable(storage)
    if not reason:
        return []
    return [f"tracking.storage: nothing can be written to {shown(storage)}: {reason}"]


def _model_problems(model: ModelConfig) -> list[str]:
    names = {
        "model.language_model": model.language_model,
        "model.vision_tower": model.vision_tower,
        "model.checkpoint": model.checkpoint,
    }
    return [
        f"{field}: {shown(name)} is neither a folder with a config.json nor in the local Hugging "
        f"Face cache; download it with `hf download {shown(name)}`"
        for field, name in names.items()
        if name is not None and not is_model_here(name)
    ]
