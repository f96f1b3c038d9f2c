"""How many steps a trial has, before it has begun."""

from functools import lru_cache
from pathlib import Path

from lnt_core.config import DataConfig, TuneConfig
from lnt_core.data.batches import num_steps
from lnt_core.data.samples import load_samples


def total_steps(train: TuneConfig, data: DataConfig, seed: int, cache: Path) -> int:
    """Optimiser steps of stage 2; reads the data where they are given in epochs."""
    count = _num_samples(data, seed, cache) if train.max_steps is None else 0
    return num_steps(
        count, batch_size=train.batch_size, epochs=train.epochs, max_steps=train.max_steps
    )


@lru_cache(maxsize=64)
def _num_samples(data: DataConfig, seed: int, cache: Path) -> int:
    from lnt_core.worker import located

    stage = located(data, cache).tune
    assert stage is not None
    return len(load_samples(stage, seed=seed))
