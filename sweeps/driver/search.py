"""The points that Ray Tune is to try: a list, or Optuna's suggestions."""

from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from sweeps.config import RateRange, SweepConfig
from sweeps.plan.space import strategies, value_combinations
from sweeps.storage.execution import Execution
from sweeps.storage.extra_trials import all_added
from sweeps.worker.context import OBJECTIVE, point_of
from sweeps.worker.trainable import WORST_SCORE


class ScoredSearch(OptunaSearch):  # type: ignore[misc]  # Ray is not typed
    """Optuna's search, which a report of progress without a score tells nothing."""

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass on what has a score; Ray's own wants one in every report."""
        if OBJECTIVE in result:
            super().on_trial_result(trial_id, result)


def optuna_search(sweep: SweepConfig, execution: Execution) -> OptunaSearch:
    """TPE over strategies and rates, told of every trial that an earlier driver finished.

    The study is filled here because Ray's own way to do so takes either all points with results
    or none, and a resumed sweep has both.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rates = sweep.search.learning_rate
    space: dict[str, BaseDistribution] = {
        "strategy": CategoricalDistribution(list(range(len(strategies(sweep))))),
        "learning_rate": FloatDistribution(rates.low, rates.high, log=rates.log)
        if isinstance(rates, RateRange)
        else CategoricalDistribution(sweep.search.rates),
    }
    if sweep.search.values:
        space["values"] = CategoricalDistribution(list(range(len(value_combinations(sweep)))))
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name=sweep.name, direction="maximize")
    results, added = execution.results(), all_added(execution)
    configs = {name: c for name, c in execution.configs().items() if name not in added}
    for trial_id, config in configs.items():
        point, result = point_of(sweep, config), results.get(trial_id)
        if result is None:
            study.enqueue_trial(point)
        elif result.score is not None or result.status == "diverged":
            value = WORST_SCORE if result.score is None else result.score
            study.add_trial(
                optuna.trial.create_trial(params=point, distributions=space, value=value)
            )
    return ScoredSearch(
        space,
        metric=OBJECTIVE,
        mode="max",
        # the same seed would draw the first driver's points once more
        sampler=optuna.samplers.TPESampler(seed=sweep.seed + len(configs)),
        storage=storage,
        study_name=sweep.name,
    )


def asha(sweep: SweepConfig) -> TrialScheduler:
    """Asynchronous successive halving over a trial's steps (Li et al., arXiv:1810.05934)."""
    halts, factor = sweep.train.evaluate_at_steps, sweep.search.reduction_factor
    return ASHAScheduler(
        time_attr="step",
        metric=OBJECTIVE,
        mode="max",
        grace_period=halts[0],
        reduction_factor=factor,
        max_t=halts[-1] * factor + 1,  # behind a trial's last step: it ends by itself
    )
