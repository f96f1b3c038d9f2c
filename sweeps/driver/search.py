"""The search algorithm and the scheduler for Ray Tune: TPE and ASHA.

Optuna draws points: the index of a strategy, the index of a combination of values, and a learning
rate. Only this module converts between points and trials.
"""

from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from lnt_core.evaluation.tasks import objective_of
from sweeps.config import SweepConfig
from sweeps.plan.space import strategies, trial_config, value_combinations
from sweeps.plan.trials import SweepTrial
from sweeps.search_space import RateRange
from sweeps.storage.execution import Execution, TrialStatus
from sweeps.storage.trials import add_trial, all_trials
from sweeps.worker.context import OBJECTIVE

TunePoint = dict[str, Any]
"""``{"strategy": index, "learning_rate": rate, "values": index}``; without ``values`` if the sweep
varies no other values."""


class TpeSearch(OptunaSearch):  # type: ignore[misc]  # Ray is not typed
    """Optuna's TPE, which adds each point that it draws to the sweep as a trial.

    Args:
        sweep: The sweep to search.
        execution: Where the drawn trials are written.
        args: Passed to `OptunaSearch`.
        kwargs: Passed to `OptunaSearch`.
    """

    def __init__(self, sweep: SweepConfig, execution: Execution, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sweep = sweep
        self._execution = execution

    def suggest(self, trial_id: str) -> str | None:
        """Draw a trial, write it, and return its id."""
        point = super().suggest(trial_id)
        if point is None:
            return None
        trial = trial_at(self._sweep, point)
        add_trial(self._execution, trial)
        return trial.id

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass on the reports with a score: `OptunaSearch` expects a score in every report."""
        if OBJECTIVE in result:
            super().on_trial_result(trial_id, result)


def trial_at(sweep: SweepConfig, point: TunePoint) -> SweepTrial:
    """The trial at a point."""
    strategy = strategies(sweep)[int(point["strategy"])]
    values = value_combinations(sweep)[int(point.get("values", 0))]
    rate = float(point["learning_rate"])
    return SweepTrial(trial_config(sweep, strategy, rate, values), values)


def point_of(sweep: SweepConfig, trial: SweepTrial) -> TunePoint:
    """The point of a trial."""
    point: TunePoint = {
        "strategy": strategies(sweep).index(trial.config.strategy),
        "learning_rate": trial.config.learning_rate,
    }
    if sweep.search.values:
        point["values"] = value_combinations(sweep).index(trial.values)
    return point


def tpe_search(sweep: SweepConfig, execution: Execution) -> TpeSearch:
    """TPE over strategies, learning rates and other values, with the results of earlier drivers."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.InMemoryStorage()
    study = resumed_study(sweep, execution, storage)
    return TpeSearch(
        sweep,
        execution,
        _space(sweep),
        metric=OBJECTIVE,
        mode="max",
        # with the same seed, a resumed search would draw the first driver's points again
        sampler=optuna.samplers.TPESampler(seed=sweep.seed + len(_drawn(execution))),
        storage=storage,
        study_name=study.study_name,
    )


def resumed_study(
    sweep: SweepConfig, execution: Execution, storage: optuna.storages.BaseStorage
) -> optuna.Study:
    """A study that has every drawn trial: with its score, or to be run if it has not ended.

    It is filled here because `OptunaSearch` takes earlier points either all with a result or all
    without, and a resumed sweep has both kinds.
    """
    worst = objective_of(sweep.trial_data).worst_merit
    study = optuna.create_study(storage=storage, study_name=sweep.name, direction="maximize")
    for trial in _drawn(execution):
        point, result = point_of(sweep, trial), execution.result(trial.id)
        if result is None:
            study.enqueue_trial(point)
        elif result.merit is not None or result.status == TrialStatus.DIVERGED:
            value = worst if result.merit is None else result.merit
            study.add_trial(
                optuna.trial.create_trial(params=point, distributions=_space(sweep), value=value)
            )
    return study


def _drawn(execution: Execution) -> list[SweepTrial]:
    return [trial for trial in all_trials(execution).values() if not trial.added_by]


def _space(sweep: SweepConfig) -> dict[str, BaseDistribution]:
    rates = sweep.search.learning_rate
    space: dict[str, BaseDistribution] = {
        "strategy": CategoricalDistribution(list(range(len(strategies(sweep))))),
        "learning_rate": FloatDistribution(rates.low, rates.high, log=rates.log)
        if isinstance(rates, RateRange)
        else CategoricalDistribution(sweep.search.rates),
    }
    if sweep.search.values:
        space["values"] = CategoricalDistribution(list(range(len(value_combinations(sweep)))))
    return space


def asha(sweep: SweepConfig) -> TrialScheduler:
    """Asynchronous successive halving over optimizer steps (Li et al., arXiv:1810.05934)."""
    rungs, factor = sweep.train.evaluate_at_steps, sweep.search.reduction_factor
    return ASHAScheduler(
        time_attr="step",
        metric=OBJECTIVE,
        mode="max",
        grace_period=rungs[0],
        reduction_factor=factor,
        max_t=rungs[-1] * factor + 1,  # above a trial's last step: it ends by itself
    )
