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
from lnt_core.training.loop import Report
from lnt_core.trial import TrialResult
from sweeps.resources import ResourcesConfig
from sweeps.storage.events import EVENTS, EventLog, read_events
from sweeps.worker.group import WorkerGroup
from sweeps.worker.process import memory_share_gib, own_worker
from sweeps.worker.system_metrics import SystemMetrics

POLL_S = 0.2
"""Seconds between two reads of the events."""


def run_distributed(
    config: TrialConfig,
    cache: Path,
    out: Path,
    *,
    resources: ResourcesConfig,
    report: Report,
    sample_every_s: float = 0.0,
) -> TrialResult:
    """Run a trial on as many workers as its strategy has, or resume it from their checkpoint.

    Args:
        config: The trial; has ``train.deepspeed``.
        cache: Folder of what sweeps share, at this path on every node.
        out: The trial's folder, which all nodes see.
        resources: Resources of each worker, and the number of workers.
        report: Called with the step and metrics of each event once it is on disk.
        sample_every_s: Seconds between system metrics samples on rank 0's node; 0: no samples.

    Raises:
        WorkerDiedError: A worker process died.
        Exception: What a worker raised.
    """
    given = {"config": config, "cache": cache, "out": out, "resources": resources}
    given["sample_every_s"] = sample_every_s
    training = WorkerGroup(_train, given, resources.workers_of(config.strategy.name))
    offset = (out / EVENTS).stat().st_size if (out / EVENTS).exists() else 0
    training.start()
    while True:
        over = not training.is_alive()
        if (out / EVENTS).exists():
            for event, end in read_events(out / EVENTS, offset):
                report(event.step, event.metrics)
                offset = end
        if over:
            break
        time.sleep(POLL_S)
    return TrialResult(**training.outcome())


def _train(given: dict[str, Any]) -> dict[str, Any]:
    """Run the trial in one worker."""
    from lnt_core.distributed.ranks import is_first
    from lnt_core.trial import run_trial

    config, out, resources = given["config"], given["out"], given["resources"]
    run = functools.partial(
        run_trial,
        config,
        out=out,
        worker=own_worker(given),
        memory_gib=memory_share_gib(resources),
    )
    if not is_first():
        return asdict(run(report=_say_nothing))
    events = EventLog(out / EVENTS)
    try:
        with SystemMetrics(events, given["sample_every_s"]):
            return asdict(run(report=events.write))
    finally:
        events.close()


def _say_nothing(step: int, metrics: dict[str, float]) -> None:
    """Report nothing: rank 0 does."""
