"""The queue of trials under Ray Tune, which may grow while the sweep runs."""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from ray.tune.search import Searcher

from sweeps.worker.context import TRIAL_KEY


class TrialQueue(Searcher):  # type: ignore[misc]  # Ray is not typed
    """Hands out trial ids: first those put in front, then those planned, then those drawn.

    When all of that has ended it asks ``more`` what else is to be run, until that is nothing.

    Args:
        planned: In this order.
        more: Asked while nothing runs; the trials that it gives are run.
        drawn: A search whose ``suggest`` gives the ids of further trials.
        num_drawn: How many of them.
    """

    def __init__(
        self,
        planned: Iterable[str],
        more: Callable[[], list[str]],
        *,
        drawn: Searcher | None = None,
        num_drawn: int = 0,
    ) -> None:
        super().__init__()
        self._planned = list(planned)[::-1]
        self._first: deque[str] = deque()
        self._more = more
        self._drawn = drawn
        self._num_drawn = num_drawn
        self._waiting: set[str] = set()
        self._running: set[str] = set()
        self._of_search: set[str] = set()
        self._lock = threading.Lock()
        self.finished = False
        """Whether all has ended and nothing more is to be run."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "TrialQueue":
        """Ray copies what it is given; this one others hold on to."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Ray pickles it into its own snapshot, which we never restore from."""
        return TrialQueue, ((), list)

    def anything(self) -> bool:
        """Whether there is anything to run."""
        with self._lock:
            if not self._planned and not self._num_drawn:
                self._planned = self._more()[::-1]
                self.finished = not self._planned
            return not self.finished

    def put_first(self, name: str) -> bool:
        """Have it run next, from any thread; False if the sweep is at its end."""
        with self._lock:
            if not self.finished:
                self._first.append(name)
            return not self.finished

    def started(self, tune_id: str) -> None:
        """A trial was given its resources, so that the next may be drawn."""
        with self._lock:
            self._waiting.discard(tune_id)
            self._running.add(tune_id)

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any
    ) -> bool:
        """Ray offers its own; the search that draws has them already."""
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The config of Ray's trial of this id; None while the next trial is not known."""
        with self._lock:
            name = self._next(trial_id)
            if name is not None:
                self._waiting.add(trial_id)
                return {TRIAL_KEY: name}
            if self._waiting or self._running or self._num_drawn:
                return None
            self._planned = self._more()[::-1]
            if self._planned:
                self._waiting.add(trial_id)
                return {TRIAL_KEY: self._planned.pop()}
            self.finished = True
            return str(Searcher.FINISHED)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass on what concerns the search."""
        if self._drawn is not None and trial_id in self._of_search:
            self._drawn.on_trial_result(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """A trial has ended, however."""
        with self._lock:
            self._waiting.discard(trial_id)
            self._running.discard(trial_id)
        if self._drawn is not None and trial_id in self._of_search:
            self._drawn.on_trial_complete(trial_id, result=result, error=error)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: Ray's own snapshots are not restored from, see Execution."""

    def _next(self, trial_id: str) -> str | None:
        if self._first:
            return self._first.popleft()
        if self._planned:
            return self._planned.pop()
        # Drawn one at a time: a search that knows how the others ended draws better.
        if self._drawn is None or not self._num_drawn or self._waiting:
            return None
        name: str | None = self._drawn.suggest(trial_id)
        if name is not None:
            self._num_drawn -= 1
            self._of_search.add(trial_id)
        return name
