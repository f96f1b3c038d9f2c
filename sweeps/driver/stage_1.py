"""Trains stage 1 of a sweep alone, on this machine, before any sweep needs it."""

import contextlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lnt_core import metrics as metric
from lnt_core.errors import ConfigError, LntError
from lnt_core.worker import connector_file, is_prepared
from sweeps import signals
from sweeps.config import SweepConfig
from sweeps.driver.ray_start import start_ray, wait_for_room
from sweeps.driver.stage_1_lines import Lines
from sweeps.driver.stages_1 import stage_1_run
from sweeps.plan.base import Stage1, sure_stages_1
from sweeps.resources import ResourcesConfig
from sweeps.results import tags as tag
from sweeps.settings import Settings
from sweeps.storage.execution import Execution, TrialStatus
from sweeps.storage.full_disk import is_disk_full
from sweeps.storage.stage_1 import end_stage_1, stage_1_folder, stage_1_logged
from sweeps.tracking.outbox import PATIENCE_S, Outbox
from sweeps.tracking.provenance import provenance_tags
from sweeps.tracking.runs import TrialRun, TrialRuns
from sweeps.tracking.stage_1 import Stage1Run
from sweeps.tracking.store import connect, experiment_id
from sweeps.worker.group import WorkerDiedError
from sweeps.worker.process import worker_for
from sweeps.worker.stage_1 import train_stage_1

if TYPE_CHECKING:
    from lnt_core.training.loop import Report


def align(sweep: SweepConfig, settings: Settings, console: Console) -> list[Path]:
    """Train every stage 1 that a sweep is sure to need, with a progress bar and a run in MLflow.

    What the cache has is not trained again.

    One that several workers train is trained by Ray on this machine.

    Returns:
        The files of the connectors, that of the untuned base first.

    Raises:
        ConfigError: The sweep has no stage 1, or this machine has no room for its workers.
        Interrupted: A signal arrived; a checkpoint has what is trained.
        LntError: It cannot be trained.
    """
    stages, cache = sure_stages_1(sweep), settings.cache.resolve()
    if not stages:
        raise ConfigError(
            f"{sweep.name} has no stage 1: the connector of model.checkpoint is aligned already; "
            "give `align` to train it all the same"
        )
    missing = [stage for stage in stages if not is_prepared(stage.config, cache)]
    if any(stage.is_group for stage in missing):
        start_ray(None)
        workers = missing[0].num_workers
        wait_for_room(sweep.resources, grows=False, trial=0, stage_1=workers)
    for stage in stages:
        _align(stage, sweep, cache, console)
    return [connector_file(stage.config, cache) for stage in stages]


def _align(stage: Stage1, sweep: SweepConfig, cache: Path, console: Console) -> None:
    folder = Path(sweep.tracking.storage).resolve() / sweep.name / f"align-{stage.id}"
    execution, is_done = Execution(folder), is_prepared(stage.config, cache)
    if is_done and not stage_1_folder(execution, stage.id).exists():
        return  # another sweep has trained it
    if is_done:  # perhaps its run was left open
        end_stage_1(execution, stage.id, TrialStatus.FINISHED)
    folder.mkdir(parents=True, exist_ok=True)
    run = stage_1_run(stage.config, stage.name, sweep.name, cache, provenance_tags(sweep))
    tracked = _tracked(sweep, execution, run)
    outbox = Outbox("mlflow", tracked.update)
    try:
        if not is_done:
            with (
                _bar(console, stage.name, int(run.tags[tag.NUM_STEPS])) as show,
                signals.held(),  # until the step is done, and kept
            ):
                _train(stage, execution, cache, sweep.resources, show)
    finally:
        outbox.put(tracked.interrupt)
        cut_short = signals.received() is not None or is_disk_full(sys.exception())
        patience_s = PATIENCE_S if cut_short else None
        outbox.close(waiting=lambda: console.print("Waiting for MLflow ..."), patience_s=patience_s)


def _train(
    stage: Stage1, execution: Execution, cache: Path, resources: ResourcesConfig, show: "Report"
) -> None:
    """Train in this process, or in a group of workers."""
    if stage.is_group:
        try:
            train_stage_1(stage, execution, cache, resources=resources, report=show)
        except WorkerDiedError as error:
            raise LntError(
                "a worker process of stage 1 died; run `lnt align` again: it goes on from the last "
                "checkpoint"
            ) from error
        return
    with stage_1_logged(execution, stage.id, show) as report:
        worker_for(resources, cache).align(stage.config, report=report)


def _tracked(sweep: SweepConfig, execution: Execution, run: TrialRun) -> Stage1Run:
    client = connect(sweep.tracking.uri)
    experiment = experiment_id(client, sweep.name)
    runs = TrialRuns(client, experiment, "", execution)
    return Stage1Run(client, experiment, "", execution, runs, run)


@contextlib.contextmanager
def _bar(console: Console, name: str, total: int) -> Iterator["Report"]:
    """A progress bar on a terminal, else a line now and then; what is yielded updates it."""
    columns = (
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(),
    )
    shown_as = name[0].upper() + name[1:]
    progress = Progress(shown_as, BarColumn(), *columns, console=console)
    lines = Lines(console, total, name=shown_as)
    with progress if console.is_terminal else contextlib.nullcontext():
        shown = progress.add_task("", total=total, loss=math.nan)

        def show(step: int, metrics: dict[str, float]) -> None:
            progress.update(shown, completed=step, loss=metrics[metric.LOSS])
            if not console.is_terminal:
                lines.tell(step, metrics[metric.LOSS])
            if (number := signals.received()) is not None:
                raise signals.Interrupted(number.name)

        yield show
