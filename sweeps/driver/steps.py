"""How many steps a trial has, and at which of them ASHA compares trials."""

import math
from functools import lru_cache
from pathlib import Path

from lnt_core.config import DataConfig, TuneConfig
from lnt_core.data.samples import load_samples
from lnt_core.errors import ConfigError
from sweeps.config import SearchConfig, SweepConfig
from sweeps.settings import Settings


def total_steps(train: TuneConfig, data: DataConfig, seed: int, cache: Path) -> int:
    """Optimiser steps of stage 2; reads the data where they are given in epochs."""
    count = _num_samples(data, seed, cache) if train.max_steps is None else 0
    return train.num_steps(count)


@lru_cache(maxsize=64)
def _num_samples(data: DataConfig, seed: int, cache: Path) -> int:
    from lnt_core.worker import located

    stage = located(data, cache).tune
    assert stage is not None
    return len(load_samples(stage, seed=seed))


def rung_steps(search: SearchConfig, total_steps: int) -> tuple[int, ...]:
    """The steps at which ASHA compares trials: ``grace_ratio`` of all, then times the factor.

    Integer arithmetic: a logarithm loses a rung at exact powers.

    Source:
        Li et al., A System for Massively Parallel Hyperparameter Tuning, arXiv:1810.05934.
    """
    step = max(1, math.ceil(search.grace_ratio * total_steps))
    rungs = []
    while step < total_steps:
        rungs.append(step)
        step *= search.reduction_factor
    return tuple(rungs)


def with_rungs(sweep: SweepConfig, settings: Settings) -> SweepConfig:
    """The sweep whose trials are scored at ASHA's rungs; as it is without a scheduler.

    Raises:
        ConfigError: A trial is too short to be compared before its end.
    """
    if sweep.search.scheduler == "none":
        return sweep
    total = total_steps(sweep.train, sweep.trial_data, sweep.seed, settings.cache)
    rungs = rung_steps(sweep.search, total)
    if not rungs:
        raise ConfigError(
            "search.scheduler is 'asha', but a trial has one step: there is no rung before its end"
        )
    train = sweep.train.model_copy(update={"evaluate_at_steps": rungs})
    return sweep.model_copy(update={"train": train})
