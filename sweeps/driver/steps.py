"""The number of optimizer steps of a trial, and the rungs at which ASHA compares trials."""

import math
from functools import lru_cache
from pathlib import Path

from lnt_core.config import DataConfig, ModelConfig, TrialConfig
from lnt_core.data.image_sizes import ImageSizes
from lnt_core.data.samples import load_samples
from lnt_core.errors import ConfigError
from sweeps.config import SweepConfig
from sweeps.plan.labels import counted
from sweeps.search_space import SearchConfig
from sweeps.settings import Settings


def total_steps(config: TrialConfig | SweepConfig, cache: Path) -> int:
    """Optimizer steps of stage 2; reads the data if training is given in epochs."""
    train = config.train
    if train.max_steps is not None:
        return train.num_steps(0)
    data = config.trial_data if isinstance(config, SweepConfig) else config.data
    return train.num_steps(_num_samples(config.model, data, train.max_length, config.seed, cache))


def stage_1_steps(config: TrialConfig, cache: Path) -> int:
    """Optimizer steps of stage 1, of a config that has one; reads the data as above."""
    assert config.align is not None
    align, data = config.align, config.data
    if align.max_steps is not None:
        return align.num_steps(0)
    if data.align is not None:
        data = data.model_copy(update={"tune": data.align})
    return align.num_steps(_num_samples(config.model, data, align.max_length, align.seed, cache))


@lru_cache(maxsize=64)
def _num_samples(
    model: ModelConfig, data: DataConfig, max_length: int, seed: int, cache: Path
) -> int:
    from lnt_core.accounting.answers import usable_samples
    from lnt_core.worker import located

    stage = located(data, cache).tune
    assert stage is not None
    sizes = ImageSizes(data.opening)
    samples = load_samples(stage, seed=seed, keep=sizes.keep(stage))
    return len(usable_samples(model, samples, max_length=max_length, sizes=sizes).samples)


def rung_steps(search: SearchConfig, total_steps: int) -> tuple[int, ...]:
    """The rungs: the optimizer steps at which ASHA compares trials.

    The first is ``grace_ratio`` times the total, each next one ``reduction_factor`` times the one
    before. In integers, because a logarithm can lose a rung at exact powers of the factor.

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
    """The sweep with its trials scored at ASHA's rungs; unchanged without a scheduler.

    Raises:
        ConfigError: The first rung is not before the end of a trial.
    """
    if sweep.search.scheduler == "none":
        return sweep
    total = total_steps(sweep, settings.cache)
    rungs = rung_steps(sweep.search, total)
    if not rungs:
        raise ConfigError(
            f"search.scheduler is 'asha', but the first rung of a trial of "
            f"{counted(total, 'optimizer step')} is not before its end: lower search.grace_ratio, "
            "or train for more steps"
        )
    train = sweep.train.model_copy(update={"evaluate_at_steps": rungs})
    return sweep.model_copy(update={"train": train})
