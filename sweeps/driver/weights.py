"""Deletes the tuned weights of trials that can no longer win."""

import shutil
from collections import defaultdict
from collections.abc import Iterable

from lnt_core.trial import WEIGHTS
from sweeps.plan.trials import SweepTrial
from sweeps.results.selection import Trial, repeated_points, winners
from sweeps.storage.execution import Execution, Result


class WinnerWeights:
    """Deletes the weights of every trial that another trial of its strategy beats.

    The weights of sixty trials of a 7B model would fill any disk; those of six do not.

    Args:
        execution: The execution of the trials.
        num_best: How many of each strategy are kept until :meth:`settle`, because their order may
            change when they are repeated with further seeds.
    """

    def __init__(self, execution: Execution, *, num_best: int = 1) -> None:
        self._execution = execution
        self._num_best = num_best
        self._trials: dict[str, dict[str, Trial]] = defaultdict(dict)
        self._kept: dict[str, set[str]] = defaultdict(set)

    def keep_best(self, trial: SweepTrial, result: Result) -> None:
        """Add a trial that has just ended, then delete the weights of trials that cannot win."""
        self.take_in([(trial, result)])

    def take_in(self, ended: Iterable[tuple[SweepTrial, Result]]) -> None:
        """Add several trials, as a resumed sweep must, then delete weights like `keep_best`."""
        for trial, result in ended:
            strategy: str = trial.config.strategy.name
            self._trials[strategy][trial.id] = Trial.from_result(trial, result)
            self._kept[strategy].add(trial.id)
        for strategy in self._trials:
            self._prune(strategy, self._num_best)

    def settle(self) -> None:
        """Keep only the weights of winners, at the end of the sweep."""
        for strategy in self._trials:
            self._prune(strategy, 0)

    def _prune(self, strategy: str, num_best: int) -> None:
        known = self._trials[strategy].values()
        single = repeated_points(trial for trial in known if not trial.is_repeat)
        keep = {point.trial.trial_id for point in single[:num_best]}
        keep |= {winner.trial.trial_id for winner in winners(known)}
        for name in self._kept[strategy] - keep:
            shutil.rmtree(self._execution.trial(name) / WEIGHTS, ignore_errors=True)
        self._kept[strategy] &= keep
