"""A trial as an MLflow run: opened, fed with its metrics, closed; found again after a kill.

Which run a trial is, and how much of its events it was sent, stands in the trial's folder: the
next driver goes on from there. All here may be done twice without harm.
"""

import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lnt_core.accounting.micro_batch import kept_choice
from lnt_core.analysis.figures import draw_layers
from lnt_core.analysis.trial_analysis import ANALYSIS
from lnt_core.config import TrialConfig
from sweeps.results import tags as tag
from sweeps.storage.events import EVENTS, Event, newer, read_events
from sweeps.storage.execution import TRACKED, Execution, Result, TrialStatus, read_json, write_json
from sweeps.tracking.dashboard import NOTE
from sweeps.tracking.datasets import dataset_inputs

if TYPE_CHECKING:
    from mlflow import MlflowClient


logger = logging.getLogger(__name__)
MAX_METRICS = 1000
"""Of one request; MLflow's own limit."""
ARTIFACTS = ("*.jsonl", "*.yaml", ANALYSIS, "*.png")
"""What of a trial's folder goes into its run."""
RUN_STATUS = {
    TrialStatus.FINISHED: "FINISHED",
    TrialStatus.DIVERGED: "FINISHED",
    TrialStatus.STOPPED: "FINISHED",
}
"""MLflow's status of a trial's run; any other end is FAILED."""


@dataclass(frozen=True)
class TrialRun:
    """What MLflow is told of a trial when it starts."""

    trial_id: str
    name: str
    config: TrialConfig
    tags: dict[str, str]


@dataclass
class Tracked:
    """How far a trial is in MLflow."""

    run_id: str
    sent_bytes: int = 0
    """Of its events."""
    closed: bool = False


class TrialRuns:
    """The trials of one execution in MLflow.

    Args:
        client: Of the tracking store.
        experiment_id: Where the runs go.
        parent_id: The run that they are nested in.
        execution: Whose trials they are.
    """

    def __init__(
        self, client: "MlflowClient", experiment_id: str, parent_id: str, execution: Execution
    ) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._parent_id = parent_id
        self._execution = execution
        self._open: dict[str, Tracked] = {}
        self._last_steps: dict[str, dict[str, int]] = {}

    def tracked(self, trial_id: str) -> Tracked | None:
        """How far a trial is; None if it has no run yet."""
        path = self._execution.trial(trial_id) / TRACKED
        return Tracked(**read_json(path)) if path.exists() else None

    def send_events(self) -> None:
        """What the open trials have written since."""
        for trial_id, state in sorted(self._open.items()):
            self._send_events_of(trial_id, state)

    def open(self, trial: TrialRun) -> Tracked:
        """Make the trial's run, or open it again."""
        if trial.trial_id in self._open:
            return self._open[trial.trial_id]
        known = self.tracked(trial.trial_id)
        if known is None:
            known = Tracked(self._find(trial.trial_id) or self._create(trial))
            self._log_params(known.run_id, trial.config)
            self._client.log_inputs(known.run_id, dataset_inputs(trial.config.data))
        else:
            self._client.update_run(known.run_id, status="RUNNING")
            note = {NOTE: trial.tags[NOTE]} if NOTE in trial.tags else {}
            self.set_tags(known.run_id, {tag.STATUS: TrialStatus.RUNNING} | note)
            known.closed = False
        self._save(trial.trial_id, known)
        self._open[trial.trial_id] = known
        return known

    def close(self, trial: TrialRun, result: Result) -> None:
        """The trial has ended: its last metrics, its files, and how it ended."""
        known = self.tracked(trial.trial_id)
        if known is not None and known.closed:
            return
        state = self.open(trial)
        self._send_events_of(trial.trial_id, state)
        folder = self._execution.trial(trial.trial_id)
        _draw_layers(trial, folder)
        for path in sorted(path for kind in ARTIFACTS for path in folder.glob(kind)):
            if path.name != EVENTS:
                self._client.log_artifact(state.run_id, str(path))
        if result.error:
            self._client.log_text(state.run_id, result.error, "error.txt")
        tags = {tag.RETRIED: result.note, tag.NODE: result.node, tag.STATUS: result.status}
        tags[tag.STOPPED_BY] = result.stopped_by
        found = kept_choice(trial.config, folder)
        tags[tag.MICRO_BATCH] = "" if found is None else str(found)
        self.set_tags(state.run_id, {key: value for key, value in tags.items() if value})
        self._client.set_terminated(state.run_id, RUN_STATUS.get(result.status, "FAILED"))
        self._closed(trial.trial_id)

    def leave_out(self, trial: TrialRun, reason: str) -> None:
        """The trial is not started; a later execution may open its run again."""
        run_id = self.open(trial).run_id
        note = f"Not started, for the budget: {reason}."
        self.set_tags(run_id, {tag.STATUS: TrialStatus.LEFT_OUT, NOTE: note})
        self._client.set_terminated(run_id, "KILLED")
        del self._open[trial.trial_id]

    def kill_open(self) -> None:
        """Mark what is still open as KILLED."""
        for trial_id, state in sorted(self._open.items()):
            self._send_events_of(trial_id, state)
            self._client.set_tag(state.run_id, tag.STATUS, TrialStatus.INTERRUPTED)
            self._client.set_terminated(state.run_id, "KILLED")
        self._open.clear()

    def log_metrics(self, run_id: str, events: Iterable[Event]) -> None:
        """Send in batches.

        MLflow keeps one of two equal points (key, step, time): sent twice, a batch does no harm.
        """
        from mlflow.entities import Metric

        metrics = [
            Metric(key, value, event.time_ms, event.step)
            for event in events
            for key, value in event.metrics.items()
        ]
        for start in range(0, len(metrics), MAX_METRICS):
            self._client.log_batch(run_id, metrics=metrics[start : start + MAX_METRICS])

    def _send_events_of(self, trial_id: str, state: Tracked) -> None:
        """Each step once, even if a trial on a node that was given up has written it as well."""
        path = self._execution.trial(trial_id) / EVENTS
        if not path.exists():
            return
        if trial_id not in self._last_steps:
            sent = (event for event, end in read_events(path) if end <= state.sent_bytes)
            self._last_steps[trial_id] = {}
            for event in sent:
                newer(event, self._last_steps[trial_id])
        events = list(read_events(path, state.sent_bytes))
        if events:
            last = dict(self._last_steps[trial_id])
            self.log_metrics(state.run_id, [newer(event, last) for event, _ in events])
            self._last_steps[trial_id] = last
            state.sent_bytes = events[-1][1]
            self._save(trial_id, state)

    def _create(self, trial: TrialRun) -> str:
        tags = trial.tags | {
            "mlflow.parentRunId": self._parent_id,
            tag.TRIAL_ID: trial.trial_id,
            tag.STATUS: TrialStatus.RUNNING,
        }
        run = self._client.create_run(self._experiment_id, run_name=trial.name, tags=tags)
        return str(run.info.run_id)

    def _find(self, trial_id: str) -> str | None:
        """A run made just before a kill, of which the folder knows nothing."""
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
        """Of any run, in one request."""
        from mlflow.entities import RunTag

        self._client.log_batch(run_id, tags=[RunTag(k, v) for k, v in tags.items()])

    def _closed(self, trial_id: str) -> None:
        state = self._open.pop(trial_id)
        self._last_steps.pop(trial_id, None)
        state.closed = True
        self._save(trial_id, state)

    def _save(self, trial_id: str, state: Tracked) -> None:
        write_json(self._execution.trial(trial_id) / TRACKED, asdict(state))


def _draw_layers(trial: TrialRun, folder: Path) -> None:
    if (folder / ANALYSIS).exists():
        try:
            draw_layers(read_json(folder / ANALYSIS), trial.name, folder / "layers.png")
        except Exception:  # a picture that fails would be tried for ever
            logger.exception("there is no figure of %s", trial.name)


def flat(content: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """``{"a": {"b": 1}}`` as ``{"a.b": "1"}``: how MLflow takes params."""
    params: dict[str, str] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            params |= flat(value, f"{name}.")
        else:
            params[name] = str(value)
    return params
