"""The untuned base of a sweep, whose process trains stage 1 and is scored before any trial."""

from lnt_core.config import TrialConfig
from lnt_core.distributed.zero_config import stage_of
from sweeps.config import SweepConfig
from sweeps.plan.space import strategies, trial_config

ANY_RATE = 1e-3
"""Learning rate in the config of the base, which does not depend on it."""


def base_config(sweep: SweepConfig) -> tuple[TrialConfig, int]:
    """A config of the untuned base, and how many workers shard it; 0: one process holds it.

    If every strategy shards the base (ZeRO-3), as many workers do as the strategy with the fewest.
    """
    configs = [trial_config(sweep, strategy, ANY_RATE) for strategy in strategies(sweep)]
    unsharded = [config for config in configs if stage_of(config.train.deepspeed) != 3]
    if unsharded:
        return unsharded[0], 0
    workers = {sweep.resources.workers_of(config.strategy.name): config for config in configs}
    return workers[min(workers)], min(workers)
