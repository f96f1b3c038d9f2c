"""The event file of a trial: metrics that the trial appends and the driver sends to MLflow.

So a trial never waits for the tracking server, and no metric is lost while it is unreachable.
"""

import json
import os
import threading
import time
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lnt_core import metrics as metric
from lnt_core.errors import DamagedError
from lnt_core.files import cut_off

EVENTS = "events.jsonl"
"""In a trial's folder: one JSON list ``[step, time_ms, metrics, checksum]`` per line."""
_CHECKSUM = b', "'
"""Between the metrics and the checksum, which is that of the bytes before."""


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

    What is damaged in the file is cut off, with all that follows, and set aside.

    Args:
        path: The file, created if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._last: dict[str, int] = {}
        if path.exists():
            self._read(path)
        self._file = path.open("ab")
        self._lock = threading.Lock()  # a thread that samples system metrics writes as well

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Append the metrics whose last step in the file is before ``step``."""
        with self._lock:
            event = newer(Event(step, int(time.time() * 1000), metrics), self._last)
            if not event.metrics:
                return
            self._file.write(_line(event))
            self._file.flush()

    def last_step(self, key: str) -> int:
        """The last step of a metric in the file; -1 if it has none."""
        return self._last.get(key, -1)

    def whole_up_to(self, evaluated: Collection[int]) -> int:
        """The last step of training of which the file has everything.

        Args:
            evaluated: Steps after which the trial is scored midway.
        """
        step = max(0, self.last_step(metric.LOSS))
        name = metric.objective_in(self._last)
        scored = step not in evaluated or (name is not None and self._last[name] >= step)
        return step if scored else step - 1

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self, path: Path) -> None:
        end = 0
        try:
            for event, end in read_events(path):  # noqa: B007  `end` is used below
                newer(event, self._last)
        except DamagedError as error:
            cut_off(path, end, error.why, "the trial goes on from a checkpoint before that")
        if end < path.stat().st_size:
            os.truncate(path, end)  # drops the incomplete last line of a killed process


def is_whole(path: Path, *, steps: int) -> bool:
    """Whether an event file is undamaged to the end of a trial of so many steps."""
    last: dict[str, int] = {}
    try:
        for event, _ in read_events(path):
            newer(event, last)
    except (DamagedError, FileNotFoundError):
        return False
    return last.get(metric.FINAL_LOSS, -1) >= steps


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
    """Complete events from a byte offset on, each with the offset of the next one.

    Raises:
        DamagedError: The next line is not as it was written.
    """
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            event = _event(line, path)
            offset += len(line)
            yield event, offset


def _line(event: Event) -> bytes:
    content = json.dumps([event.step, event.time_ms, event.metrics]).encode()[:-1]
    return content + _end_of(content)


def _end_of(content: bytes) -> bytes:
    return _CHECKSUM + f'{zlib.crc32(content):08x}"]\n'.encode()


def _event(line: bytes, path: Path) -> Event:
    content = line.rpartition(_CHECKSUM)[0]
    if line != content + _end_of(content):
        raise DamagedError(path, "the checksum of a line is another")
    return Event(*json.loads(content + b"]"))
