"""Runs the remaining trials of a sweep with Ray Tune; trials may be added meanwhile."""

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from rich.console import Console

from lnt_core.evaluation.tasks import objective_of
from lnt_core.trial import has_checkpoint
from lnt_core.worker import is_prepared
from sweeps import signals
from sweeps.config import SweepConfig
from sweeps.driver.base_run import log_base
from sweeps.driver.control import Control
from sweeps.driver.growth import NUM_REPEATED, Growth
from sweeps.driver.live_table import LiveTable
from sweeps.driver.queue import TrialQueue
from sweeps.driver.search import asha, tpe_search
from sweeps.driver.stages_1 import Stages1, to_train_before
from sweeps.driver.weights import WinnerWeights
from sweeps.plan.base import base_config
from sweeps.plan.trials import SweepTrial
from sweeps.results import tags as tag
from sweeps.storage.execution import BASE_SCORES, Result, TrialStatus
from sweeps.storage.full_disk import disk_full
from sweeps.storage.reported import forget_errors
from sweeps.storage.trials import all_trials
from sweeps.tracking.provenance import provenance_tags
from sweeps.tracking.tracker import Tracker
from sweeps.worker.context import Context
from sweeps.worker.placement import max_concurrent_trials, placement_of
from sweeps.worker.trainable import run_sweep_trial

if TYPE_CHECKING:
    from ray import tune

    from sweeps.driver.callback import DriverCallback


MAX_DEATHS = 3
"""How often a trial whose process died is restarted from its checkpoint."""


def tune_trials(
    context: Context, tracker: Tracker, console: Console, *, num_seeds: int
) -> dict[str, str]:
    """Run every trial of the execution that has not ended, with Ray Tune.

    Returns:
        Why the budget left trials out, by the name of the trial.

    Raises:
        Interrupted: A signal arrived; the trials have saved what they have trained.
        LntError: The base cannot be prepared or scored.
        DiskFullError: The disk is full.
    """
    from sweeps.driver.callback import DriverCallback, trial_run

    sweep, execution, tags = context.sweep, context.execution, provenance_tags(context.sweep)
    trials, done = all_trials(execution), execution.results()
    for name in [name for name, result in done.items() if result.status == TrialStatus.FAILED]:
        execution.forget_result(name)  # run again, from its checkpoint
        del done[name]
    if execution.base_note():  # scored again, too
        execution.forget_base()
        tracker.parent_tags({tag.BASE_NOTE: ""})
    num_trials = _num_trials(sweep, trials)
    weights = WinnerWeights(execution, num_best=NUM_REPEATED if num_seeds > 1 else 1)
    stages_1 = Stages1(context, tracker, tags)
    with LiveTable(
        console,
        num_trials=num_trials,
        num_done=len(done),
        stage_1_steps=stages_1.steps,
        objective=objective_of(sweep.trial_data),
    ) as live_table:
        size = Size(num_trials, tracker, live_table)
        growth = Growth(context, num_seeds=num_seeds, announce=size.grow)
        queue = _queue(context, trials, done, growth)
        callback = DriverCallback(context, tracker, live_table, queue, weights, tags, stages_1)
        control = Control(context, queue, callback.stopper, announce=size.grow)
        tracker.obey(control.poll)
        log_base(execution, tracker)
        for name, result in done.items():
            tracker.ended(trial_run(context, trials[name], tags), result)
        forget_errors(execution)
        callback.reports.log_known()
        weights.take_in((trials[name], result) for name, result in done.items())
        if queue.anything():
            with signals.held():  # at a signal, `fit` returns once the trials have saved
                _tuner(context, queue, callback).fit()
                control.hurry()  # the user who stopped the last trial waits for an answer
                tracker.obey_the_last()
        if callback.stopper.disk_is_full:  # also why the base, if it still ran, has not ended
            raise disk_full(execution.path)
        callback.base.check()
    weights.settle()
    return callback.left_out


def _num_trials(sweep: SweepConfig, trials: Mapping[str, SweepTrial]) -> int:
    """Number of trials of the sweep, including those that TPE has yet to draw."""
    if sweep.search.algorithm != "tpe":
        return len(trials)
    added = sum(bool(trial.added_by) for trial in trials.values())
    return (sweep.search.num_trials or 0) + added


class Size:
    """The number of trials of the sweep, kept up to date in the live table and in MLflow."""

    def __init__(self, num_trials: int, tracker: Tracker, live_table: LiveTable) -> None:
        self._num_trials = num_trials
        self._tracker = tracker
        self._live_table = live_table
        self.grow(0)

    def grow(self, count: int, *, again: bool = False) -> None:
        """Add ``count`` trials to run; ``again``: the sweep already counts them."""
        self._num_trials += 0 if again else count
        self._live_table.added(count)
        self._tracker.parent_tags({tag.NUM_TRIALS: str(self._num_trials)})


def _queue(
    context: Context, trials: Mapping[str, SweepTrial], done: Mapping[str, Result], growth: Growth
) -> TrialQueue:
    """The queue of the trials that have not ended; those with a checkpoint come first."""
    sweep, execution = context.sweep, context.execution
    base: Literal["scored", "prepared", "new"] = "scored"
    if not (execution.path / BASE_SCORES).exists():
        known = is_prepared(base_config(sweep)[0], context.cache)
        base = "prepared" if known else "new"
    left = [name for name, trial in trials.items() if name not in done]
    is_over = base == "scored" and not left and sweep.search.algorithm != "tpe"
    before = [] if is_over else [stage.id for stage in to_train_before(sweep, context.cache)]
    if sweep.search.algorithm != "tpe":
        left.sort(key=lambda name: not has_checkpoint(execution.trial(name)))
        return TrialQueue(left, more=growth, base=base, stages_1=before)
    assert sweep.search.num_trials is not None
    num_done = sum(name in done and not trial.added_by for name, trial in trials.items())
    return TrialQueue(
        [name for name in left if trials[name].added_by],  # tpe_search enqueues the others
        more=growth,
        drawn=tpe_search(sweep, execution),
        num_drawn=max(0, sweep.search.num_trials - num_done),
        base=base,
        stages_1=before,
    )


def _tuner(context: Context, queue: TrialQueue, callback: "DriverCallback") -> "tune.Tuner":
    """Ray Tune's tuner over the queue. Its snapshots are never restored: see `Execution`."""
    from ray import tune

    sweep = context.sweep
    trainable = tune.with_resources(
        tune.with_parameters(run_sweep_trial, context=context),
        functools.partial(placement_of, context),
    )
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=queue,
            scheduler=asha(sweep) if sweep.search.scheduler == "asha" else None,
            num_samples=-1,  # until the queue is finished
            max_concurrent_trials=max_concurrent_trials(sweep),
            # an idle process would hold resources that the workers of another trial wait for
            reuse_actors=not sweep.is_distributed,
        ),
        run_config=tune.RunConfig(
            name=f"ray-{len(list(context.execution.path.glob('ray-*'))) + 1}",
            storage_path=str(context.execution.path),
            verbose=0,
            callbacks=[callback],
            stop=callback.stopper,
            failure_config=tune.FailureConfig(max_failures=MAX_DEATHS),
        ),
    )
