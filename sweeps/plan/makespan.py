"""How long a sweep trains on so many GPUs: trials side by side, or all GPUs for each in turn."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from lnt_core.distributed.zero_config import stage_of
from sweeps.config import SweepConfig
from sweeps.plan.planned import PlannedTrial

STAGE = 3
"""Of ZeRO, where the sweep names none: the one that needs the least memory."""


@dataclass(frozen=True)
class Makespans:
    """Hours of training from the first trial's start to the last one's end; nothing else."""

    num_gpus: int
    side_by_side_h: float
    """One GPU a trial."""
    in_turn_h: float
    """All GPUs for one trial after another."""
    too_big: tuple[str, ...]
    """Strategies that do not fit one GPU of the stated memory."""
    mixed_h: float
    """Those in turn on all GPUs, then the others side by side."""

    def lines(self, sweep: SweepConfig) -> list[str]:
        """For people: both ways, and which is faster."""
        efficiency = f"{sweep.resources.scaling_efficiency:.0%} efficiency"
        would = "would take" if self.too_big else "take"
        told = [
            f"On {self.num_gpus} GPUs, training alone: trials side by side on one GPU each {would} "
            f"{self.side_by_side_h:,.4g} h; one after another on all {self.num_gpus} "
            f"{self.in_turn_h:,.4g} h, at {efficiency} (resources.scaling_efficiency). "
            f"{self.verdict}"
        ]
        if self.too_big:
            workers = ", ".join(f"{name}: {self.num_gpus}" for name in self.too_big)
            stage = stage_of(sweep.train.deepspeed) or STAGE
            told.append(
                f"{', '.join(self.too_big)}: too large for one GPU as configured. With "
                f"train.deepspeed: zero{stage} and resources.workers_per_trial: {{{workers}}} they "
                f"run in turn, and the others side by side: {self.mixed_h:,.4g} h in all."
            )
        return told

    @property
    def verdict(self) -> str:
        """Which is faster, by how much."""
        fast, slow = sorted((self.side_by_side_h, self.in_turn_h))
        if fast == slow:
            return "Both are as fast."
        name = "Side by side" if fast == self.side_by_side_h else "One after another"
        return f"{name} is faster, by {1 - fast / slow:.0%}."


def makespans(sweep: SweepConfig, planned: Sequence[PlannedTrial]) -> Makespans | None:
    """Both ways on the GPUs that the sweep states; None where they or their peak are not stated."""
    gpus = sweep.resources.num_gpus
    hours = [trial.cost.gpu_hours for trial in planned]
    known = [hour for hour in hours if hour is not None]
    if gpus is None or gpus == 1 or len(known) < len(planned) or not planned[0].id:
        return None
    speed = gpus * sweep.resources.scaling_efficiency
    large = {trial.strategy for trial in planned if _too_big_alone(sweep, trial)}
    in_turn = [h for trial, h in zip(planned, known, strict=True) if trial.strategy in large]
    rest = [h for trial, h in zip(planned, known, strict=True) if trial.strategy not in large]
    return Makespans(
        num_gpus=gpus,
        side_by_side_h=makespan(known, gpus),
        in_turn_h=sum(known) / speed,
        too_big=tuple(name for name in dict.fromkeys(t.strategy for t in planned) if name in large),
        mixed_h=sum(in_turn) / speed + makespan(rest, gpus),
    )


def makespan(durations: Sequence[float], places: int) -> float:
    """When the last ends, if each in order starts at the first free place.

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
