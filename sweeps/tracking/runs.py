"""Trials as nested MLflow runs: opened, sent their metrics, closed, and found again after a kill.

The trial's folder records its run's id. How much of its events the run has is asked of MLflow, so
the driver that resumes the sweep sends each point once, whatever became of the events meanwhile.
Every operation here may be repeated.
"""

import contextlib
import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lnt_core.accounting.micro_batch import kept_choice
from lnt_core.analysis.figures import draw_layers
from lnt_core.analysis.trial_analysis import ANALYSIS
from lnt_core.config import TrialConfig
from lnt_core.errors import DamagedError
from lnt_core.evaluation.scoring import SUMMARY, files_in
from lnt_core.files import content_crc32, read_json, set_aside, write_json
from sweeps.results import tags as tag
from sweeps.storage.events import EVENTS, Event
from sweeps.storage.execution import TRACKED, Execution, Result, TrialStatus
from sweeps.storage.full_disk import is_disk_full
from sweeps.tracking.dashboard import NOTE
from sweeps.tracking.datasets import dataset_inputs
from sweeps.tracking.outbox import is_away
from sweeps.tracking.unsent import UnsentEvents

if TYPE_CHECKING:
    from mlflow import MlflowClient


logger = logging.getLogger(__name__)
MAX_METRICS = 1000
"""Metrics per request; MLflow's limit."""
ARTIFACTS = ("*.jsonl", "*.yaml", ANALYSIS, "*.png")
"""Files of a trial's folder that are logged as artifacts, except the events."""
RUN_STATUS = {
    TrialStatus.FINISHED: "FINISHED",
    TrialStatus.DIVERGED: "FINISHED",
    TrialStatus.STOPPED: "FINISHED",
}
"""MLflow's status of a run, by the status of its trial; FAILED for the others."""


@dataclass(frozen=True)
class TrialRun:
    """A trial as it is logged to MLflow when it starts."""

    trial_id: str
    name: str
    config: TrialConfig
    tags: dict[str, str]


@dataclass
class Tracked:
    """What has been sent of a trial to MLflow."""

    run_id: str
    closed: bool = False
    """Whether MLflow has all of the trial."""
    reported: str = ""
    """Checksum of the scores that were added after its end; empty if there are none."""


class TrialRuns:
    """The runs of one execution's trials.

    Args:
        client: The tracking store's client.
        experiment_id: The MLflow experiment of the runs.
        parent_id: The parent run.
        execution: The execution on disk.
    """

    def __init__(
        self, client: "MlflowClient", experiment_id: str, parent_id: str, execution: Execution
    ) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._parent_id = parent_id
        self._execution = execution
        self._open: dict[str, Tracked] = {}
        self._unsent: dict[str, UnsentEvents] = {}
        """Of the open runs."""

    def tracked(self, trial_id: str) -> Tracked | None:
        """What has been sent of a trial; None if it has no run yet, or if that is not known."""
        path = self._execution.trial(trial_id) / TRACKED
        if not path.exists():
            return None
        try:
            return Tracked(**read_json(path))
        except DamagedError as error:
            set_aside(path, error.why, "its run is found again in MLflow by its tags")
            return None

    def send_events(self) -> None:
        """Send the events that the open trials have written since the last call."""
        refused: Exception | None = None
        for trial_id in sorted(self._open):
            try:
                self._send_events_of(trial_id)
            except Exception as error:
                if is_away(error):
                    raise
                refused = error  # the run of one trial may be deleted; the others go on
        if refused is not None:
            raise refused

    def open(self, trial: TrialRun) -> Tracked:
        """Create the trial's run, or set it to running again."""
        if trial.trial_id in self._open:
            return self._open[trial.trial_id]
        known = self.tracked(trial.trial_id)
        found = self._find(trial.trial_id) if known is None else known.run_id
        if known is None:
            known = Tracked(found or self._create(trial))
            self._log_params(known.run_id, trial.config)
            self._client.log_inputs(known.run_id, dataset_inputs(trial.config.data))
        if found is not None:
            self._client.update_run(found, status="RUNNING")
            note = {NOTE: trial.tags[NOTE]} if NOTE in trial.tags else {}
            self.set_tags(found, {tag.STATUS: TrialStatus.RUNNING} | note)
            known.closed = False
        path = self._execution.trial(trial.trial_id) / EVENTS
        last_steps = {} if found is None else self.steps_in(found)
        self._unsent[trial.trial_id] = UnsentEvents(path, last_steps)
        self._open[trial.trial_id] = known  # to be ended also if the disk is full
        self._save(trial.trial_id, known)
        return known

    def close(self, trial: TrialRun, result: Result) -> None:
        """Send an ended trial's last events, files, tags and status, and end its run."""
        known = self.tracked(trial.trial_id)
        if known is not None and known.closed:
            return
        state = self.open(trial)
        try:
            self._send_events_of(trial.trial_id)
        except DamagedError:
            self._interrupt(trial.trial_id)
            raise
        folder = self._execution.trial(trial.trial_id)
        _draw_layers(trial, folder)
        for path in sorted(path for kind in ARTIFACTS for path in folder.glob(kind)):
            if path.name != EVENTS:
                self._client.log_artifact(state.run_id, str(path))
        if result.error:
            self._client.log_text(state.run_id, result.error, "error.txt")
        tags = {tag.TRIAL_NOTE: result.note, tag.NODE: result.node, tag.STATUS: result.status}
        tags[tag.STOPPED_BY] = result.stopped_by
        found = kept_choice(trial.config, folder)
        tags[tag.MICRO_BATCH] = "" if found is None else str(found)
        self.set_tags(state.run_id, {key: value for key, value in tags.items() if value})
        self._client.set_terminated(state.run_id, RUN_STATUS.get(result.status, "FAILED"))
        self._closed(trial.trial_id)

    def add_reported(self, trial_id: str, scores: dict[str, float], folder: Path) -> None:
        """Add scores that came after the trial's end to its run, which stays closed.

        Args:
            trial_id: An ended trial.
            scores: By their metrics.
            folder: Holds the answers and ``summary.json``, which are logged as artifacts.
        """
        known, checksum = self.tracked(trial_id), content_crc32(scores)
        if known is None:
            run_id = self._find(trial_id)
            assert run_id is not None, f"the trial {trial_id} has ended without a run"
            known = Tracked(run_id, closed=True)
        if known.reported == checksum:
            return
        result = self._execution.result(trial_id)
        time_ms = (folder / SUMMARY).stat().st_mtime_ns // 10**6  # the same if it is sent again
        step = 0 if result is None else result.steps
        self.log_metrics(known.run_id, [Event(step, time_ms, scores)])
        for path in files_in(folder):
            self._client.log_artifact(known.run_id, str(path))
        known.reported = checksum
        self._save(trial_id, known)

    def leave_out(self, trial: TrialRun, reason: str) -> None:
        """Record that the budget did not allow the trial to start; a resume may open its run."""
        run_id = self.open(trial).run_id
        note = f"Not started because of the budget: {reason}."
        self.set_tags(run_id, {tag.STATUS: TrialStatus.LEFT_OUT, NOTE: note})
        self._client.set_terminated(run_id, "KILLED")
        del self._open[trial.trial_id]

    def kill_open(self) -> None:
        """End the runs that are still open as KILLED, after sending their last events."""
        for trial_id in sorted(self._open):
            with contextlib.suppress(DamagedError):  # told already; the trial sees to it
                self._send_events_of(trial_id)
            self._interrupt(trial_id)

    def log_metrics(self, run_id: str, events: Iterable[Event]) -> None:
        """Send events in batches.

        A batch may be sent twice: of two points with the same key, step and time MLflow keeps one.
        """
        from mlflow.entities import Metric

        metrics = [
            Metric(key, value, event.time_ms, event.step)
            for event in events
            for key, value in event.metrics.items()
        ]
        for start in range(0, len(metrics), MAX_METRICS):
            self._client.log_batch(run_id, metrics=metrics[start : start + MAX_METRICS])

    def _send_events_of(self, trial_id: str) -> None:
        run_id = self._open[trial_id].run_id
        self._unsent[trial_id].send(lambda events: self.log_metrics(run_id, events))

    def _interrupt(self, trial_id: str) -> None:
        run_id = self._open[trial_id].run_id
        self._client.set_tag(run_id, tag.STATUS, TrialStatus.INTERRUPTED)
        self._client.set_terminated(run_id, "KILLED")
        del self._open[trial_id]

    def steps_in(self, run_id: str) -> dict[str, int]:
        """The last step of each metric of a run in MLflow."""
        keys = self._client.get_run(run_id).data.metrics
        histories = {key: self._client.get_metric_history(run_id, key) for key in keys}
        return {key: max(point.step for point in points) for key, points in histories.items()}

    def _create(self, trial: TrialRun) -> str:
        tags = trial.tags | {
            "mlflow.parentRunId": self._parent_id,
            tag.TRIAL_ID: trial.trial_id,
            tag.STATUS: TrialStatus.RUNNING,
        }
        run = self._client.create_run(self._experiment_id, run_name=trial.name, tags=tags)
        return str(run.info.run_id)

    def _find(self, trial_id: str) -> str | None:
        """The trial's run if it was created just before a kill and not recorded in the folder."""
        found = self._client.search_runs(
            [self._experiment_id],
            f"tags.`mlflow.parentRunId` = '{self._parent_id}' "
            f"and tags.`{tag.TRIAL_ID}` = '{trial_id}'",
        )
        return str(found[0].info.run_id) if found else None

    def _log_params(self, run_id: str, config: TrialConfig) -> None:
        from mlflow.entities import Param

        params = flat(config.model_dump(mode="json", exclude_none=True))
        self._client.log_batch(run_id, params=[Param(k, v) for k, v in params.items()])

    def set_tags(self, run_id: str, tags: dict[str, str]) -> None:
        """Set tags of any run, in one request."""
        from mlflow.entities import RunTag

        self._client.log_batch(run_id, tags=[RunTag(k, v) for k, v in tags.items()])

    def _closed(self, trial_id: str) -> None:
        state = self._open.pop(trial_id)
        state.closed = True
        self._save(trial_id, state)

    def _save(self, trial_id: str, state: Tracked) -> None:
        write_json(self._execution.trial(trial_id) / TRACKED, asdict(state))


def _draw_layers(trial: TrialRun, folder: Path) -> None:
    if (folder / ANALYSIS).exists():
        try:
            draw_layers(read_json(folder / ANALYSIS), trial.name, folder / "layers.png")
        except Exception as error:  # the run must be closed all the same
            if is_disk_full(error):  # nor could it be closed
                raise
            logger.exception("cannot draw the layers of %s", trial.name)


def flat(content: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """MLflow's flat params from nested content: ``{"a": {"b": 1}}`` gives ``{"a.b": "1"}``."""
    params: dict[str, str] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            params |= flat(value, f"{name}.")
        else:
            params[name] = str(value)
    return params
