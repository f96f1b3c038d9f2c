"""Which trials a sweep gains: rates beyond an edge, further seeds."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from lnt_core.config import TrialConfig
from lnt_core.identity import trial_id
from lnt_core.trial import WEIGHTS
from sweeps.config import MAX_EXTENSIONS
from sweeps.plan.labels import options_text
from sweeps.plan.space import trials
from sweeps.results.selection import Trial, repeated_points, winners
from sweeps.storage.extra_trials import Added, add, all_added
from sweeps.worker.context import AGAIN, Context, TunePoint, named_point

LIMIT = 1.0
"""A rate stays below it."""
NUM_REPEATED = 2
"""Points of each strategy that are repeated: its winner and the next best."""


class Growth:
    """Asked by the queue whenever nothing runs any more.

    Args:
        context: Of the execution.
        num_seeds: With how many seeds the best points are run; 1 repeats nothing.
        announce: Told how many trials are added; with ``again=True``, how many are run again.
    """

    def __init__(self, context: Context, *, num_seeds: int, announce: Callable[..., None]) -> None:
        self._context = context
        self._num_seeds = num_seeds
        self._announce = announce
        self._again: set[str] = set()

    def __call__(self) -> list[TunePoint]:
        """What to run next; empty when the sweep is complete."""
        configs = self.configs()
        ended = [self._trial(name, config) for name, config in configs.items()]
        for wanted in (self._beyond_edges, self._further_seeds):
            fresh = [a for a in wanted(ended, configs) if trial_id(a.config) not in configs]
            if fresh:
                for added in fresh:
                    add(self._context.execution, added)
                self._announce(len(fresh))
                return [added.point for added in fresh]
        again = [named_point(self._context, name, configs[name]) for name in self._lost(ended)]
        self._announce(len(again), again=True)
        return [point | {AGAIN: True} for point in again]

    def _beyond_edges(self, ended: list[Trial], configs: dict[str, TrialConfig]) -> list[Added]:
        search = self._context.sweep.search
        if not search.extend_at_edge:
            return []
        return [
            self._like(configs[trial.trial_id], "edge", learning_rate=rate)
            for trial, rate in beyond_edges(ended, search.rates)
        ]

    def _further_seeds(self, ended: list[Trial], configs: dict[str, TrialConfig]) -> list[Added]:
        """By what they scored with the sweep's own seed, so that more seeds go to the same."""
        by_strategy: dict[str, list[Trial]] = defaultdict(list)
        for point in repeated_points(trial for trial in ended if not trial.is_repeat):
            if configs[point.trial.trial_id].started_from is None:
                by_strategy[point.trial.strategy].append(point.trial)
        first = self._context.sweep.seed
        return [
            self._like(configs[trial.trial_id], "seed", train_seed=seed)
            for of_strategy in by_strategy.values()
            for trial in of_strategy[:NUM_REPEATED]
            for seed in range(first + 1, first + self._num_seeds)
        ]

    def _lost(self, ended: list[Trial]) -> list[str]:
        """Winners whose weights went when another was ahead: they are trained once more."""
        execution, found = self._context.execution, []
        for winner in winners(ended):
            name = winner.trial.trial_id
            missing = not (execution.trial(name) / WEIGHTS).exists()
            if winner.seeds and missing and name not in self._again:
                self._again.add(name)
                found.append(name)
        return found

    def _like(self, config: TrialConfig, why: str, **changes: float) -> Added:
        values = self._context.point(named_point(self._context, trial_id(config), config))[2]
        return Added(config.model_copy(update=changes), why, values)

    def configs(self) -> dict[str, TrialConfig]:
        """Every trial that was to be run, by its id."""
        sweep, execution = self._context.sweep, self._context.execution
        planned = [] if sweep.search.algorithm == "tpe" else trials(sweep)
        added = {name: found.config for name, found in all_added(execution).items()}
        return {trial_id(config): config for config in planned} | execution.configs() | added

    def _trial(self, name: str, config: TrialConfig) -> Trial:
        """As MLflow would tell it."""
        context = self._context
        strategy, rate, values = context.point(named_point(context, name, config))
        result = context.execution.result(name)
        metrics = {} if result is None else result.metrics
        return Trial(
            run_id="",
            trial_id=name,
            strategy=strategy.name,
            learning_rate=rate,
            status="left_out" if result is None else result.status,
            score=None if result is None else result.score,
            report_score=metrics.get("report/cider"),
            trainable_parameters=int(metrics.get("params/trainable", 0)),
            trainable_share=metrics.get("params/share", 0.0),
            options=options_text(strategy, values),
            seed=config.seed_of_training,
            is_repeat=config.train_seed is not None,
        )


def next_rate(rates: Iterable[float], *, edge: str) -> float | None:
    """The rate beyond an end, in the ratio of the last two there; None if there is none.

    Rounded to 12 digits, so that it can be read and typed.

    Args:
        rates: Those tried.
        edge: ``lowest`` or ``highest``.

    Example:
        >>> next_rate([1e-3, 2e-3], edge="highest"), next_rate([1e-6, 1e-7], edge="lowest")
        (0.004, 1e-08)
    """
    ordered = sorted(set(rates), reverse=edge == "lowest")
    if len(ordered) < 2:
        return None
    before, last = ordered[-2:]
    rate = float(f"{last * last / before:.12g}")
    return rate if 0.0 < rate < LIMIT else None


def beyond_edges(trials: Sequence[Trial], grid: Sequence[float]) -> list[tuple[Trial, float]]:
    """For each strategy with its options whose best rate is at an end: it, and the next rate.

    Args:
        trials: All that have ended. One that failed or diverged was tried; one that the budget
            left out was not.
        grid: The rates that the sweep file gives.
    """
    by_variant: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        if trial.status != "left_out" and not trial.is_repeat:
            by_variant[trial.variant].append(trial)
    found = []
    for of_variant in by_variant.values():
        rates = {trial.learning_rate for trial in of_variant}
        for winner in winners(of_variant):
            beyond = {
                "highest": sum(rate > max(grid) for rate in rates),
                "lowest": sum(rate < min(grid) for rate in rates),
            }
            if winner.at_edge and beyond[winner.at_edge] < MAX_EXTENSIONS:
                rate = next_rate(rates, edge=winner.at_edge)
                if rate is not None:
                    found.append((winner.trial, rate))
    return found
