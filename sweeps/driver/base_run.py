"""What the driver does with the untuned base, which runs as the first trial of Ray Tune."""

from pathlib import Path
from typing import Any

from lnt_core import metrics as metric
from lnt_core.errors import LntError
from lnt_core.identity import align_id
from sweeps.config import SweepConfig
from sweeps.driver.live_table import LiveTable
from sweeps.driver.queue import TrialQueue
from sweeps.driver.steps import stage_1_steps
from sweeps.plan.base import base_config
from sweeps.plan.labels import short_rate
from sweeps.results import tags as tag
from sweeps.results.read import BASE_PREFIX
from sweeps.storage.execution import BASE, Execution, TrialStatus
from sweeps.tracking.dashboard import NOTE, stage_1_note
from sweeps.tracking.runs import TrialRun
from sweeps.tracking.tracker import Tracker
from sweeps.worker.context import BASE_ID


class BaseRun:
    """Opens the queue once the base is prepared, and logs what the base scored.

    Args:
        execution: Whose base it is.
        tracker: Logs to the parent run.
        live_table: Shows that the base is being prepared.
        queue: Holds trials back until the base is prepared.
    """

    def __init__(
        self, execution: Execution, tracker: Tracker, live_table: LiveTable, queue: TrialQueue
    ) -> None:
        self._execution = execution
        self._tracker = tracker
        self._live_table = live_table
        self._queue = queue
        self.error = ""
        """Why the base could not be prepared or scored, and so why the sweep ends; else empty."""

    def started(self) -> None:
        """The base has got its resources."""
        self._live_table.base_started()

    def reported(self, result: dict[str, Any]) -> None:
        """Stage 1 has made progress, the base is prepared, or it has ended."""
        self._live_table.progress(BASE_ID, result)
        if result["status"] == TrialStatus.RUNNING:
            self._queue.open()

    def ended(self, result: dict[str, Any]) -> None:
        """The base is scored, or cannot be."""
        if result.get("status") != TrialStatus.FINISHED:
            self.error = str(result.get("error", "the process of the untuned base was stopped"))
            return
        scores = self._execution.base_scores()
        assert scores is not None
        name = metric.objective_in(scores)
        assert name is not None
        self._live_table.base_ended(scores[name])
        log_base(self._execution, self._tracker)
        self._queue.open()

    def died(self, error: str) -> None:
        """The process of the base died more often than it may."""
        self.error = f"the process that prepares the base model died: {error}"

    def check(self) -> None:
        """Raise what the base failed with.

        Raises:
            LntError: The base could not be prepared or scored.
        """
        if self.error:
            raise LntError(self.error)


def stage_1_run(sweep: SweepConfig, cache: Path, tags: dict[str, str]) -> TrialRun | None:
    """The MLflow run of stage 1, with the tags of all runs; None if the sweep has none."""
    config, _ = base_config(sweep)
    if config.align is None:
        return None
    name = align_id(config)
    own = {
        tag.NUM_STEPS: str(stage_1_steps(config, cache)),
        NOTE: stage_1_note(short_rate(config.align.learning_rate), sweep.name, name),
    }
    return TrialRun(name, "stage 1", config, tags | own)


def log_base(execution: Execution, tracker: Tracker) -> None:
    """Log scores, captions and analysis of the base to the parent run, if it is scored."""
    scores = execution.base_scores()
    if scores is None:
        return
    tracker.parent_metrics({BASE_PREFIX + name: value for name, value in scores.items()})
    for path in sorted((execution.path / BASE).iterdir()):
        tracker.parent_artifact(path, folder=BASE)
