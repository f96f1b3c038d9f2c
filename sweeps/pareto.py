"""Trials that nobody beats: no other scores as much at less cost."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sweeps.selection import Trial

Cost = Callable[[Trial], float | None]


@dataclass(frozen=True)
class CostAxis:
    """Something that a trial spends."""

    label: str
    """With its unit."""
    of: Cost


AXES = (
    CostAxis("trainable parameters", lambda trial: float(trial.trainable_parameters) or None),
    CostAxis("peak memory, GiB", lambda trial: trial.peak_memory_gib),
    CostAxis("time of the trial, hours", lambda trial: trial.trial_h),
)


def pareto_front(trials: Iterable[Trial], cost: Cost) -> list[Trial]:
    """The cheapest first, each with a higher score than every cheaper one.

    Trials without a score, or whose cost is not known, are left out.
    """
    known = [(t, c, t.score) for t in trials if t.score is not None and (c := cost(t)) is not None]
    front: list[Trial] = []
    best = float("-inf")
    for trial, _, score in sorted(known, key=lambda item: (item[1], -item[2])):
        if score > best:
            front.append(trial)
            best = score
    return front
