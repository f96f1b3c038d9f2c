"""Selects the winner of each strategy from the scores of its trials."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from lnt_core import metrics as metric
from sweeps.plan.trials import SweepTrial
from sweeps.storage.execution import Result, TrialStatus

Rank = tuple[float, int, float, str]
"""Sort key, smaller is better: negative score, trainable parameters, learning rate, trial id."""


@dataclass(frozen=True)
class Trial:
    """A trial of a sweep, as it is recorded in MLflow."""

    run_id: str
    trial_id: str
    strategy: str
    learning_rate: float
    status: TrialStatus
    score: float | None
    """CIDEr x 100 on the selection split; None unless the trial finished."""
    report_score: float | None
    """CIDEr x 100 on the report split, which is never used for selection."""
    trainable_parameters: int
    trainable_share: float
    options: str = ""
    """The strategy's options and the varied values: ``rank=8``."""
    peak_memory_gib: float | None = None
    """Peak memory of the GPU, or of the process on a CPU."""
    trial_h: float | None = None
    """Hours of training and evaluation, without the part of the training before a resume."""
    seed: int = 0
    """Seed of the training."""
    is_repeat: bool = False
    """Whether it repeats another trial of the sweep with another seed."""

    @classmethod
    def from_result(cls, trial: SweepTrial, result: Result | None) -> Self:
        """A trial from its result on disk, without a run; no result means that it was left out."""
        metrics = {} if result is None else result.metrics
        return cls(
            run_id="",
            trial_id=trial.id,
            strategy=trial.config.strategy.name,
            learning_rate=trial.config.learning_rate,
            status=TrialStatus.LEFT_OUT if result is None else result.status,
            score=None if result is None else result.score,
            report_score=metrics.get(metric.REPORT_CIDER),
            trainable_parameters=int(metrics.get(metric.PARAMS_TRAINABLE, 0)),
            trainable_share=metrics.get(metric.PARAMS_SHARE, 0.0),
            options=trial.options,
            seed=trial.config.seed_of_training,
            is_repeat=trial.config.train_seed is not None,
        )

    @property
    def variant(self) -> str:
        """The strategy's name and options."""
        return f"{self.strategy} {self.options}".strip()


@dataclass(frozen=True)
class SeedStats:
    """Statistics of the scores of a point that was run with several seeds."""

    n: int
    """Number of seeds."""
    mean: float
    sd: float
    """Sample standard deviation (n - 1)."""

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.sd:.2f} ({self.n})"


@dataclass(frozen=True)
class Repeated:
    """A point of the search space with the scores of all its seeds."""

    trial: Trial
    """The trial with the sweep's own seed, whatever the other seeds scored."""
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean score over the seeds."""
        return statistics.fmean(self.scores)

    @property
    def seeds(self) -> SeedStats | None:
        """Statistics over the seeds; None if there is only one."""
        n = len(self.scores)
        return SeedStats(n, self.mean, statistics.stdev(self.scores)) if n > 1 else None

    @property
    def rank(self) -> Rank:
        """Sort key, with the mean score in place of the score."""
        return (-self.mean, *rank(self.trial)[1:])


@dataclass(frozen=True)
class Winner:
    """The best trial of a strategy."""

    trial: Trial
    """For a point with several seeds, the trial with the sweep's own seed, not the luckiest."""
    at_edge: str
    """``lowest`` or ``highest`` if it has the lowest or highest rate tried, else empty."""
    seeds: SeedStats | None = None
    """Statistics of its point, if that was run with several seeds."""


@dataclass(frozen=True)
class Sweep:
    """An execution of a sweep, as it is recorded in MLflow."""

    name: str
    run_id: str
    status: str
    """Status of the parent run: RUNNING, FINISHED, FAILED or KILLED."""
    base_score: float | None
    """CIDEr x 100 of the untuned base."""
    metric: str
    """The metric and the split it is computed on: ``select/cider on flickr30k test``."""
    trials: tuple[Trial, ...]

    @property
    def repeated(self) -> list[Repeated]:
        """The points that were run with several seeds, best first."""
        return [point for point in repeated_points(self.trials) if point.seeds]

    @property
    def winners(self) -> list[Winner]:
        """The winner of each strategy, best first."""
        return winners(self.trials)


def winners(trials: Iterable[Trial]) -> list[Winner]:
    """The best finished trial of each strategy, best first.

    Among equal scores, fewer trainable parameters win, then the smaller rate, then the smaller
    trial id, so that the winner does not depend on the order in which trials end. If points of a
    strategy were run with several seeds, only the points with the most seeds are considered, and
    the highest mean wins.
    """
    by_strategy: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        by_strategy[trial.strategy].append(trial)
    found = [winner for of_strategy in by_strategy.values() if (winner := _winner(of_strategy))]
    return [winner for _, winner in sorted(found, key=lambda ranked: ranked[0])]


def repeated_points(trials: Iterable[Trial]) -> list[Repeated]:
    """Every point whose trial with the sweep's own seed has a score, best first."""
    by_point: dict[tuple[str, str, float], list[Trial]] = defaultdict(list)
    for trial in trials:
        if trial.score is not None and math.isfinite(trial.score):
            by_point[trial.strategy, trial.options, trial.learning_rate].append(trial)
    found = []
    for of_point in by_point.values():
        ordered = sorted(of_point, key=lambda trial: (trial.is_repeat, trial.seed))
        if not ordered[0].is_repeat:
            scores = tuple(trial.score for trial in ordered if trial.score is not None)
            found.append(Repeated(ordered[0], scores))
    return sorted(found, key=lambda point: point.rank)


def rank(trial: Trial) -> Rank:
    """The sort key of a trial."""
    score = -math.inf if trial.score is None else trial.score
    return (-score, trial.trainable_parameters, trial.learning_rate, trial.trial_id)


def _winner(trials: list[Trial]) -> tuple[Rank, Winner] | None:
    """The winner among a strategy's trials, with the rank of its point."""
    points = repeated_points(trials)
    if not points:
        return None
    most = max(len(point.scores) for point in points)
    found = next(point for point in points if len(point.scores) == most)
    best = found.trial
    rates = sorted({t.learning_rate for t in trials if t.status != TrialStatus.LEFT_OUT})
    edge = ""
    if len(rates) > 1 and best.learning_rate in (rates[0], rates[-1]):
        edge = "lowest" if best.learning_rate == rates[0] else "highest"
    return found.rank, Winner(best, edge, found.seeds)
