"""The events of a trial that MLflow does not have yet."""

from collections.abc import Callable
from pathlib import Path

from lnt_core.errors import DamagedError
from sweeps.storage.events import Event, newer, read_events


class UnsentEvents:
    """Sends each step once, even if two processes wrote it.

    A process on a node that Ray considers dead may still write while the trial runs elsewhere.

    Args:
        path: The trial's events.
        last_steps: The last step of each metric in MLflow.
    """

    def __init__(self, path: Path, last_steps: dict[str, int]) -> None:
        self._path = path
        self._last_steps = last_steps
        self._offset = 0

    def last_step(self, key: str) -> int:
        """The last step of a metric that was sent; -1 if it has none."""
        return self._last_steps.get(key, -1)

    def send(self, log: Callable[[list[Event]], None]) -> None:
        """Call ``log`` with what the trial has written since the last call.

        Raises:
            DamagedError: The file is damaged; what comes before that was sent.
        """
        if not self._path.exists():
            return
        events, end, damage = self._read(self._offset)
        if not events and (damage is not None or self._path.stat().st_size < self._offset):
            events, end, damage = self._read(0)  # the trial has cut off a damaged end
        last = dict(self._last_steps)
        fresh = [event for event in (newer(event, last) for event in events) if event.metrics]
        if fresh:
            log(fresh)
        self._last_steps, self._offset = last, end
        if damage is not None:
            raise damage

    def _read(self, offset: int) -> tuple[list[Event], int, DamagedError | None]:
        """Complete events from an offset on, the offset after them, and the damage there."""
        events: list[Event] = []
        try:
            for event, end in read_events(self._path, offset):
                events.append(event)
                offset = end
        except DamagedError as error:
            return events, offset, error
        return events, offset, None
