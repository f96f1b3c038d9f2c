"""Runs a sweep: checks, prepares what trials share, lets Ray Tune schedule, picks the winners."""

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console

from lnt_core.config import TrialConfig
from lnt_core.errors import ConfigError, LntError
from lnt_core.identity import trial_id
from lnt_core.trial import has_checkpoint
from sweeps.added import all_added
from sweeps.budget import start_budget
from sweeps.config import SweepConfig, steps_of_halts
from sweeps.control import Control
from sweeps.datasets import dataset_inputs
from sweeps.disk import DiskFullError, disk_full, is_disk_full
from sweeps.execution import BASE, Result, latest_execution, new_execution, read_json, write_json
from sweeps.finish import Outcome, finish
from sweeps.growth import NUM_REPEATED, Growth, named_point
from sweeps.live import Board
from sweeps.plan import check_sweep, plan
from sweeps.plan_table import too_big
from sweeps.provenance import provenance_tags
from sweeps.queue import PointQueue
from sweeps.ray_start import start_ray
from sweeps.room import most_at_once, room_of
from sweeps.runs import flat
from sweeps.search import Point, asha, optuna_search
from sweeps.settings import Settings
from sweeps.space import trials
from sweeps.steps import total_steps
from sweeps.store import connect, experiment_id
from sweeps.tracking import Tracker
from sweeps.trainable import Context, prepare_base, run_point
from sweeps.weights import WinnerWeights

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from ray import tune

    from sweeps.callback import DriverCallback

MAX_DEATHS = 3
"""So often a trial whose process died is started again from its checkpoint."""
DISK_PATIENCE_S = 30.0
"""So long MLflow, which may be on the same full disk, is waited for."""


def run_sweep(
    sweep: SweepConfig,
    settings: Settings,
    console: Console,
    *,
    address: str | None = None,
    resume: bool = False,
    num_seeds: int = 1,
) -> Outcome:
    """Run a sweep here or on the Ray cluster at ``address``; resume its latest execution if asked.

    With ``num_seeds`` the best points of each strategy are repeated until they have so many.

    Raises:
        ConfigError: Something is wrong that is better said before anything starts.
    """
    check_sweep(sweep)
    _warn_of_what_does_not_fit(sweep, console)
    sweep = _with_halts(sweep, settings)
    planned = [] if sweep.search.algorithm == "tpe" else trials(sweep)
    client = connect(sweep.tracking.uri)
    start_ray(sweep.resources, address)
    execution = latest_execution(sweep) if resume else new_execution(sweep)
    with execution.locked():
        budget = start_budget(sweep.budget, sweep.resources, execution)
        context = Context(sweep, execution, settings.cache.resolve(), budget)
        tracker = _tracker(context, client)
        try:
            base = _base_scores(context, console)
            _report_base(context, tracker, base)
            interrupted, left_out = _tune(context, tracker, planned, console, num_seeds=num_seeds)
        except Exception as error:
            full = is_disk_full(error)
            _give_up(tracker, patience_s=DISK_PATIENCE_S if full else None)
            if full and not isinstance(error, DiskFullError):
                raise disk_full(execution.path) from error
            raise
        except BaseException:
            _give_up(tracker)
            raise
        return finish(context, tracker, client, console, interrupted=interrupted, left_out=left_out)


def _give_up(tracker: Tracker, patience_s: float | None = None) -> None:
    tracker.interrupted()
    tracker.close("KILLED", patience_s=patience_s)


def _warn_of_what_does_not_fit(sweep: SweepConfig, console: Console) -> None:
    """A prediction may err, so that the sweep goes on; a trial without memory fails alone."""
    if sweep.resources.gpu_memory_gib is None:
        return
    for line in too_big(plan(sweep)):
        console.print(f"Warning: {line}", highlight=False, markup=False, soft_wrap=True)


def _with_halts(sweep: SweepConfig, settings: Settings) -> SweepConfig:
    """Under ASHA trials are scored midway, at steps that depend on how many there are."""
    if sweep.search.scheduler == "none":
        return sweep
    total = total_steps(sweep.train, sweep.trial_data, sweep.seed, settings.cache)
    halts = steps_of_halts(sweep.search, total)
    if not halts:
        raise ConfigError("search.scheduler is 'asha', but a trial has one step: nothing to halt")
    train = sweep.train.model_copy(update={"evaluate_at_steps": halts})
    return sweep.model_copy(update={"train": train})


def _tracker(context: Context, client: "MlflowClient") -> Tracker:
    sweep = context.sweep
    tracker = Tracker(
        client,
        experiment_id(client, sweep.name),
        context.execution,
        tags=provenance_tags(context.sweep),
        params=flat(sweep.model_dump(mode="json", exclude={"name"}, exclude_none=True)),
        datasets=dataset_inputs(sweep.trial_data),
    )
    tracker.parent_artifact(context.execution.path / "sweep.yaml")
    return tracker


def _base_scores(context: Context, console: Console) -> dict[str, float]:
    """What the untuned base scores; trains the tiny model and stage 1 if nobody has yet."""
    import ray

    path = context.execution.path / "base.json"
    if path.exists():
        return dict(read_json(path))
    resources = context.sweep.resources
    task = ray.remote(prepare_base).options(
        num_cpus=resources.cpus_per_trial, num_gpus=resources.gpus_per_trial
    )
    with console.status("Preparing the base model, data and stage 1 ..."):
        try:
            scores: dict[str, float] = ray.get(
                task.remote(context, {"strategy": 0, "learning_rate": 1e-3})
            )
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, LntError):
                raise error.cause from None
            raise
    write_json(path, scores)
    console.print(f"Untuned base: CIDEr {scores['select/cider']:.2f}", highlight=False)
    return scores


def _report_base(context: Context, tracker: Tracker, base: dict[str, float]) -> None:
    """Its scores, captions and analysis onto the parent run."""
    tracker.parent_metrics({f"base/{name}": value for name, value in base.items()})
    for path in sorted((context.execution.path / BASE).iterdir()):
        tracker.parent_artifact(path, folder=BASE)


def _tune(
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
    from sweeps.callback import DriverCallback, trial_run

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


def _points_left(context: Context, planned: list[TrialConfig], done: set[str]) -> list[Point]:
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
            reuse_actors=True,
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
