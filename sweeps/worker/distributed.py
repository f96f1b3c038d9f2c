"""One trial on several workers: Ray Train inside a trial of Ray Tune.

Rank 0 writes the trial's events. The process that Ray Tune started waits for the workers and passes
on the events that it reads from the file.
"""

import functools
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lnt_core.config import TrialConfig
from lnt_core.training.loop import Report, report_nothing
from lnt_core.trial import TrialResult
from sweeps.resources import ResourcesConfig
from sweeps.storage.events import EVENTS, EventLog, read_events
from sweeps.storage.execution import CAPTIONING
from sweeps.worker.group import GroupTask, WorkerGroup
from sweeps.worker.process import memory_share_gib, own_worker
from sweeps.worker.system_metrics import SystemMetrics, is_sample

POLL_S = 0.2
"""Seconds between two reads of the events."""


def run_distributed(
    config: TrialConfig,
    cache: Path,
    out: Path,
    *,
    resources: ResourcesConfig,
    execution: Path,
    report: Report,
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
        sample_every_s: Seconds between system metrics samples on rank 0's node; 0: no samples.
        gate: The actor that says whether a worker's node may run trials; None: no node can join.

    Raises:
        WorkerDiedError: A worker process died.
        NodeRefusedError: No trial may run on the node of a worker.
        Exception: What a worker raised.
    """
    task = GroupTask(config, cache, out, resources, execution, sample_every_s, gate)
    training = WorkerGroup(_train, task, resources.workers_of(config.strategy.name))
    run_group(training, out / EVENTS, report)
    return TrialResult(**training.outcome())


def run_group(group: WorkerGroup, events: Path, report: Report) -> None:
    """Start a group, and call ``report`` with what it writes to ``events`` until it has ended."""
    offset = events.stat().st_size if events.exists() else 0
    group.start()
    while True:
        over = not group.is_alive()
        if events.exists():
            for event, end in read_events(events, offset):
                offset = end
                if not is_sample(event.metrics):  # whose step is not the trial's
                    report(event.step, event.metrics)
        if over:
            break
        time.sleep(POLL_S)


def _train(task: GroupTask) -> dict[str, Any]:
    """Run the trial in one worker."""
    from lnt_core.distributed.ranks import is_first
    from lnt_core.trial import run_trial

    run = functools.partial(
        run_trial,
        task.config,
        out=task.out,
        worker=own_worker(task.resources, task.cache),
        memory_gib=memory_share_gib(task.resources),
        captioning=task.noted / CAPTIONING,
    )
    if not is_first():
        return asdict(run(report=report_nothing))
    events = EventLog(task.out / EVENTS)
    try:
        with SystemMetrics(events, task.sample_every_s):
            whole = events.whole_up_to(task.config.train.evaluate_at_steps)
            return asdict(run(report=events.write, reported=whole))
    finally:
        events.close()
