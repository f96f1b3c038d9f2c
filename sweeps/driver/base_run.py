"""What the driver does with the untuned base, which runs as the first trial of Ray Tune."""

from typing import Any

from lnt_core import metrics as metric
from lnt_core.errors import LntError
from sweeps.driver.live_table import LiveTable
from sweeps.driver.queue import TrialQueue
from sweeps.driver.stages_1 import Stages1
from sweeps.results import tags as tag
from sweeps.results.read import BASE_PREFIX
from sweeps.storage.execution import BASE, Execution, TrialStatus
from sweeps.tracking.tracker import Tracker
from sweeps.worker.context import BASE_ID, STAGE_1


class BaseRun:
    """Opens the queue once the base is prepared, and logs what the base scored.

    Before it, each stage 1 that a group of workers trains is a trial of Ray Tune as well.

    Args:
        execution: Whose base it is.
        tracker: Logs to the parent run.
        live_table: Shows what is being prepared.
        queue: Holds trials back until the base is prepared.
        stages_1: Every stage 1 of the sweep.
    """

    def __init__(
        self,
        execution: Execution,
        tracker: Tracker,
        live_table: LiveTable,
        queue: TrialQueue,
        stages_1: Stages1,
    ) -> None:
        self._stages_1 = stages_1
        self._execution = execution
        self._tracker = tracker
        self._live_table = live_table
        self._queue = queue
        self.error = ""
        """Why the base could not be prepared or scored, and so why the sweep ends; else empty."""

    def started(self, name: str) -> None:
        """The base, or a stage 1, has got its resources."""
        if name == BASE_ID:
            self._live_table.base_started()
        else:
            shown = self._stages_1.name(name.removeprefix(STAGE_1))
            self._live_table.stage_1_started(name, shown)

    def reported(self, name: str, result: dict[str, Any]) -> None:
        """Stage 1 has made progress, the base is prepared, or one of them has ended."""
        self._live_table.progress(name, result)
        if result["status"] == TrialStatus.RUNNING:
            self._queue.open()

    def ended(self, name: str, result: dict[str, Any]) -> None:
        """The base is scored, or cannot be; a stage 1 is trained, or cannot be."""
        if result.get("status") != TrialStatus.FINISHED:
            self.error = str(result.get("error", f"the process of {_shown(name)} was stopped"))
            return
        if name != BASE_ID:
            self._live_table.stage_1_ended(name)
            return
        scores = self._execution.base_scores()
        assert scores is not None
        chosen_by = metric.objective_in(scores)
        score = None if chosen_by is None else scores[chosen_by]
        self._live_table.base_ended(score, self._execution.base_note())
        log_base(self._execution, self._tracker)
        self._queue.open()

    def died(self, name: str, error: str) -> None:
        """The process of the base, or a worker of stage 1, died more often than it may."""
        does = "prepares the base model" if name == BASE_ID else "trains stage 1"
        self.error = f"the process that {does} died: {error}"

    def check(self) -> None:
        """Raise what the base failed with.

        Raises:
            LntError: The base could not be prepared or scored.
        """
        if self.error:
            raise LntError(self.error)


def _shown(name: str) -> str:
    return "the untuned base" if name == BASE_ID else "stage 1"


def log_base(execution: Execution, tracker: Tracker) -> None:
    """Log scores, captions and analysis of the base to the parent run, if it is scored."""
    scores = execution.base_scores()
    if scores is None:
        return
    tracker.parent_metrics({BASE_PREFIX + name: value for name, value in scores.items()})
    if note := execution.base_note():
        tracker.parent_tags({tag.BASE_NOTE: note})
    for path in sorted((execution.path / BASE).iterdir()):
        tracker.parent_artifact(path, folder=BASE)
