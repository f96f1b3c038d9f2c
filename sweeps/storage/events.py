"""The event file of a trial: metrics that the trial appends and the driver sends to MLflow.

So a trial never waits for the tracking server, and no metric is lost while it is unreachable.
"""

import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

EVENTS = "events.jsonl"
"""In a trial's folder: one JSON list ``[step, time_ms, metrics]`` per line."""


@dataclass(frozen=True)
class Event:
    """Metrics of one step."""

    step: int
    time_ms: int
    """Unix time."""
    metrics: dict[str, float]


class EventLog:
    """Appends events to a file; after a resume, steps already in it are not written again.

    Their metrics would be the same, as resume is exact, but would appear twice in MLflow.

    Args:
        path: The file, created if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._last: dict[str, int] = {}
        end = 0
        if path.exists():
            for event, end in read_events(path):  # noqa: B007  `end` is used below
                newer(event, self._last)
            if end < path.stat().st_size:
                os.truncate(path, end)  # drops the incomplete last line of a killed process
        self._file = path.open("ab")
        self._lock = threading.Lock()  # a thread that samples system metrics writes as well

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Append the metrics whose last step in the file is before ``step``."""
        with self._lock:
            event = newer(Event(step, int(time.time() * 1000), metrics), self._last)
            if not event.metrics:
                return
            line = json.dumps([event.step, event.time_ms, event.metrics])
            self._file.write(line.encode() + b"\n")
            self._file.flush()

    def last_step(self, key: str) -> int:
        """The last step of a metric in the file; -1 if it has none."""
        return self._last.get(key, -1)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def newer(event: Event, last_steps: dict[str, int]) -> Event:
    """The event, without metrics of a step that is not after the last known one.

    Args:
        event: The event.
        last_steps: The last known step of each metric; updated by this call.
    """
    fresh = {k: v for k, v in event.metrics.items() if event.step > last_steps.get(k, -1)}
    last_steps.update(dict.fromkeys(fresh, event.step))
    return replace(event, metrics=fresh)


def read_events(path: Path, offset: int = 0) -> Iterator[tuple[Event, int]]:
    """Complete events from a byte offset on, each with the offset of the next one."""
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            yield Event(*json.loads(line)), offset
