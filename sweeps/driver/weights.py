"""Tuned weights on disk: only those of trials that can still be exported are kept."""

import shutil
from collections import defaultdict
from collections.abc import Iterable

from lnt_core.config import TrialConfig
from lnt_core.identity import trial_id
from lnt_core.trial import WEIGHTS
from sweeps.results.selection import Trial, repeated_points, winners
from sweeps.storage.execution import Execution, Result


class WinnerWeights:
    """Deletes the weights of every trial that another of its strategy beats.

    Sixty trials of a 7B model would fill any disk; six do not.

    Args:
        execution: Whose trials they are.
        num_best: So many of each strategy are kept until :meth:`settle`, because repeating them
            may change their order.
    """

    def __init__(self, execution: Execution, *, num_best: int = 1) -> None:
        self._execution = execution
        self._num_best = num_best
        self._trials: dict[str, dict[str, Trial]] = defaultdict(dict)
        self._kept: dict[str, set[str]] = defaultdict(set)

    def keep_best(self, name: str, config: TrialConfig, result: Result) -> None:
        """Take in the result of a trial that has just ended."""
        self.take_in([(name, config, result)])

    def take_in(self, ended: Iterable[tuple[str, TrialConfig, Result]]) -> None:
        """Take in several at once, as a resumed sweep must: none is deleted before all are in."""
        for name, config, result in ended:
            strategy: str = config.strategy.name
            self._trials[strategy][name] = _trial(name, config, result)
            self._kept[strategy].add(name)
        for strategy in self._trials:
            self._prune(strategy, self._num_best)

    def settle(self) -> None:
        """The sweep is at its end: only winners stay."""
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


def _trial(name: str, config: TrialConfig, result: Result) -> Trial:
    """What choosing needs; the id of the point stands for its options."""
    return Trial(
        run_id="",
        trial_id=name,
        strategy=config.strategy.name,
        learning_rate=config.learning_rate,
        status=result.status,
        score=result.score,
        report_score=None,
        trainable_parameters=int(result.metrics.get("params/trainable", 0)),
        trainable_share=0.0,
        options=trial_id(config.model_copy(update={"train_seed": None})),
        seed=config.seed_of_training,
        is_repeat=config.train_seed is not None,
    )
