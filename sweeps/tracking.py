"""MLflow: one parent run an execution, one nested run a trial, sent by a thread of the driver.

The thread reads the trials' event files and retries for ever, so a tracking server that is away
delays what is seen and loses nothing. How far each file was sent is on disk: after a kill the
next driver goes on from there, in the same runs.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from lnt_core.analysis.trial_analysis import ANALYSIS
from lnt_core.config import TrialConfig
from lnt_core.trial import WEIGHTS
from sweeps.events import EVENTS, Event, read_events
from sweeps.execution import Execution, Result, read_json, write_json
from sweeps.layers import draw_layers

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

NOTE = "mlflow.note.content"
"""The tag that MLflow shows as a run's description."""
POLL_S = 0.5
MAX_METRICS = 1000
"""Of one request; MLflow's own limit."""
ARTIFACTS = ("*.jsonl", "*.yaml", ANALYSIS, "*.png")
"""What of a trial's folder goes into its run."""
RUN_STATUS = {"finished": "FINISHED", "diverged": "FINISHED", "stopped": "FINISHED"}
"""MLflow's status of a trial's run; any other end is FAILED."""


@dataclass(frozen=True)
class TrialRun:
    """What MLflow is told of a trial when it starts."""

    trial_id: str
    name: str
    config: TrialConfig
    tags: dict[str, str]


class Tracker:
    """Sends one execution to MLflow.

    Args:
        client: Of the tracking store.
        experiment_id: Where the runs go.
        execution: Whose trials are sent.
        tags: Of the parent run.
        params: Of the parent run, flat.
    """

    def __init__(
        self,
        client: "MlflowClient",
        experiment_id: str,
        execution: Execution,
        *,
        tags: dict[str, str],
        params: dict[str, str],
    ) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._execution = execution
        self._state_path = execution.path / "tracking.json"
        self._state: dict[str, Any] = (
            read_json(self._state_path) if self._state_path.exists() else {"runs": {}}
        )
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._open: set[str] = set()
        self._stopping = threading.Event()
        self.parent_id = self._parent(tags, params)
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def started(self, trial: TrialRun) -> None:
        """A trial starts, or goes on."""
        self._orders.put(lambda: self._open_run(trial))

    def ended(self, trial: TrialRun, result: Result) -> None:
        """A trial has ended; what is left of its events goes first."""
        self._orders.put(lambda: self._close_run(trial, result))

    def left_out(self, trial: TrialRun, reason: str) -> None:
        """A trial was not started; a later execution may open its run again."""
        self._orders.put(lambda: self._leave_out(trial, reason))

    def interrupted(self) -> None:
        """Mark the runs that are still open as KILLED; a resume opens them again."""
        self._orders.put(self._kill_open_runs)

    def log_weights(self, trial_id: str) -> None:
        """Add a winner's weights to its run."""
        weights = self._execution.trial(trial_id) / WEIGHTS
        run_id = self._state["runs"][trial_id]["run_id"]
        self._orders.put(lambda: self._client.log_artifacts(run_id, str(weights), WEIGHTS))

    def parent_metrics(self, metrics: dict[str, float]) -> None:
        """Set metrics of the parent run."""
        self._orders.put(lambda: self._log(self.parent_id, [Event(0, _now_ms(), metrics)]))

    def parent_artifact(self, path: Path) -> None:
        """Add a file to the parent run."""
        self._orders.put(lambda: self._client.log_artifact(self.parent_id, str(path)))

    def close(self, status: str, *, waiting: Callable[[], None] = lambda: None) -> None:
        """End the parent run, and wait until everything is sent.

        Args:
            status: MLflow's ``FINISHED``, ``FAILED`` or ``KILLED``.
            waiting: Called once if the tracking store lets us wait.
        """
        self._orders.put(lambda: self._client.set_terminated(self.parent_id, status))
        self._stopping.set()
        self._thread.join(timeout=10)
        if self._thread.is_alive():
            waiting()
            while self._thread.is_alive():  # join() without a timeout would not hear Ctrl-C
                self._thread.join(timeout=1)

    def flush(self) -> None:
        """Wait until every order so far is carried out."""
        done = threading.Event()
        self._orders.put(done.set)
        while not done.wait(timeout=1):
            pass

    # --- the thread

    def _work(self) -> None:
        while True:
            stopping = self._stopping.is_set()
            self._insist(self._send_events)
            while not self._orders.empty():
                self._insist(self._orders.get())
            if stopping and self._orders.empty():
                return
            self._stopping.wait(POLL_S)

    def _insist(self, action: Callable[[], None]) -> None:
        """Do it, however long the store is away; each action may be done twice without harm."""
        delay_s = 1.0
        while True:
            try:
                return action()
            except Exception as error:  # noqa: BLE001  the store is not ours: try again
                logger.warning("MLflow: %s; trying again in %.0f s", str(error)[:200], delay_s)
                time.sleep(delay_s)
                delay_s = min(delay_s * 2, 30.0)

    def _send_events(self) -> None:
        for trial_id in sorted(self._open):
            self._send_events_of(trial_id)

    def _send_events_of(self, trial_id: str) -> None:
        run = self._state["runs"][trial_id]
        path = self._execution.trial(trial_id) / EVENTS
        if not path.exists():
            return
        events = list(read_events(path, run["sent_bytes"]))
        if events:
            self._log(run["run_id"], [event for event, _ in events])
            run["sent_bytes"] = events[-1][1]
            self._save()

    def _log(self, run_id: str, events: Iterable[Event]) -> None:
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

    def _open_run(self, trial: TrialRun) -> None:
        from mlflow.entities import Param

        known = self._state["runs"].get(trial.trial_id)
        if known is None:
            tags = trial.tags | {
                "mlflow.parentRunId": self.parent_id,
                "lnt.trial_id": trial.trial_id,
                "lnt.status": "running",
            }
            run_id = (
                self._find_run(trial.trial_id)
                or self._client.create_run(
                    self._experiment_id, run_name=trial.name, tags=tags
                ).info.run_id
            )
            params = flat(trial.config.model_dump(mode="json", exclude_none=True))
            self._client.log_batch(run_id, params=[Param(k, v) for k, v in params.items()])
            self._state["runs"][trial.trial_id] = {"run_id": run_id, "sent_bytes": 0}
            self._save()
        elif trial.trial_id not in self._open:
            self._client.update_run(known["run_id"], status="RUNNING")
            self._client.set_tag(known["run_id"], "lnt.status", "running")
            if NOTE in trial.tags:
                self._client.set_tag(known["run_id"], NOTE, trial.tags[NOTE])
            known["closed"] = False
            self._save()
        self._open.add(trial.trial_id)

    def _close_run(self, trial: TrialRun, result: Result) -> None:
        if self._state["runs"].get(trial.trial_id, {}).get("closed"):
            return
        self._open_run(trial)
        self._send_events_of(trial.trial_id)
        run_id = self._state["runs"][trial.trial_id]["run_id"]
        folder = self._execution.trial(trial.trial_id)
        self._draw_layers(trial, folder)
        for path in sorted(path for kind in ARTIFACTS for path in folder.glob(kind)):
            if path.name != EVENTS:
                self._client.log_artifact(run_id, str(path))
        if result.note:
            self._client.set_tag(run_id, "lnt.retried", result.note)
        if result.error:
            self._client.log_text(run_id, result.error, "error.txt")
        self._client.set_tag(run_id, "lnt.status", result.status)
        self._client.set_terminated(run_id, RUN_STATUS.get(result.status, "FAILED"))
        self._open.discard(trial.trial_id)
        self._state["runs"][trial.trial_id]["closed"] = True
        self._save()

    @staticmethod
    def _draw_layers(trial: TrialRun, folder: Path) -> None:
        if (folder / ANALYSIS).exists():
            try:
                draw_layers(read_json(folder / ANALYSIS), trial.name, folder / "layers.png")
            except Exception:  # a picture that fails would be tried for ever
                logger.exception("there is no figure of %s", trial.name)

    def _leave_out(self, trial: TrialRun, reason: str) -> None:
        self._open_run(trial)
        run_id = self._state["runs"][trial.trial_id]["run_id"]
        self._client.set_tag(run_id, "lnt.status", "left_out")
        self._client.set_tag(run_id, NOTE, f"Not started, for the budget: {reason}.")
        self._client.set_terminated(run_id, "KILLED")
        self._open.discard(trial.trial_id)

    def _kill_open_runs(self) -> None:
        for trial_id in sorted(self._open):
            self._send_events_of(trial_id)
            run_id = self._state["runs"][trial_id]["run_id"]
            self._client.set_tag(run_id, "lnt.status", "interrupted")
            self._client.set_terminated(run_id, "KILLED")
        self._open.clear()

    def _find_run(self, trial_id: str) -> str | None:
        """A run made just before a kill, of which the state on disk knows nothing."""
        found = self._client.search_runs(
            [self._experiment_id],
            f"tags.`mlflow.parentRunId` = '{self.parent_id}' "
            f"and tags.`lnt.trial_id` = '{trial_id}'",
        )
        return str(found[0].info.run_id) if found else None

    def _parent(self, tags: dict[str, str], params: dict[str, str]) -> str:
        from mlflow.entities import Param

        execution = {"lnt.kind": "sweep", "lnt.execution": self._execution.id}
        found = self._client.search_runs(
            [self._experiment_id],
            " and ".join(f"tags.`{key}` = '{value}'" for key, value in execution.items()),
        )
        if found:
            run_id = str(found[0].info.run_id)
            self._client.update_run(run_id, status="RUNNING")
            return run_id
        run = self._client.create_run(
            self._experiment_id, run_name=tags["lnt.sweep"], tags=tags | execution
        )
        self._client.log_batch(run.info.run_id, params=[Param(k, v) for k, v in params.items()])
        self._client.set_tag(run.info.run_id, NOTE, self._note(run.info.run_id))
        return str(run.info.run_id)

    def _note(self, parent_id: str) -> str:
        """Markdown on the parent's page: MLflow shows nested runs folded away."""
        query = urlencode(
            {
                "searchFilter": f"tags.`mlflow.parentRunId` = '{parent_id}'",
                "orderByKey": "metrics.`select/cider`",
                "orderByAsc": "false",
            },
            quote_via=quote,
        )
        return f"[All trials, the best first](#/experiments/{self._experiment_id}/runs?{query})"

    def _save(self) -> None:
        write_json(self._state_path, self._state)


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


def _now_ms() -> int:
    return int(time.time() * 1000)
