"""The untuned base of a sweep, which is scored before any trial, and every stage 1 of the sweep."""

from dataclasses import dataclass

from lnt_core.config import TrialConfig
from lnt_core.distributed.zero_config import stage_of
from lnt_core.identity import align_id
from sweeps.config import SweepConfig
from sweeps.plan.space import (
    NONE,
    Values,
    points,
    strategies,
    trial_config,
    value_combinations,
    with_values,
)

ANY_RATE = 1e-3
"""Learning rate in the config of the base, which does not depend on it."""


@dataclass(frozen=True)
class Stage1:
    """A stage 1 that trials of a sweep share."""

    id: str
    """As in the name of the connector's file."""
    config: TrialConfig
    """That of any trial that has it, without its strategy."""
    values: Values
    """The varied values that the trials that share it have in common; none if all share it."""
    sweep: SweepConfig
    """With the values of trials that have it put in place."""
    num_workers: int
    """Worker processes that train it together."""

    @property
    def name(self) -> str:
        """Name for users: ``stage 1``, with the values by which it differs from others."""
        return " ".join(["stage 1", *(f"{key}={value}" for key, value in self.values)])

    @property
    def is_group(self) -> bool:
        """Whether processes of Ray Train train it: there are several, or ZeRO-3 shards the base."""
        return self.num_workers > 1 or stage_of(self.config.train.deepspeed) == 3


def base_config(sweep: SweepConfig) -> tuple[TrialConfig, int]:
    """A config of the untuned base, and how many workers shard it; 0: one process holds it.

    If every strategy shards the base (ZeRO-3), as many workers do as the strategy with the fewest.
    The base has the sweep's own values, unless no trial has the stage 1 that belongs to them: then
    it has the values of the first trials.
    """
    return _config(_of_base(sweep))


def _of_base(sweep: SweepConfig) -> SweepConfig:
    own, _ = _config(sweep)
    if own.align is None or not sweep.search.values:
        return sweep
    used, name = used_values(sweep), align_id(own)
    others = (_config(with_values(sweep, values)) for values in used)
    is_used = any(align_id(config) == name for config, _ in others)
    return sweep if is_used else with_values(sweep, used[0])


def _config(sweep: SweepConfig) -> tuple[TrialConfig, int]:
    configs = [trial_config(sweep, strategy, ANY_RATE) for strategy in strategies(sweep)]
    unsharded = [config for config in configs if stage_of(config.train.deepspeed) != 3]
    if unsharded:
        return unsharded[0], 0
    workers = {sweep.resources.workers_of(config.strategy.name): config for config in configs}
    return workers[min(workers)], min(workers)


def used_values(sweep: SweepConfig) -> list[Values]:
    """The combinations of `search.values` that trials have; for TPE, all that it may draw."""
    if sweep.search.algorithm == "random":
        return list(dict.fromkeys(values for _, _, values in points(sweep)))
    return list(dict.fromkeys(value_combinations(sweep)))


def stages_1(sweep: SweepConfig) -> dict[str, Stage1]:
    """Every stage 1 that the base or a trial has, by id; that of the base is the first.

    There is one, unless varied values give it other data or number formats.
    """
    own = _of_base(sweep)
    base, _ = _config(own)
    if base.align is None:
        return {}
    found, common = {align_id(base): (base, own)}, dict[str, Values]()
    for values in used_values(sweep):
        varied = with_values(sweep, values)
        config, _ = _config(varied)
        name = align_id(config)
        found.setdefault(name, (config, varied))
        common[name] = tuple(v for v in common.get(name, values) if v in values)
    is_only = len(found) == 1
    return {
        name: Stage1(name, config, NONE if is_only else common[name], varied, sweep.align_workers)
        for name, (config, varied) in found.items()
    }


def sure_stages_1(sweep: SweepConfig) -> list[Stage1]:
    """Every stage 1 that is sure to be needed; TPE may draw no trial that has one of the others."""
    found = list(stages_1(sweep).values())
    return found[:1] if sweep.search.algorithm == "tpe" else found
