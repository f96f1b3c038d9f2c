"""Predicted training time of a sweep: trials side by side, or one at a time on all GPUs."""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from lnt_core.distributed.zero_config import stage_of
from sweeps.config import SweepConfig
from sweeps.plan.planned import Plan, PlannedTrial

STAGE = 3
"""ZeRO stage to recommend if the sweep gives none: the one that needs the least memory."""


@dataclass(frozen=True)
class Makespans:
    """Predicted hours of training: stage 1, then all trials; without preparation and evaluation."""

    num_gpus: int
    stage_1_h: float
    """Of stage 1, for which all trials wait; part of the others."""
    side_by_side_h: float
    """With every trial on one GPU."""
    in_turn_h: float
    """With one trial after another, each on all GPUs."""
    too_big: tuple[str, ...]
    """Strategies whose trials do not fit one GPU of `resources.gpu_memory_gib`."""
    mixed_h: float
    """With trials of ``too_big`` in turn on all GPUs, then the others side by side."""

    def lines(self, sweep: SweepConfig) -> list[str]:
        """Sentences that compare both ways."""
        efficiency = f"{sweep.resources.scaling_efficiency:.0%} efficiency"
        takes = "would take" if self.too_big else "takes"
        told = [
            f"Training on {self.num_gpus} GPUs {takes} {self.side_by_side_h:,.4g} h if trials run "
            f"side by side on one GPU each, and {self.in_turn_h:,.4g} h if they run one after "
            f"another on all {self.num_gpus} GPUs at {efficiency} (resources.scaling_efficiency). "
            f"{self.verdict}"
        ]
        if self.stage_1_h:
            told.append(
                f"Of these, {self.stage_1_h:,.4g} h are stage 1, for which all trials wait."
            )
        if self.too_big:
            workers = ", ".join(f"{name}: {self.num_gpus}" for name in self.too_big)
            stage = stage_of(sweep.train.deepspeed) or STAGE
            told.append(
                f"{', '.join(self.too_big)}: too large for one GPU as configured. With "
                f"train.deepspeed: zero{stage} and resources.workers_per_trial: {{{workers}}}, "
                "running these one after another and the others side by side takes "
                f"{self.mixed_h:,.4g} h in total."
            )
        return told

    @property
    def verdict(self) -> str:
        """Which way takes less time, and by how much."""
        fast, slow = sorted((self.side_by_side_h, self.in_turn_h))
        if fast == slow:
            return "Both take the same time."
        name = "Side by side" if fast == self.side_by_side_h else "One after another"
        return f"{name} takes {1 - fast / slow:.0%} less time."


def makespans(sweep: SweepConfig, planned: Plan) -> Makespans | None:
    """Training times on `resources.num_gpus` GPUs.

    None for a single GPU, for TPE, or if the number of GPUs or their peak is not given.
    """
    gpus = sweep.resources.num_gpus
    trials, stages_1 = planned.trials, [stage.hours(sweep) for stage in planned.stages_1]
    hours = [trial.cost.gpu_hours for trial in trials]
    known = [hour for hour in hours if hour is not None]
    if gpus is None or gpus == 1 or len(known) < len(trials) or not trials[0].id:
        return None
    first = math.fsum(hour for hour in stages_1 if hour is not None)
    speed = gpus * sweep.resources.scaling_efficiency
    large = {trial.strategy for trial in trials if _too_big_alone(sweep, trial)}
    in_turn = [h for trial, h in zip(trials, known, strict=True) if trial.strategy in large]
    rest = [h for trial, h in zip(trials, known, strict=True) if trial.strategy not in large]
    return Makespans(
        num_gpus=gpus,
        stage_1_h=first,
        side_by_side_h=first + makespan(known, gpus),
        in_turn_h=first + sum(known) / speed,
        too_big=tuple(name for name in dict.fromkeys(t.strategy for t in trials) if name in large),
        mixed_h=first + sum(in_turn) / speed + makespan(rest, gpus),
    )


def makespan(durations: Sequence[float], places: int) -> float:
    """Time until the last task ends, if each in order starts as soon as a place is free.

    Args:
        durations: The tasks' durations, in any unit.
        places: The number of tasks that run at the same time.

    Example:
        >>> makespan([3.0, 1.0, 1.0, 2.0], 2)
        4.0
    """
    free_at = [0.0] * places
    for duration in durations:
        heapq.heapreplace(free_at, free_at[0] + duration)
    return max(free_at)


def _too_big_alone(sweep: SweepConfig, trial: PlannedTrial) -> bool:
    memory_gib = sweep.resources.gpu_memory_gib
    return memory_gib is not None and trial.cost.alone.peak_gib > memory_gib
