"""Trains stage 1 of a sweep alone, in this process, before any sweep needs it."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lnt_core import metrics as metric
from lnt_core.errors import ConfigError
from lnt_core.worker import connector_file, is_prepared
from sweeps import signals
from sweeps.config import SweepConfig
from sweeps.driver.base_run import stage_1_run
from sweeps.driver.stage_1_lines import Lines
from sweeps.plan.base import base_config
from sweeps.results import tags as tag
from sweeps.settings import Settings
from sweeps.storage.execution import Execution
from sweeps.storage.stage_1 import stage_1_logged
from sweeps.tracking.outbox import Outbox
from sweeps.tracking.provenance import provenance_tags
from sweeps.tracking.runs import TrialRun, TrialRuns
from sweeps.tracking.stage_1 import Stage1Run
from sweeps.tracking.store import connect, experiment_id
from sweeps.worker.process import worker_for

if TYPE_CHECKING:
    from lnt_core.training.loop import Report

PATIENCE_S = 30.0
"""Seconds to wait for MLflow after an interruption. The next `lnt align` sends the rest."""


def train_stage_1(sweep: SweepConfig, settings: Settings, console: Console) -> Path:
    """Train stage 1 unless the cache has it, with a progress bar and a run in MLflow.

    Returns:
        The file of its connector.

    Raises:
        ConfigError: The sweep has no stage 1, or one that several workers share.
        Interrupted: A signal arrived; a checkpoint has what is trained.
        LntError: It cannot be trained.
    """
    (config, num_workers), cache = base_config(sweep), settings.cache.resolve()
    if config.align is None:
        raise ConfigError(
            f"{sweep.name} has no stage 1: the connector of model.checkpoint is aligned already; "
            "give `align` to train it all the same"
        )
    if num_workers:
        raise ConfigError(
            "every strategy of this sweep shards the base with ZeRO-3, and so do the workers that "
            "train its stage 1: `lnt run` starts them"
        )
    if is_prepared(config, cache):
        return connector_file(config, cache)
    run = stage_1_run(sweep, cache, provenance_tags(sweep))
    assert run is not None
    folder = Path(sweep.tracking.storage).resolve() / sweep.name / f"align-{run.trial_id}"
    folder.mkdir(parents=True, exist_ok=True)
    execution = Execution(folder)
    tracked = _tracked(sweep, execution, run)
    outbox = Outbox("mlflow", tracked.update)
    try:
        with (
            _bar(console, int(run.tags[tag.NUM_STEPS])) as show,
            signals.held(),  # until the step is done, and kept
            stage_1_logged(execution, show) as report,
        ):
            return worker_for(sweep.resources, cache).align(config, report=report)
    finally:
        outbox.put(tracked.interrupt)
        patience_s = PATIENCE_S if signals.received() else None
        outbox.close(waiting=lambda: console.print("Waiting for MLflow ..."), patience_s=patience_s)


def _tracked(sweep: SweepConfig, execution: Execution, run: TrialRun) -> Stage1Run:
    client = connect(sweep.tracking.uri)
    experiment = experiment_id(client, sweep.name)
    runs = TrialRuns(client, experiment, "", execution)
    return Stage1Run(client, experiment, "", execution, runs, run)


@contextlib.contextmanager
def _bar(console: Console, total: int) -> Iterator["Report"]:
    """A progress bar on a terminal, else a line now and then; what is yielded updates it."""
    columns = (
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(),
    )
    progress = Progress("Stage 1", BarColumn(), *columns, console=console)
    lines = Lines(console, total)
    with progress if console.is_terminal else contextlib.nullcontext():
        shown = progress.add_task("", total=total, loss=math.nan)

        def show(step: int, metrics: dict[str, float]) -> None:
            progress.update(shown, completed=step, loss=metrics[metric.LOSS])
            if not console.is_terminal:
                lines.tell(step, metrics[metric.LOSS])
            if (number := signals.received()) is not None:
                raise signals.Interrupted(number.name)

        yield show
