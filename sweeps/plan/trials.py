"""A trial of a sweep: its config, and what tells it apart from the others."""

import functools
from dataclasses import dataclass

from lnt_core.config import TrialConfig
from lnt_core.identity import trial_id
from sweeps.config import SweepConfig
from sweeps.plan.labels import label, options_text
from sweeps.plan.space import NONE, Values, points, trial_config


@dataclass(frozen=True)
class SweepTrial:
    """One trial of a sweep, whether the sweep file has it or the sweep gained it later."""

    config: TrialConfig
    values: Values = NONE
    """What it varies besides its strategy's options and the learning rate."""
    added_by: str = ""
    """Why a sweep gained it: ``edge``, ``seed`` or ``clone``; empty if the sweep file has it."""
    cloned_from: str = ""
    """The id of the trial of which it is a clone."""
    request: str = ""
    """The id of the request for the clone (``sweeps.tracking.requests``)."""

    @functools.cached_property
    def id(self) -> str:
        """The hash of its config and data, by which it travels through Ray Tune."""
        return trial_id(self.config)

    @property
    def options(self) -> str:
        """``rank=8 train.weight_decay=0.1``: all that it varies but the learning rate."""
        return options_text(self.config.strategy, self.values)

    @property
    def name(self) -> str:
        """``lora rank=8 lr=3e-4``, with the seed if it repeats another trial."""
        name = label(self.config.strategy, self.config.learning_rate, self.values)
        seed = self.config.train_seed
        return name if seed is None else f"{name} seed={seed}"


def trials(sweep: SweepConfig) -> list[SweepTrial]:
    """The trials that a sweep file gives: all of a grid, or the random draws; none for TPE."""
    if sweep.search.algorithm == "tpe":
        return []
    return [
        SweepTrial(trial_config(sweep, strategy, rate, values), values)
        for strategy, rate, values in points(sweep)
    ]
