"""CPU, memory and GPU use of a trial's node, under the names that MLflow uses."""

import contextlib
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
        self._gpus = _gpus() if every_s else []

    def __enter__(self) -> Self:
        """Start sampling."""
        if self._every_s:
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
        if self._every_s:
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
        found = _of_host()
        for number, handle in enumerate(self._gpus):
            found |= {f"gpu_{number}_{name}": value for name, value in _of_gpu(handle).items()}
        return {name: round(value, 1) for name, value in found.items()}


def is_sample(metrics: dict[str, float]) -> bool:
    """Whether an event is a sample of the node; its step counts samples, not optimizer steps.

    Example:
        >>> is_sample({"system/cpu_utilization_percentage": 5.0}), is_sample({"train/loss": 1.0})
        (True, False)
    """
    return all(name.startswith(PREFIX) for name in metrics)


def _of_host() -> dict[str, float]:
    """CPU use since the last call, and memory, under the names of MLflow's monitors."""
    import psutil

    memory = psutil.virtual_memory()
    return {
        "cpu_utilization_percentage": psutil.cpu_percent(),  # since the last call
        "system_memory_usage_megabytes": memory.used / 1e6,
        "system_memory_usage_percentage": memory.used / memory.total * 100,
    }


def _gpus() -> list[Any]:
    """NVML's handles of this node's GPUs; none without NVML."""
    import pynvml

    try:
        pynvml.nvmlInit()
        return [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return []


def _of_gpu(handle: Any) -> dict[str, float]:
    """What NVML knows of a GPU; some GPUs lack some of it."""
    import pynvml

    found: dict[str, float] = {}
    with contextlib.suppress(pynvml.NVMLError):
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        found["memory_usage_percentage"] = memory.used / memory.total * 100
        found["memory_usage_megabytes"] = memory.used / 1e6
    with contextlib.suppress(pynvml.NVMLError):
        found["utilization_percentage"] = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu
    with contextlib.suppress(pynvml.NVMLError):
        watts = pynvml.nvmlDeviceGetPowerUsage(handle) / 1000
        limit = pynvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000
        found |= {"power_usage_watts": watts, "power_usage_percentage": watts / limit * 100}
    return found
