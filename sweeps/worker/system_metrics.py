"""How busy the node of a running trial is: CPU, memory, GPUs, by the names that MLflow has."""

import threading
from types import TracebackType
from typing import Any, Self

from sweeps.storage.events import EventLog

PREFIX = "system/"
"""What has it stands on a run's page under "System metrics"."""
KEY = f"{PREFIX}cpu_utilization_percentage"


class SystemMetrics:
    """Samples in a thread, and once more at the end, so that a short trial has a sample too.

    The node's GPUs are sampled all, also those that other trials use.

    Args:
        events: Where samples go; the step is their number, which a resumed trial goes on with.
        every_s: Time between two samples; 0 takes none.
    """

    def __init__(self, events: EventLog, every_s: float) -> None:
        self._events = events
        self._every_s = every_s
        self._step = events.last_step(KEY) + 1
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="system metrics", daemon=True)
        self._monitors = _monitors() if every_s else []

    def __enter__(self) -> Self:
        """Start sampling."""
        if self._monitors:
            self._collect()  # of CPU use the first sample is since the start of the process
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the last sample."""
        if self._monitors:
            self._ended.set()
            self._thread.join()
            self._sample()

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            self._sample()

    def _sample(self) -> None:
        self._events.write(self._step, {f"{PREFIX}{k}": v for k, v in self._collect().items()})
        self._step += 1

    def _collect(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for monitor in self._monitors:
            monitor.collect_metrics()
            found |= monitor.aggregate_metrics()
            monitor.clear_metrics()
        return found


def _monitors() -> list[Any]:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

    try:
        return [CPUMonitor(), GPUMonitor()]
    except RuntimeError:  # no NVIDIA driver here
        return [CPUMonitor()]
