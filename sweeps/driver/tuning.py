"""Ray Tune over the trials of a sweep that are left, while it may grow."""

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console

from lnt_core.config import TrialConfig
from lnt_core.identity import trial_id
from lnt_core.trial import has_checkpoint
from sweeps.driver.control import Control
from sweeps.driver.growth import NUM_REPEATED, Growth
from sweeps.driver.live_table import Board
from sweeps.driver.queue import PointQueue
from sweeps.driver.search import asha, optuna_search
from sweeps.driver.weights import WinnerWeights
from sweeps.storage.execution import Result
from sweeps.storage.extra_trials import all_added
from sweeps.storage.full_disk import disk_full
from sweeps.tracking.provenance import provenance_tags
from sweeps.tracking.tracker import Tracker
from sweeps.worker.context import Context, TunePoint, named_point
from sweeps.worker.placement import most_at_once, room_of
from sweeps.worker.trainable import run_point

if TYPE_CHECKING:
    from ray import tune

    from sweeps.driver.callback import DriverCallback


MAX_DEATHS = 3
"""So often a trial whose process died is started again from its checkpoint."""


def tune_trials(
    context: Context,
    tracker: Tracker,
    planned: list[TrialConfig],
    console: Console,
    *,
    num_seeds: int,
) -> tuple[bool, dict[str, str]]:
    """Let Ray Tune run what is left.

    Returns:
        Whether it was interrupted before all was done; and trials that the budget left out, with
        the reason.
    """
    from sweeps.driver.callback import DriverCallback, trial_run

    sweep, execution, tags = context.sweep, context.execution, provenance_tags(context.sweep)
    configs, done = execution.configs(), execution.results()
    for name in [name for name, result in done.items() if result.status == "failed"]:
        execution.forget_result(name)  # it is tried again, from its checkpoint
        del done[name]
    added = [found.config for found in all_added(execution).values()]
    num_trials = (sweep.search.num_trials or len(planned)) + len(added)
    weights = WinnerWeights(execution, num_best=NUM_REPEATED if num_seeds > 1 else 1)
    with Board(console, num_trials=num_trials, num_done=len(done)) as board:
        size = Size(num_trials, tracker, board)
        growth = Growth(context, num_seeds=num_seeds, announce=size.grow)
        queue = _queue(context, planned, added, done, growth)
        callback = DriverCallback(context, tracker, board, queue, weights, tags)
        control = Control(context, growth, queue, callback.stopper, announce=size.grow)
        tracker.obey(control.poll)
        for name, result in done.items():
            tracker.ended(
                trial_run(context, named_point(context, name, configs[name]), tags), result
            )
        weights.take_in((name, configs[name], result) for name, result in done.items())
        if queue.anything():
            _tuner(context, queue, callback).fit()
            control.hurry()  # who stopped the last trial waits for an answer
            tracker.obey_the_last()
        if callback.stopper.disk_is_full:
            raise disk_full(execution.path)
    if queue.finished:
        weights.settle()
    return not queue.finished, callback.left_out


class Size:
    """How many trials the sweep has, for the live table and for who follows it in MLflow."""

    def __init__(self, num_trials: int, tracker: Tracker, board: Board) -> None:
        self._num_trials = num_trials
        self._tracker = tracker
        self._board = board
        self.grow(0)

    def grow(self, count: int, *, again: bool = False) -> None:
        """So many more are to be run; ``again``: they have been before."""
        self._num_trials += 0 if again else count
        self._board.added(count)
        self._tracker.parent_tags({"lnt.num_trials": str(self._num_trials)})


def _queue(
    context: Context,
    planned: list[TrialConfig],
    added: list[TrialConfig],
    done: Mapping[str, Result],
    growth: Growth,
) -> PointQueue:
    """What is left to be run."""
    sweep = context.sweep
    left = _points_left(context, planned + added, set(done))
    if sweep.search.algorithm != "tpe":
        return PointQueue(left, more=growth)
    assert sweep.search.num_trials is not None
    num_done = len(set(done) - {trial_id(config) for config in added})
    return PointQueue(
        left,
        more=growth,
        drawn=optuna_search(sweep, context.execution),
        num_drawn=max(0, sweep.search.num_trials - num_done),
    )


def _points_left(context: Context, planned: list[TrialConfig], done: set[str]) -> list[TunePoint]:
    """Of a grid or of random draws; those with a checkpoint first."""
    named = [(trial_id(config), config) for config in planned]
    left = [(name, config) for name, config in named if name not in done]
    left.sort(key=lambda item: not has_checkpoint(context.execution.trial(item[0])))
    return [named_point(context, name, config) for name, config in left]


def _tuner(context: Context, queue: PointQueue, callback: "DriverCallback") -> "tune.Tuner":
    """Ray Tune over what is left. Its own snapshots are not restored from: see Execution."""
    from ray import tune

    sweep = context.sweep
    trainable = tune.with_resources(
        tune.with_parameters(run_point, context=context), functools.partial(room_of, context)
    )
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=queue,
            scheduler=asha(sweep) if sweep.search.scheduler == "asha" else None,
            num_samples=-1,  # until the queue says that it is finished
            max_concurrent_trials=most_at_once(sweep),
            # a process kept for the next trial would hold room that workers of another wait for
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
