"""Clones: copies of a trial with some values changed. Parses, checks and builds them."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, ValidationError

from lnt_core.config import StartedFrom, TrialConfig, TuneConfig
from lnt_core.errors import ConfigError, bad_field
from lnt_core.frozen import Frozen
from lnt_core.strategies import STRATEGIES, AnyStrategyConfig
from sweeps.plan.space import MAKE_STEPS
from sweeps.plan.trials import SweepTrial
from sweeps.validation import load_yaml, validation_problems

RATE = "learning_rate"
TRAIN = "train."
FROM = "from"
"""Key of a clone's values: the trial and step of the checkpoint that it starts from."""
EITHER = ("train.epochs", "train.max_steps")
"""Exclusive keys: setting one unsets the other."""


class Tunable(Frozen):
    """What a clone may change."""

    learning_rate: float = Field(gt=0, lt=1)
    strategy: AnyStrategyConfig
    train: TuneConfig


def parse_changes(given: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Values by key from ``key=value`` arguments, and the problems with their form."""
    changes: dict[str, Any] = {}
    problems = []
    for argument in given:
        key, sign, value = argument.partition("=")
        if not sign or not key:
            problems.append(f"{argument!r} is not of the form key=value")
        elif key in changes:
            problems.append(f"{key} is given twice")
        else:
            try:
                changes[key] = load_yaml(value)
            except ConfigError as error:
                problems.append(str(error))
    return changes, problems


def tunable_of(params: Mapping[str, str]) -> Tunable:
    """What a clone of a trial may change, read from the trial's params in MLflow (flat text)."""
    content: dict[str, Any] = {RATE: params[RATE], "strategy": {}, "train": {}}
    for key, value in params.items():
        section, _, name = key.partition(".")
        if name and section in ("strategy", "train"):
            *parents, last = name.split(".")
            inner = content[section]
            for parent in parents:
                inner = inner.setdefault(parent, {})
            inner[last] = load_yaml(value)
    return Tunable.model_validate(content)


def tunable(config: TrialConfig) -> Tunable:
    """What a clone of a trial with this config may change."""
    return Tunable(learning_rate=config.learning_rate, strategy=config.strategy, train=config.train)


def change_problems(
    tunable: Tunable, changes: Mapping[str, Any], *, from_checkpoint: bool, scheduler: str
) -> list[str]:
    """Why a clone cannot be made; empty if it can.

    Args:
        tunable: The values of the original trial.
        changes: The changed values, by key.
        from_checkpoint: Whether the clone starts from the original trial's checkpoint.
        scheduler: `search.scheduler` of the sweep.
    """
    name = tunable.strategy.name
    options = set(STRATEGIES[name].Config.model_fields) - {"name"}
    train = {TRAIN + field for field in TuneConfig.model_fields} - {"train.evaluate_at_steps"}
    allowed = sorted({RATE, *options, *train})
    problems = [bad_field("the key", key, allowed=allowed) for key in changes if key not in allowed]
    if scheduler != "none":
        problems += [
            f"{key} cannot change under search.scheduler {scheduler!r}, which compares trials at "
            "equal steps"
            for key in changes
            if key.startswith(MAKE_STEPS)
        ]
    if from_checkpoint:
        problems += [
            f"{key} cannot change with --from-checkpoint: the checkpoint holds tensors made "
            "with the old value"
            for key in changes
            if key in options or key == "train.rate_ratio"
        ]
    known = {key: value for key, value in changes.items() if key in allowed}
    try:
        changed = Tunable.model_validate(_with(tunable.model_dump(), known))
    except ValidationError as error:
        return problems + validation_problems(error, Tunable)
    if problems:
        return problems
    if changed == tunable and not from_checkpoint:
        return ["nothing is changed: the clone would be the same trial"]
    return []


def clone(
    original: SweepTrial,
    started_from: StartedFrom | None,
    request_id: str,
    changes: Mapping[str, Any],
) -> SweepTrial:
    """A clone of a trial, to be added to its sweep.

    Args:
        original: The trial to clone.
        started_from: The checkpoint that the clone starts from; None: the base model.
        request_id: Id of the request for the clone.
        changes: The changed values, by key.

    Raises:
        ValidationError: The values are not valid together.
    """
    content = _with(original.config.model_dump(), changes)
    content |= {"started_from": started_from, "train_seed": None}
    values = {key: value for key, value in original.values if key != FROM}
    values |= {key: value for key, value in changes.items() if key.startswith(TRAIN)}
    if started_from is not None:
        values[FROM] = f"{started_from.trial}@{started_from.step}"
    config = TrialConfig.model_validate(content)
    hashable = ((key, tuple(v) if isinstance(v, list) else v) for key, v in values.items())
    return SweepTrial(config, tuple(hashable), "clone", original.id, request_id)


def _with(content: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a trial with the changed values."""
    found = content | {section: dict(content[section]) for section in ("strategy", "train")}
    for key in changes:
        if key in EITHER:
            found["train"] |= {other.removeprefix(TRAIN): None for other in EITHER}
    for key, value in changes.items():
        if key == RATE:
            found[RATE] = value
        elif key.startswith(TRAIN):
            found["train"][key.removeprefix(TRAIN)] = value
        else:
            found["strategy"][key] = value
    return found
