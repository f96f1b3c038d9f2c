"""Trials that a sweep gains while it runs: rates beyond the edges of a grid, further seeds."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from lnt_core.config.bounds import MAX_SEED
from lnt_core.outcome import has_weights
from sweeps.driver.report_runs import to_report
from sweeps.plan.trials import SweepTrial
from sweeps.results.selection import Trial, repeated_points, winners
from sweeps.search_space import MAX_EXTENSIONS
from sweeps.storage.execution import Result, TrialStatus
from sweeps.storage.trials import add_trial, all_trials
from sweeps.worker.context import Context

LIMIT = 1.0
"""Learning rates stay below this."""
NUM_REPEATED = 2
"""Number of points of each strategy that are repeated: the winner and the next best."""


class Growth:
    """Called by the queue for further trials when all others have ended.

    Args:
        context: Context of the execution.
        num_seeds: Number of seeds with which the best points are trained; 1: no repeats.
        announce: Called with the number of added trials; with ``again=True``, of trials to rerun.
    """

    def __init__(self, context: Context, *, num_seeds: int, announce: Callable[..., None]) -> None:
        self._context = context
        self._num_seeds = num_seeds
        self._announce = announce
        self._again: set[str] = set()

    def __call__(self) -> list[str]:
        """The ids of the trials to run next, or of winners to score; empty when all is done."""
        execution = self._context.execution
        known, results = all_trials(execution), execution.results()
        ended = [Trial.from_result(t, results.get(name)) for name, t in known.items()]
        for wanted in (self._beyond_edges, self._further_seeds):
            fresh = [trial for trial in wanted(ended, known) if trial.id not in known]
            if fresh:
                for trial in fresh:
                    add_trial(execution, trial)
                self._announce(len(fresh))
                return [trial.id for trial in fresh]
        again = self._lost(ended, results)
        if again:
            self._announce(len(again), again=True)
        return again or to_report(self._context, ended)

    def _beyond_edges(
        self, ended: list[Trial], known: Mapping[str, SweepTrial]
    ) -> list[SweepTrial]:
        search = self._context.sweep.search
        if not search.extend_at_edge:
            return []
        return [
            _changed(known[trial.trial_id], "edge", learning_rate=rate)
            for trial, rate in beyond_edges(ended, search.rates)
        ]

    def _further_seeds(
        self, ended: list[Trial], known: Mapping[str, SweepTrial]
    ) -> list[SweepTrial]:
        """Repeats of the best points of each strategy with further seeds.

        Only scores of the sweep's own seed count, so that every call chooses the same points.
        """
        by_strategy: dict[str, list[Trial]] = defaultdict(list)
        for point in repeated_points(trial for trial in ended if not trial.is_repeat):
            if known[point.trial.trial_id].config.started_from is None:
                by_strategy[point.trial.strategy].append(point.trial)
        first = self._context.sweep.seed
        return [
            _changed(known[trial.trial_id], "seed", train_seed=seed % (MAX_SEED + 1))
            for of_strategy in by_strategy.values()
            for trial in of_strategy[:NUM_REPEATED]
            for seed in range(first + 1, first + self._num_seeds)
        ]

    def _lost(self, ended: list[Trial], results: Mapping[str, Result]) -> list[str]:
        """Winners without weights, which are rerun once.

        They were deleted while another trial was ahead, or are damaged.
        """
        execution, found = self._context.execution, []
        for winner in winners(ended):
            name = winner.trial.trial_id
            lost = not has_weights(execution.trial(name), results[name].files)
            if lost and name not in self._again:
                self._again.add(name)
                found.append(name)
        return found


def _changed(trial: SweepTrial, added_by: str, **changes: float) -> SweepTrial:
    """The trial with other values in its config."""
    return SweepTrial(trial.config.model_copy(update=changes), trial.values, added_by)


def next_rate(rates: Iterable[float], *, edge: str) -> float | None:
    """The next learning rate beyond an end, in the ratio of the last two; None if there is none.

    Rounded to 12 digits, so that it can be read and typed.

    Args:
        rates: The learning rates tried so far.
        edge: The end: ``lowest`` or ``highest``.

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
    """Where to extend a grid: winners whose learning rate is at an end, each with the next rate.

    A winner here is the best trial of a strategy with its options.

    Args:
        trials: All trials that have ended. The rate of a failed or diverged trial counts as tried;
            that of a trial left out by the budget does not.
        grid: The learning rates of the sweep file.
    """
    by_variant: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        if trial.status != TrialStatus.LEFT_OUT and not trial.is_repeat:
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
