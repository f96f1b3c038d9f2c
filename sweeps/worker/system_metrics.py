"""CPU, memory and GPU use of a trial's node, under the names that MLflow uses."""

import threading
from types import TracebackType
from typing import Any, Self

from sweeps.storage.events import EventLog

PREFIX = "system/"
"""MLflow shows metrics with this prefix under "System metrics"."""
KEY = f"{PREFIX}cpu_utilization_percentage"
"""A metric that every sample has."""


class SystemMetrics:
    """Takes samples in a thread, and one at the end, so that even a short trial has one.

    All GPUs of the node are sampled, including those that other trials use.

    Args:
        events: Where samples are written. Their step is the number of the sample; a resumed trial
            continues the numbering.
        every_s: Seconds between two samples; 0: no samples.
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
            self._collect()  # CPU use is the mean since the last call: discard the first
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the thread and take the last sample."""
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


def is_sample(metrics: dict[str, float]) -> bool:
    """Whether an event is a sample of the node; its step counts samples, not optimizer steps.

    Example:
        >>> is_sample({"system/cpu_utilization_percentage": 5.0}), is_sample({"train/loss": 1.0})
        (True, False)
    """
    return all(name.startswith(PREFIX) for name in metrics)


def _monitors() -> list[Any]:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

    try:
        return [CPUMonitor(), GPUMonitor()]
    except RuntimeError:  # NVML is not available
        return [CPUMonitor()]
