"""Selects the winner of each strategy from the scores of its trials."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from lnt_core import metrics as metric
from lnt_core.evaluation.tasks import objective_of
from lnt_core.metrics import OBJECTIVES, Objective
from sweeps.plan.trials import SweepTrial
from sweeps.storage.execution import Result, TrialStatus

Rank = tuple[float, int, float, str]
"""Sort key, smaller is better: negative merit, trainable parameters, learning rate, trial id."""


@dataclass(frozen=True)
class Trial:
    """A trial of a sweep, as it is recorded in MLflow."""

    run_id: str
    trial_id: str
    strategy: str
    learning_rate: float
    status: TrialStatus
    score: float | None
    """Score on the task that chooses; None unless the trial finished."""
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
    objective: Objective = OBJECTIVES[metric.SELECT_CIDER]
    """What ``score`` is."""
    reported: Mapping[str, float] = field(default_factory=dict)
    """The scores on the tasks of `data.report`, by their metrics; they never choose."""

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
            objective=objective_of(trial.config.data),
        )

    @property
    def merit(self) -> float:
        """A number that is higher for a better score; minus infinity without one."""
        return -math.inf if self.score is None else self.objective.merit(self.score)

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

    def shown(self, objective: Objective) -> str:
        """Mean, standard deviation and number, for people."""
        return f"{objective.shown(self.mean)} ± {objective.shown(self.sd)} ({self.n})"


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
        return (-self.trial.objective.merit(self.mean), *rank(self.trial)[1:])


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
    """Score of the untuned base."""
    metric: str
    """The metric and the data it is computed on: ``select/cider on flickr30k test``."""
    trials: tuple[Trial, ...]
    base_reported: Mapping[str, float] = field(default_factory=dict)
    """Scores of the untuned base on the tasks of `data.report`, by their metrics."""

    @property
    def objective(self) -> Objective:
        """What the sweep chooses by."""
        return objective_named(self.metric)

    @property
    def tasks_reported(self) -> list[str]:
        """The main metrics of the tasks in `data.report` that a winner or the base has."""
        found = {name for winner in self.winners for name in winner.trial.reported}
        return sorted(found | set(self.base_reported))

    @property
    def repeated(self) -> list[Repeated]:
        """The points that were run with several seeds, best first."""
        return [point for point in repeated_points(self.trials) if point.seeds]

    @property
    def winners(self) -> list[Winner]:
        """The winner of each strategy, best first."""
        return winners(self.trials)


def objective_named(chosen_by: str) -> Objective:
    """The objective of a metric and its data: ``select/cider on flickr30k test``."""
    return OBJECTIVES[chosen_by.partition(" on ")[0] or metric.SELECT_CIDER]


def winners(trials: Iterable[Trial]) -> list[Winner]:
    """The best finished trial of each strategy, best first.

    Among equal scores, fewer trainable parameters win, then the smaller rate, then the smaller
    trial id, so that the winner does not depend on the order in which trials end. If points of a
    strategy were run with several seeds, only the points with the most seeds are considered, and
    the best mean wins.
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
    return (-trial.merit, trial.trainable_parameters, trial.learning_rate, trial.trial_id)


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
