"""Runs a sweep: checks it, prepares the base model, runs the trials, picks the winners."""

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from rich.console import Console

from sweeps.config import SweepConfig
from sweeps.driver.budget import start_budget
from sweeps.driver.finish import Outcome, finish
from sweeps.driver.ray_start import start_ray
from sweeps.driver.steps import with_rungs
from sweeps.driver.tuning import tune_trials
from sweeps.plan.checks import check_sweep
from sweeps.plan.planned import plan, too_big
from sweeps.plan.trials import trials
from sweeps.settings import Settings
from sweeps.storage.execution import latest_execution, new_execution
from sweeps.storage.full_disk import DiskFullError, disk_full, is_disk_full
from sweeps.storage.trials import add_trial
from sweeps.tracking.datasets import dataset_inputs
from sweeps.tracking.provenance import provenance_tags
from sweeps.tracking.runs import flat
from sweeps.tracking.store import connect, experiment_id
from sweeps.tracking.tracker import Tracker
from sweeps.worker.context import Context

if TYPE_CHECKING:
    from mlflow import MlflowClient


DISK_PATIENCE_S = 30.0
"""Seconds to wait for MLflow when the disk is full, since its store may be on the same disk."""


def run_sweep(
    sweep: SweepConfig,
    settings: Settings,
    console: Console,
    *,
    address: str | None = None,
    resume: bool = False,
    num_seeds: int = 1,
) -> Outcome:
    """Run a sweep, or resume its latest execution.

    Args:
        sweep: The sweep to run.
        settings: Read from the environment.
        console: Where progress is printed.
        address: Address of a running Ray cluster; None starts Ray on this machine.
        resume: Whether to resume the latest execution.
        num_seeds: Seeds with which the best points of each strategy are trained; 1: no repeats.

    Raises:
        ConfigError: The sweep cannot be run; raised before any trial starts.
        AccessError: Ray or MLflow refuses access.
        LntError: The base model cannot be prepared.
        DiskFullError: The disk is full; the sweep can be resumed.
    """
    check_sweep(sweep)
    _warn_of_what_does_not_fit(sweep, console)
    sweep = with_rungs(sweep, settings)
    with ThreadPoolExecutor(1) as pool:  # both take seconds, most of which they wait
        connecting = pool.submit(connect, sweep.tracking.uri)
        start_ray(sweep.resources, address)
        client = connecting.result()
    execution = latest_execution(sweep) if resume else new_execution(sweep)
    with execution.locked():
        for trial in trials(sweep):
            add_trial(execution, trial)
        budget = start_budget(sweep.budget, sweep.resources, execution)
        context = Context(sweep, execution, settings.cache.resolve(), budget)
        tracker = _tracker(context, client)
        try:
            interrupted, left_out = tune_trials(context, tracker, console, num_seeds=num_seeds)
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
    """Print which strategies are predicted to exceed the GPU's memory.

    The sweep runs all the same: a prediction may be wrong, and a trial out of memory fails alone.
    """
    if sweep.resources.gpu_memory_gib is None:
        return
    for line in too_big(plan(sweep)):
        console.print(f"Warning: {line}", highlight=False, markup=False, soft_wrap=True)


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
