"""What Ray Tune is to try and when it stops a trial: TPE's draws, and ASHA.

Optuna draws points: indices into the sweep's strategies and combinations of values, and a rate.
Only here are points translated into trials and back.
"""

from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from sweeps.config import RateRange, SweepConfig
from sweeps.plan.space import strategies, trial_config, value_combinations
from sweeps.plan.trials import SweepTrial
from sweeps.storage.execution import Execution, TrialStatus
from sweeps.storage.trials import add_trial, all_trials
from sweeps.worker.context import OBJECTIVE
from sweeps.worker.trainable import WORST_SCORE

TunePoint = dict[str, Any]
"""``{"strategy": index, "learning_rate": rate, "values": index}``; the last is left out where
nothing else varies."""


class TpeSearch(OptunaSearch):  # type: ignore[misc]  # Ray is not typed
    """Optuna's TPE, whose draws are written as trials of the sweep.

    Args:
        sweep: What is searched.
        execution: Where the drawn trials are written.
        kwargs: For Ray's own search.
    """

    def __init__(self, sweep: SweepConfig, execution: Execution, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sweep = sweep
        self._execution = execution

    def suggest(self, trial_id: str) -> str | None:
        """The id of the trial that is drawn next."""
        point = super().suggest(trial_id)
        if point is None:
            return None
        trial = trial_at(self._sweep, point)
        add_trial(self._execution, trial)
        return trial.id

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass on reports that have a score; Ray's own search wants one in every report."""
        if OBJECTIVE in result:
            super().on_trial_result(trial_id, result)


def trial_at(sweep: SweepConfig, point: TunePoint) -> SweepTrial:
    """The trial at a point of the search."""
    strategy = strategies(sweep)[int(point["strategy"])]
    values = value_combinations(sweep)[int(point.get("values", 0))]
    rate = float(point["learning_rate"])
    return SweepTrial(trial_config(sweep, strategy, rate, values), values)


def point_of(sweep: SweepConfig, trial: SweepTrial) -> TunePoint:
    """The point of the search at which a trial lies."""
    point: TunePoint = {
        "strategy": strategies(sweep).index(trial.config.strategy),
        "learning_rate": trial.config.learning_rate,
    }
    if sweep.search.values:
        point["values"] = value_combinations(sweep).index(trial.values)
    return point


def tpe_search(sweep: SweepConfig, execution: Execution) -> TpeSearch:
    """TPE over strategies, rates and other values, told of all that an earlier driver finished.

    The study is filled here because Ray's own way to do so takes either all points with results
    or none, and a resumed sweep has both.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = _space(sweep)
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name=sweep.name, direction="maximize")
    drawn = [trial for trial in all_trials(execution).values() if not trial.added_by]
    for trial in drawn:
        point, result = point_of(sweep, trial), execution.result(trial.id)
        if result is None:
            study.enqueue_trial(point)
        elif result.score is not None or result.status == TrialStatus.DIVERGED:
            value = WORST_SCORE if result.score is None else result.score
            study.add_trial(
                optuna.trial.create_trial(params=point, distributions=space, value=value)
            )
    return TpeSearch(
        sweep,
        execution,
        space,
        metric=OBJECTIVE,
        mode="max",
        # the same seed would draw the first driver's points once more
        sampler=optuna.samplers.TPESampler(seed=sweep.seed + len(drawn)),
        storage=storage,
        study_name=sweep.name,
    )


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
    """Asynchronous successive halving over a trial's steps (Li et al., arXiv:1810.05934)."""
    rungs, factor = sweep.train.evaluate_at_steps, sweep.search.reduction_factor
    return ASHAScheduler(
        time_attr="step",
        metric=OBJECTIVE,
        mode="max",
        grace_period=rungs[0],
        reduction_factor=factor,
        max_t=rungs[-1] * factor + 1,  # beyond a trial's last step: it ends by itself
    )
