"""What a group of workers writes, followed by the process that waits for them."""

import time
from collections.abc import Mapping
from pathlib import Path

from lnt_core.training.loop import Report
from sweeps.storage.events import read_events
from sweeps.worker.group import WorkerGroup
from sweeps.worker.system_metrics import is_sample

POLL_S = 0.2
"""Seconds between two reads of the events."""


def run_group(group: WorkerGroup, followed: Mapping[Path, Report]) -> None:
    """Start a group, and pass on what it writes until it has ended.

    Args:
        group: The workers.
        followed: By the file of events, which need not exist yet: what to call with the step and
            the metrics of each new event.
    """
    offsets = {path: path.stat().st_size if path.exists() else 0 for path in followed}
    group.start()
    while True:
        over = not group.is_alive()
        for path, report in followed.items():
            if not path.exists():
                continue
            for event, end in read_events(path, offsets[path]):
                offsets[path] = end
                if not is_sample(event.metrics):  # whose step is not the trial's
                    report(event.step, event.metrics)
        if over:
            break
        time.sleep(POLL_S)
