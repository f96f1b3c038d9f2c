"""A trial's metrics on its own disk: written by the trial, sent to MLflow by the driver.

So a trial never waits for the tracking server, and nothing is lost when it is away.
"""

import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

EVENTS = "events.jsonl"


@dataclass(frozen=True)
class Event:
    """Metrics of one step."""

    step: int
    time_ms: int
    metrics: dict[str, float]


class EventLog:
    """Appends events; after a resume, steps that were written before are not written again.

    They would be the same (resume is exact), and a metric sent twice would be doubled in MLflow.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._last: dict[str, int] = {}
        end = 0
        if path.exists():
            for event, end in read_events(path):  # noqa: B007  `end` is where whole lines end
                newer(event, self._last)
            if end < path.stat().st_size:
                os.truncate(path, end)  # a line torn by a kill
        self._file = path.open("ab")
        self._lock = threading.Lock()  # the trial and its samples of the system write at once

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Append the metrics that are newer than what stands there."""
        with self._lock:
            event = newer(Event(step, int(time.time() * 1000), metrics), self._last)
            if not event.metrics:
                return
            line = json.dumps([event.step, event.time_ms, event.metrics])
            self._file.write(line.encode() + b"\n")
            self._file.flush()

    def last_step(self, key: str) -> int:
        """The last step that stands there of a metric; -1 if none does."""
        return self._last.get(key, -1)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def newer(event: Event, last_steps: dict[str, int]) -> Event:
    """Without the metrics that ``last_steps``, by key, already has; takes in the others."""
    fresh = {k: v for k, v in event.metrics.items() if event.step > last_steps.get(k, -1)}
    last_steps.update(dict.fromkeys(fresh, event.step))
    return replace(event, metrics=fresh)


def read_events(path: Path, offset: int = 0) -> Iterator[tuple[Event, int]]:
    """Whole events from a byte offset on, each with the offset behind it."""
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            yield Event(*json.loads(line)), offset
