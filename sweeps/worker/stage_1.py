"""Stage 1 in Ray's processes: trained by a group of workers before all else, or by a trial."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lnt_core.config import TrialConfig
from lnt_core.identity import align_id
from lnt_core.training.loop import Report, report_nothing
from sweeps.plan.base import Stage1, stages_1
from sweeps.resources import ResourcesConfig
from sweeps.storage.events import EVENTS
from sweeps.storage.execution import Execution
from sweeps.storage.stage_1 import stage_1_folder, stage_1_gpu_s, stage_1_logged, stage_1_paid
from sweeps.worker.context import Context
from sweeps.worker.following import run_group
from sweeps.worker.group import GroupTask, WorkerGroup
from sweeps.worker.process import own_worker

if TYPE_CHECKING:
    from lnt_core.worker import Worker


def run_stage_1(context: Context, name: str, *, report: Report) -> None:
    """Train the stage 1 of this id by a group of workers, unless the cache has it.

    Args:
        context: Of the execution.
        name: The id.
        report: Called with every step of it, once that is on disk.

    Raises:
        WorkerDiedError: A worker process died; it goes on from its last checkpoint.
        LntError: It cannot be trained; the message says why.
    """
    stage = stages_1(context.sweep)[name]
    with paid(context, name, stage.num_workers):
        train_stage_1(
            stage,
            context.execution,
            context.cache,
            resources=context.sweep.resources,
            report=report,
            gate=context.gate,
        )


def train_stage_1(
    stage: Stage1,
    execution: Execution,
    cache: Path,
    *,
    resources: ResourcesConfig,
    report: Report,
    gate: Any = None,
) -> None:
    """Train a stage 1 by a group of workers, whose rank 0 logs it.

    Args:
        stage: Which, and by how many.
        execution: Where it is logged.
        cache: Folder of what sweeps share, at this path on every node.
        resources: Resources of each worker.
        report: Called with every step of it, once that is on disk.
        gate: As of a trial's group.
    """
    out = stage_1_folder(execution, stage.id)
    out.mkdir(parents=True, exist_ok=True)
    task = GroupTask(stage.config, cache, out, resources, execution.path, gate=gate)
    group = WorkerGroup(_align, task, stage.num_workers)
    run_group(group, {out / EVENTS: report})
    group.outcome()


def _align(task: GroupTask) -> dict[str, float]:
    """Train stage 1 in one worker of a group."""
    worker = own_worker(task.resources, task.cache)
    align_first(task.config, worker, task.cache, Execution(task.noted), report_nothing)
    return {}


def align_first(
    config: TrialConfig, worker: "Worker", cache: Path, execution: Execution, report: Report
) -> float:
    """Train the stage 1 of a trial, or wait for it, unless the cache has it.

    Every worker of the trial must call this.

    Args:
        config: The trial's.
        worker: Of this process; does not keep the base.
        cache: Folder of what sweeps share.
        execution: Where it is logged, by rank 0.
        report: Called with every step of it, on rank 0.

    Returns:
        Seconds that this took; 0 if the cache had it.
    """
    from lnt_core.distributed.ranks import gather, is_first
    from lnt_core.worker import is_prepared

    if any(gather(is_prepared(config, cache))):  # those that lack it get it from one that has it
        return 0.0
    began_s = time.monotonic()
    if is_first():
        with stage_1_logged(execution, align_id(config), report) as logged:
            worker.align(config, report=logged)
    else:
        worker.align(config)
    return time.monotonic() - began_s


@contextlib.contextmanager
def paid(context: Context, name: str, num_workers: int) -> Iterator[None]:
    """Count the GPU-hours of a stage 1 that is trained within this context, before any trial."""
    import ray

    before = stage_1_gpu_s(context.execution)
    gpus = num_workers * context.sweep.resources.gpus_per_trial
    with stage_1_paid(context.execution, name, gpus=gpus):
        yield
    if context.budget is not None:
        spent = stage_1_gpu_s(context.execution) - before
        ray.get(context.budget.spent_on_stage_1.remote(spent))
