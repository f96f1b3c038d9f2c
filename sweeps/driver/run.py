"""Runs a sweep: checks it, prepares the base model, runs the trials, picks the winners."""

import functools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console

from lnt_core.errors import all_problems
from sweeps import signals
from sweeps.config import SweepConfig
from sweeps.console import say
from sweeps.driver.budget import start_budget
from sweeps.driver.finish import Outcome, finish
from sweeps.driver.gate import start_gate
from sweeps.driver.nodes import examine_nodes, planned_on_gpus
from sweeps.driver.ray_start import start_ray
from sweeps.driver.stages_1 import check_budget
from sweeps.driver.steps import with_rungs
from sweeps.driver.tuning import tune_trials
from sweeps.nodes.facts import gather
from sweeps.nodes.needs import asked_for, needs_of
from sweeps.plan.checks import check_sweep
from sweeps.plan.trials import trials
from sweeps.settings import Settings
from sweeps.storage.execution import Execution, latest_execution, new_execution
from sweeps.storage.full_disk import DiskFullError, disk_full, is_disk_full
from sweeps.storage.mending import mend
from sweeps.storage.notices import noted, told
from sweeps.storage.trials import add_trial
from sweeps.tracking.datasets import dataset_inputs
from sweeps.tracking.outbox import PATIENCE_S
from sweeps.tracking.parent import check_parent, check_store
from sweeps.tracking.provenance import provenance_tags
from sweeps.tracking.runs import flat
from sweeps.tracking.store import connect, experiment_id
from sweeps.tracking.tracker import Tracker
from sweeps.worker.context import Context

if TYPE_CHECKING:
    from mlflow import MlflowClient


Result = TypeVar("Result")


def run_sweep(
    sweep: SweepConfig,
    settings: Settings,
    console: Console,
    *,
    address: str | None = None,
    resume: bool = False,
    num_seeds: int = 1,
    begun: Callable[[], None] = lambda: None,
) -> Outcome:
    """Run a sweep, or resume its latest execution.

    Args:
        sweep: The sweep to run.
        settings: Read from the environment.
        console: Where progress is printed.
        address: Address of a running Ray cluster; None starts Ray on this machine.
        resume: Whether to resume the latest execution.
        num_seeds: Seeds with which the best points of each strategy are trained; 1: no repeats.
        begun: Called as soon as there is an execution, which can be resumed.

    Raises:
        Interrupted: A signal arrived; what is trained is kept, and the MLflow runs are closed.
        ConfigError: The sweep cannot be run; raised before any trial starts.
        AccessError: Ray or MLflow refuses access.
        LntError: The base model cannot be prepared.
        DiskFullError: The disk is full; the sweep can be resumed.
    """
    for note in check_sweep(sweep):
        say(console, note)
    planned = planned_on_gpus(sweep)
    _warn(planned.too_big(), console)
    check_budget(sweep, planned, settings.cache.resolve())
    sweep = with_rungs(sweep, settings)
    resumed = latest_execution(sweep) if resume else None
    # takes seconds, most of which it waits
    connecting = _in_thread(_connect, sweep, resumed)
    asked = asked_for(sweep, str(settings.cache.resolve()))
    here = _in_thread(gather, asked)
    start_ray(address)
    found = examine_nodes(sweep, planned, asked, here.result(), address)
    if found.problems:
        raise all_problems(f"the nodes of {address or 'this machine'}", found.problems)
    _warn(found.warnings, console)
    client = connecting.result()
    execution = resumed or new_execution(sweep)
    begun()
    with _opened(execution, sweep, console, resume=resume):
        budget = start_budget(sweep.budget, sweep.resources, execution)
        gate = None
        if address is not None:  # no node joins a Ray that was started here
            needs, seen = needs_of(sweep, planned), execution.path / "sweep.yaml"
            gate = start_gate(asked, needs, sweep.resources, found.nodes, seen)
        context = Context(sweep, execution, settings.cache.resolve(), budget, gate)
        return _run_trials(context, client, console, num_seeds=num_seeds)


def _run_trials(
    context: Context, client: "MlflowClient", console: Console, *, num_seeds: int
) -> Outcome:
    """Run the trials and pick the winners; whatever happens, no run in MLflow is left open."""
    tracker: Tracker | None = None
    try:
        with signals.held():  # else its run might be left open
            tracker = _tracker(context, client)
        left_out = tune_trials(context, tracker, console, num_seeds=num_seeds)
        return finish(context, tracker, client, console, left_out=left_out)
    except BaseException as error:
        stopped, full = signals.received() is not None, is_disk_full(error)
        if stopped:
            signals.closing()
        if tracker is not None:
            tracker.interrupted()
            tracker.close("KILLED", patience_s=PATIENCE_S if stopped or full else None)
        if full and not isinstance(error, DiskFullError):
            raise disk_full(context.execution.path) from error
        raise


@contextmanager
def _opened(
    execution: Execution, sweep: SweepConfig, console: Console, *, resume: bool
) -> Iterator[None]:
    """Keep other drivers away, mend what is damaged, and write the trials that are planned."""
    with (
        execution.locked(),
        told(execution.path, functools.partial(say, console)),
        noted(execution.path),
    ):
        planned = trials(sweep)
        if resume:
            mend(execution, sweep, planned)
        for trial in planned:
            add_trial(execution, trial)
        yield


def _connect(sweep: SweepConfig, resumed: Execution | None) -> "MlflowClient":
    """A client of the tracking store, which has the parent run of an execution to be resumed."""
    uri = sweep.tracking.uri
    if resumed is None:
        return connect(uri)
    check_store(uri, resumed)
    client = connect(uri)
    check_parent(client, sweep.name, uri, resumed)
    return client


def _in_thread(work: Callable[..., Result], *given: Any) -> "Future[Result]":
    """Start work in a thread for which an interrupted command need not wait."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work(*given))
        except BaseException as error:  # noqa: BLE001  raised by the one who asks for the result
            future.set_exception(error)

    threading.Thread(target=run, name=work.__name__, daemon=True).start()
    return future


def _warn(lines: list[str], console: Console) -> None:
    """Print which trials are predicted to exceed a GPU's memory.

    The sweep runs all the same: a prediction may be wrong, and a trial out of memory fails alone.
    """
    for line in lines:
        say(console, f"Warning: {line}")


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
