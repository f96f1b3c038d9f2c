"""The queue from which Ray Tune takes trials; it may grow while the sweep runs."""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Literal

from ray.tune.search import Searcher

from sweeps.storage.execution import TrialStatus
from sweeps.worker.context import BASE_ID, STAGE_1, TRIAL_KEY


class TrialQueue(Searcher):  # type: ignore[misc]  # Ray is not typed
    """Gives trials to Ray Tune: those that were put first, then planned ones, then drawn ones.

    A trial whose node was refused comes before all of them once more, as another one of Ray Tune's.

    When all of them have ended, it calls ``more`` for further trials, until there are none.

    Args:
        planned: The ids of the planned trials, in order.
        more: Returns the ids of further trials; called only while no trial waits or runs.
        drawn: A search whose ``suggest`` returns the id of a new trial.
        num_drawn: How many trials to draw.
        base: ``scored`` leaves the untuned base out; else it runs first. Trials run beside it if it
            is ``prepared`` (the cache has stage 1), or wait for `open` if it is ``new``.
        stages_1: Ids of each stage 1 that runs before all else, one at a time.
    """

    def __init__(
        self,
        planned: Iterable[str],
        more: Callable[[], list[str]],
        *,
        drawn: Searcher | None = None,
        num_drawn: int = 0,
        base: Literal["scored", "prepared", "new"] = "scored",
        stages_1: Iterable[str] = (),
    ) -> None:
        super().__init__()
        self._before = deque([STAGE_1 + name for name in stages_1])
        self._before.extend([BASE_ID] if base != "scored" else [])
        self._closed = base == "new"
        self._planned = list(planned)[::-1]
        self._first: deque[str] = deque()
        self._more = more
        self._drawn = drawn
        self._num_drawn = num_drawn
        self._waiting: set[str] = set()
        self._running: set[str] = set()
        self._alone: set[str] = set()
        """Each stage 1 that waits or runs: nothing starts beside it."""
        self._of_search: dict[str, str] = {}
        """By the id of a drawn trial in Ray Tune: the id under which it was drawn."""
        self._again: deque[tuple[str, str | None]] = deque()
        """Trials whose node was refused, each with the id under which it was drawn, if it was."""
        self._lock = threading.Lock()
        self.finished = False
        """Whether all trials have ended and there are no further ones."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "TrialQueue":
        """Return the same object: Ray copies its search, but the callback needs the one it uses."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as an empty queue, for Ray's snapshots, which are never restored."""
        return TrialQueue, ((), list)

    def anything(self) -> bool:
        """Whether there is a trial, or the base, to run."""
        with self._lock:
            if self._before:
                return True
            if not self._planned and not self._num_drawn:
                self._planned = self._more()[::-1]
                self.finished = not self._planned
            return not self.finished

    def open(self) -> None:
        """Let trials start: the base is prepared."""
        with self._lock:
            self._closed = False

    def put_first(self, name: str) -> bool:
        """Make a trial the next to run, from any thread; False if the queue is finished."""
        with self._lock:
            if not self.finished:
                self._first.append(name)
            return not self.finished

    def started(self, tune_id: str) -> None:
        """Record that a trial has got its resources; the next may be drawn now."""
        with self._lock:
            self._waiting.discard(tune_id)
            self._running.add(tune_id)

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any
    ) -> bool:
        """Ignore the metric and mode that Ray sets: the search that draws has its own."""
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The config of the next trial; None if there is none yet, `FINISHED` if none will come."""
        with self._lock:
            if self._again:
                refused, drawn_as = self._again.popleft()
                if drawn_as is not None:
                    self._of_search[trial_id] = drawn_as
                return self._given(trial_id, refused)
            if self._alone:
                return None
            if self._before:
                return self._given(trial_id, self._before.popleft())
            if self._closed:
                return None
            name = self._next(trial_id)
            if name is not None:
                return self._given(trial_id, name)
            if self._waiting or self._running or self._num_drawn:
                return None
            self._planned = self._more()[::-1]
            if self._planned:
                return self._given(trial_id, self._planned.pop())
            self.finished = True
            return str(Searcher.FINISHED)

    def _given(self, tune_id: str, name: str) -> dict[str, Any]:
        self._waiting.add(tune_id)
        if name.startswith(STAGE_1):
            self._alone.add(tune_id)
        return {TRIAL_KEY: name}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass on the reports of drawn trials to the search."""
        if self._drawn is not None and trial_id in self._of_search and not _is_refused(result):
            self._drawn.on_trial_result(self._of_search[trial_id], result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Record that a trial has ended, and tell the search if it drew the trial."""
        with self._lock:
            self._waiting.discard(trial_id)
            self._running.discard(trial_id)
            self._alone.discard(trial_id)
            if result is not None and _is_refused(result):
                self._again.append((result[TRIAL_KEY], self._of_search.get(trial_id)))
                return
        if self._drawn is not None and trial_id in self._of_search:
            self._drawn.on_trial_complete(self._of_search[trial_id], result=result, error=error)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: Ray's snapshots are never restored, see `Execution`."""

    def _next(self, trial_id: str) -> str | None:
        if self._first:
            return self._first.popleft()
        if self._planned:
            return self._planned.pop()
        # Draw only when the last drawn trial has started: with more results, a search draws better.
        if self._drawn is None or not self._num_drawn or self._waiting:
            return None
        name: str | None = self._drawn.suggest(trial_id)
        if name is not None:
            self._num_drawn -= 1
            self._of_search[trial_id] = trial_id
        return name


def _is_refused(result: dict[str, Any]) -> bool:
    return result.get("status") == TrialStatus.NODE_REFUSED
