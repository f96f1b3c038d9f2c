"""Values that a sweep varies besides strategy and learning rate: `search.values`."""

import itertools
from typing import Any

from pydantic import ValidationError

from lnt_core.errors import bad_field
from sweeps.config import SweepConfig
from sweeps.validation import validation_problems

Values = tuple[tuple[str, Any], ...]
"""``(("train.weight_decay", 0.1), ...)``, hashable: lists are tuples."""
NONE: Values = ()
MAY_VARY = ("train.", "data.tune.")
"""Only these: under another base model or another selection set scores do not compare."""
MAKE_STEPS = ("train.max_steps", "train.epochs", "train.batch_size", "data.tune.")


def value_combinations(sweep: SweepConfig) -> list[Values]:
    """Every combination of the values, the last varying fastest; one empty one without any."""
    choices = [[(key, value) for value in values] for key, values in sweep.search.values.items()]
    return list(itertools.product(*choices))


def with_values(sweep: SweepConfig, values: Values) -> SweepConfig:
    """The sweep with these values in place of its own.

    Raises:
        ValidationError: They do not fit the config.
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


def value_problems(sweep: SweepConfig) -> list[str]:
    """What is wrong with `search.values`; empty if nothing is."""
    problems = []
    for key, values in sweep.search.values.items():
        field = f"search.values.{key}"
        if not key.startswith(MAY_VARY):
            allowed = "a key of " + " or ".join(f"`{start.rstrip('.')}`" for start in MAY_VARY)
            problems.append(f"{field} cannot vary within a sweep, only {allowed} can")
        elif not values:
            problems.append(f"{field} is an empty list: give at least one value")
        elif key.startswith("data.tune.") and (sweep.data is None or sweep.data.tune is None):
            problems.append(f"{field} needs `data.tune` with files: drawn scenes have no such key")
        elif sweep.search.scheduler == "asha" and key.startswith(MAKE_STEPS):
            fix = "take `scheduler: none`"
            got = sweep.search.scheduler
            allowed = f"none while {key} varies, because it compares trials at equal steps"
            problems.append(bad_field("search.scheduler", got, allowed=allowed, fix=fix))
    if problems:
        return problems
    for values in value_combinations(sweep):
        try:
            with_values(sweep, values)
        except ValidationError as error:
            problems += [f"search.values: {p}" for p in validation_problems(error, SweepConfig)]
    return list(dict.fromkeys(problems))
