"""One trial on several workers: Ray Train inside a trial of Ray Tune.

Rank 0 writes the trial's events. The process that Ray Tune started waits for the workers and passes
on the events that it reads from the file.
"""

import functools
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lnt_core import metrics as metric
from lnt_core.config import TrialConfig
from lnt_core.identity import align_id
from lnt_core.training.loop import Report, report_nothing
from lnt_core.trial import TrialResult
from sweeps.resources import ResourcesConfig
from sweeps.storage.events import EVENTS, EventLog
from sweeps.storage.execution import CAPTIONING, Execution
from sweeps.storage.stage_1 import stage_1_folder
from sweeps.worker.following import run_group
from sweeps.worker.group import GroupTask, WorkerGroup
from sweeps.worker.process import memory_share_gib, own_worker
from sweeps.worker.stage_1 import align_first
from sweeps.worker.system_metrics import SystemMetrics


def run_distributed(
    config: TrialConfig,
    cache: Path,
    out: Path,
    *,
    resources: ResourcesConfig,
    execution: Path,
    report: Report,
    report_stage_1: Report,
    sample_every_s: float = 0.0,
    gate: Any = None,
) -> TrialResult:
    """Run a trial on as many workers as its strategy has, or resume it from their checkpoint.

    Args:
        config: The trial; has ``train.deepspeed``.
        cache: Folder of what sweeps share, at this path on every node.
        out: The trial's folder, which all nodes see.
        resources: Resources of each worker, and the number of workers.
        execution: Folder of the trial's execution.
        report: Called with the step and metrics of each event once it is on disk.
        report_stage_1: Called in the same way with those of stage 1, if the trial has to train it.
        sample_every_s: Seconds between system metrics samples on rank 0's node; 0: no samples.
        gate: The actor that says whether a worker's node may run trials; None: no node can join.

    Raises:
        WorkerDiedError: A worker process died.
        NodeRefusedError: No trial may run on the node of a worker.
        Exception: What a worker raised.
    """
    task = GroupTask(config, cache, out, resources, execution, sample_every_s, gate)
    training = WorkerGroup(_train, task, resources.workers_of(config.strategy.name))
    followed = {out / EVENTS: report}
    if config.align is not None:
        folder = stage_1_folder(Execution(execution), align_id(config))
        followed[folder / EVENTS] = report_stage_1
    run_group(training, followed)
    return TrialResult(**training.outcome())


def _train(task: GroupTask) -> dict[str, Any]:
    """Run the trial in one worker."""
    from lnt_core.distributed.ranks import is_first
    from lnt_core.trial import run_trial

    worker = own_worker(task.resources, task.cache)
    execution = Execution(task.noted)
    align_s = align_first(task.config, worker, task.cache, execution, report_nothing)
    run = functools.partial(
        run_trial,
        task.config,
        out=task.out,
        worker=worker,
        memory_gib=memory_share_gib(task.resources),
        captioning=task.noted / CAPTIONING,
    )
    if not is_first():
        return asdict(run(report=report_nothing))
    events = EventLog(task.out / EVENTS)
    try:
        with SystemMetrics(events, task.sample_every_s):
            whole = events.whole_up_to(task.config.train.evaluate_at_steps)
            done = run(report=events.write, reported=whole)
            if align_s:
                events.write(done.steps, {metric.ALIGN_S: align_s})
                done = replace(done, metrics=done.metrics | {metric.ALIGN_S: align_s})
            return asdict(done)
    finally:
        events.close()
