"""Trials that nobody beats: no other scores as much at less cost."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sweeps.results.selection import Trial

Cost = Callable[[Trial], float | None]


@dataclass(frozen=True)
class CostAxis:
    """Something that a trial spends."""

    name: str
    label: str
    """With its unit."""
    of: Cost
    log: bool = False
    """Whether it spans orders of magnitude."""


def _parameters(trial: Trial) -> float | None:
    return float(trial.trainable_parameters) or None


AXES = (
    CostAxis("trainable_parameters", "trainable parameters", _parameters, log=True),
    CostAxis("peak_memory_gib", "peak memory, GiB", lambda trial: trial.peak_memory_gib),
    CostAxis("trial_h", "time of the trial, hours", lambda trial: trial.trial_h),
)


def pareto_front(trials: Iterable[Trial], cost: Cost) -> list[Trial]:
    """The cheapest first, each with a higher score than every cheaper one.

    Trials without a score, or whose cost is not known, are left out, and repeats of others.
    """
    scored = [(t, t.score) for t in trials if t.score is not None and not t.is_repeat]
    known = [(t, c, score) for t, score in scored if (c := cost(t)) is not None]
    front: list[Trial] = []
    best = float("-inf")
    for trial, _, score in sorted(known, key=lambda item: (item[1], -item[2])):
        if score > best:
            front.append(trial)
            best = score
    return front
