"""Pareto fronts: the trials for which no cheaper trial has the same or a better score."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sweeps.results.selection import Trial

Cost = Callable[[Trial], float | None]


@dataclass(frozen=True)
class CostAxis:
    """A cost of a trial, as an axis of a figure."""

    name: str
    label: str
    """Label of the axis, with the unit."""
    of: Cost
    """The cost of a trial, or None if it is not known."""
    log: bool = False
    """Whether the axis is logarithmic."""


def _parameters(trial: Trial) -> float | None:
    return float(trial.trainable_parameters) or None


AXES = (
    CostAxis("trainable_parameters", "trainable parameters", _parameters, log=True),
    CostAxis("peak_memory_gib", "peak memory, GiB", lambda trial: trial.peak_memory_gib),
    CostAxis("trial_h", "time of the trial, hours", lambda trial: trial.trial_h),
)


def pareto_front(trials: Iterable[Trial], cost: Cost) -> list[Trial]:
    """The trials that score better than every cheaper one, cheapest first.

    Trials without a score or with an unknown cost are left out, and so are repeats with further
    seeds.
    """
    scored = [(t, t.merit) for t in trials if t.score is not None and not t.is_repeat]
    known = [(t, c, score) for t, score in scored if (c := cost(t)) is not None]
    front: list[Trial] = []
    best = float("-inf")
    for trial, _, score in sorted(known, key=lambda item: (item[1], -item[2])):
        if score > best:
            front.append(trial)
            best = score
    return front
