"""Which trial of each strategy wins, from scores alone."""

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
"""Of a trial: minus its score, parameters, rate, id."""


@dataclass(frozen=True)
class Trial:
    """One trial of a sweep, as MLflow knows it."""

    run_id: str
    trial_id: str
    strategy: str
    learning_rate: float
    status: TrialStatus
    score: float | None
    report_score: float | None
    """CIDEr x 100 on the split that never chooses."""
    trainable_parameters: int
    trainable_share: float
    options: str = ""
    """What tells it from other trials of its strategy but the rate: ``rank=8``."""
    peak_memory_gib: float | None = None
    """Of the GPU; without one, of the process."""
    trial_h: float | None = None
    """Hours of training and evaluation, without what a checkpoint had done before."""
    seed: int = 0
    """Of its training."""
    is_repeat: bool = False
    """Whether it repeats another trial of the sweep with a further seed."""

    @classmethod
    def from_result(cls, trial: SweepTrial, result: Result | None) -> Self:
        """A trial as its run will have it, from what is on disk; without a run."""
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
        """Strategy and options."""
        return f"{self.strategy} {self.options}".strip()


@dataclass(frozen=True)
class SeedStats:
    """What a point scored with several seeds of training."""

    n: int
    mean: float
    sd: float
    """Sample standard deviation (n - 1)."""

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.sd:.2f} ({self.n})"


@dataclass(frozen=True)
class Repeated:
    """A point with all its seeds."""

    trial: Trial
    """Of the sweep's own seed, whatever the others scored."""
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the seeds; of one, its score."""
        return statistics.fmean(self.scores)

    @property
    def seeds(self) -> SeedStats | None:
        """None where the point was not repeated."""
        n = len(self.scores)
        return SeedStats(n, self.mean, statistics.stdev(self.scores)) if n > 1 else None

    @property
    def rank(self) -> Rank:
        """Smaller is better."""
        return (-self.mean, *rank(self.trial)[1:])


@dataclass(frozen=True)
class Winner:
    """The best trial of a strategy."""

    trial: Trial
    """Of a repeated point the one with the sweep's own seed, not the luckiest."""
    at_edge: str
    """``lowest`` or ``highest`` if it is at an end of the rates tried, else empty."""
    seeds: SeedStats | None = None
    """Of its point, if that was repeated."""


@dataclass(frozen=True)
class Sweep:
    """One execution of a sweep, as MLflow knows it."""

    name: str
    run_id: str
    status: str
    """MLflow's: RUNNING, FINISHED, FAILED or KILLED."""
    base_score: float | None
    metric: str
    """What was scored on what: ``select/cider on flickr30k test``."""
    trials: tuple[Trial, ...]

    @property
    def repeated(self) -> list[Repeated]:
        """The points that were run with several seeds, the best first."""
        return [point for point in repeated_points(self.trials) if point.seeds]

    @property
    def winners(self) -> list[Winner]:
        """The best trial of each strategy, the best first."""
        return winners(self.trials)


def winners(trials: Iterable[Trial]) -> list[Winner]:
    """The best finished trial of each strategy, best first.

    Equal scores go to fewer trainable parameters, then to the smaller rate, then by the trial's
    id, so that the weights that are kept are the winner's in whatever order trials end. Once
    points of a strategy are repeated with further seeds, the highest mean of those with the most
    seeds wins.
    """
    by_strategy: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        by_strategy[trial.strategy].append(trial)
    found = [winner for of_strategy in by_strategy.values() if (winner := _winner(of_strategy))]
    return [winner for _, winner in sorted(found, key=lambda ranked: ranked[0])]


def repeated_points(trials: Iterable[Trial]) -> list[Repeated]:
    """Every point whose trial of the sweep's own seed has a score, the best first."""
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
    """Smaller is better."""
    score = -math.inf if trial.score is None else trial.score
    return (-score, trial.trainable_parameters, trial.learning_rate, trial.trial_id)


def _winner(trials: list[Trial]) -> tuple[Rank, Winner] | None:
    """With its rank among those of other strategies."""
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
