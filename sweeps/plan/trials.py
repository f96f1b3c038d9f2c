"""A trial of a sweep: its config, and what distinguishes it from the others."""

import functools
from dataclasses import dataclass

from lnt_core.config import TrialConfig
from lnt_core.identity import trial_id
from sweeps.config import SweepConfig
from sweeps.plan.labels import label, options_text
from sweeps.plan.space import NONE, Values, points, trial_config


@dataclass(frozen=True)
class SweepTrial:
    """A trial of a sweep, from the sweep file or added while the sweep ran."""

    config: TrialConfig
    values: Values = NONE
    """The varied values besides the strategy's options and the learning rate."""
    added_by: str = ""
    """Why it was added: ``edge``, ``seed`` or ``clone``; empty for a trial of the sweep file."""
    cloned_from: str = ""
    """For a clone: the id of the original trial."""
    request: str = ""
    """For a clone: the id of the request that asked for it (``sweeps.tracking.requests``)."""

    @functools.cached_property
    def id(self) -> str:
        """Hash of the config and data. Ray Tune is given only this id, not the config."""
        return trial_id(self.config)

    @property
    def options(self) -> str:
        """The strategy's options and the varied values: ``rank=8 train.weight_decay=0.1``."""
        return options_text(self.config.strategy, self.values)

    @property
    def name(self) -> str:
        """Name for users: ``lora rank=8 lr=3e-4``, with the seed if it repeats another trial."""
        name = label(self.config.strategy, self.config.learning_rate, self.values)
        seed = self.config.train_seed
        return name if seed is None else f"{name} seed={seed}"


def trials(sweep: SweepConfig) -> list[SweepTrial]:
    """The trials of a sweep file: all of a grid, or the random draws; none for TPE."""
    if sweep.search.algorithm == "tpe":
        return []
    return [
        SweepTrial(trial_config(sweep, strategy, rate, values), values)
        for strategy, rate, values in points(sweep)
    ]
