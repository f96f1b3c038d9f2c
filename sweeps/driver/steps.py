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


def steps_of_halts(search: SearchConfig, total_steps: int) -> tuple[int, ...]:
    """Steps at which ASHA compares trials: grace, then times the reduction factor.

    Integer arithmetic: a logarithm loses a halt at exact powers.
    """
    step = max(1, math.ceil(search.grace_ratio * total_steps))
    halts = []
    while step < total_steps:
        halts.append(step)
        step *= search.reduction_factor
    return tuple(halts)


def _with_halts(sweep: SweepConfig, settings: Settings) -> SweepConfig:
    """Under ASHA trials are scored midway, at steps that depend on how many there are."""
    if sweep.search.scheduler == "none":
        return sweep
    total = total_steps(sweep.train, sweep.trial_data, sweep.seed, settings.cache)
    halts = steps_of_halts(sweep.search, total)
    if not halts:
        raise ConfigError("search.scheduler is 'asha', but a trial has one step: nothing to halt")
    train = sweep.train.model_copy(update={"evaluate_at_steps": halts})
    return sweep.model_copy(update={"train": train})
