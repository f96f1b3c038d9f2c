"""Tuned weights on disk: only those of each strategy's best trial so far are kept."""

import math
import shutil

from lnt_core.config import TrialConfig
from lnt_core.trial import WEIGHTS
from sweeps.execution import Execution, Result


class WinnerWeights:
    """Deletes the weights of every trial that another of its strategy beats.

    Sixty trials of a 7B model would fill any disk; six do not.
    """

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._best: dict[str, tuple[tuple[float, float, float], str]] = {}

    def keep_best(self, trial_id: str, config: TrialConfig, result: Result) -> None:
        """Take in the result of a trial that has just ended."""
        score = result.score
        if score is None or not math.isfinite(score):  # such a trial never wins
            score = -math.inf
        rank = (-score, result.metrics.get("params/trainable", 0.0), config.learning_rate)
        before = self._best.get(config.strategy.name)
        if before is not None and before[1] != trial_id:
            loser = trial_id if before[0] <= rank else before[1]
            shutil.rmtree(self._execution.trial(loser) / WEIGHTS, ignore_errors=True)
        if before is None or rank < before[0]:
            self._best[config.strategy.name] = (rank, trial_id)
