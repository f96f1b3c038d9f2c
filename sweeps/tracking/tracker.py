"""Logs an execution to MLflow: one parent run, and one nested run per trial.

A thread of the driver reads the trials' event files and sends them. While the tracking server
cannot be reached, it retries without limit, so that metrics are delayed but not lost. After a kill,
the driver that resumes the sweep continues the same runs.
"""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lnt_core.trial import WEIGHTS
from sweeps.results import tags as tag
from sweeps.results.selection import objective_named
from sweeps.storage.events import Event
from sweeps.storage.execution import Execution, Result
from sweeps.storage.format import FORMAT
from sweeps.tracking.dashboard import NOTE, VIEW, parent_note, trials_view, view_key
from sweeps.tracking.outbox import Outbox
from sweeps.tracking.parent import find_parent
from sweeps.tracking.registry import Entry, register
from sweeps.tracking.runs import TrialRun, TrialRuns
from sweeps.tracking.stage_1 import Stage1Run

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput


Answered = TypeVar("Answered")
Control = Callable[["MlflowClient", str], None]
"""Carries out requests to the sweep; called repeatedly with the client and the parent run's id."""


class Tracker:
    """Logs one execution to MLflow.

    Methods return at once, and a thread sends in the order of the calls; :meth:`flush` and
    :meth:`close` wait for it.

    Args:
        client: The tracking store's client.
        experiment_id: The MLflow experiment of the runs.
        execution: The execution on disk.
        tags: Tags of the parent run.
        params: Params of the parent run, flat.
        datasets: Datasets of the parent run.
    """

    def __init__(
        self,
        client: "MlflowClient",
        experiment_id: str,
        execution: Execution,
        *,
        tags: dict[str, str],
        params: dict[str, str],
        datasets: list["DatasetInput"],
    ) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._execution = execution
        self.parent_id = self._parent(tags, params, datasets)
        self._runs = TrialRuns(client, experiment_id, self.parent_id, execution)
        self._stages_1: dict[str, Stage1Run] = {}
        self._links: dict[str, str] = {}
        """By the id of a stage 1: the run in which it was trained."""
        self._control: Control | None = None
        self._outbox = Outbox("mlflow", self._routine)

    def obey(self, control: Control) -> None:
        """From now on, call ``control`` regularly to carry out requests to the sweep."""
        self._control = control

    def obey_the_last(self) -> None:
        """Call the control once more, to answer the last requests before the sweep ends."""
        control = self._control
        if control is not None:
            self._outbox.put(lambda: control(self._client, self.parent_id))

    def follow_stage_1(self, stage_1: TrialRun) -> None:
        """From now on, send what a stage 1 writes; ``stage_1`` has its id in place of a trial's."""

        def link(run_id: str) -> None:
            self._links[stage_1.trial_id] = run_id
            ids, runs = ", ".join(self._links), ", ".join(self._links.values())
            self._runs.set_tags(self.parent_id, {tag.ALIGN_ID: ids, tag.ALIGN_RUN: runs})

        client, parent_id = self._client, self.parent_id
        self._stages_1[stage_1.trial_id] = Stage1Run(
            client, self._experiment_id, parent_id, self._execution, self._runs, stage_1, link
        )

    def started(self, trial: TrialRun) -> None:
        """Open the run of a trial that starts or resumes."""
        self._outbox.put(lambda: _nothing(self._runs.open(trial)))

    def ended(self, trial: TrialRun, result: Result) -> None:
        """End the run of a trial, after its remaining events."""
        self._outbox.put(lambda: self._runs.close(trial, result))

    def reported(self, trial_id: str, scores: dict[str, float], folder: Path) -> None:
        """Add scores to the run of an ended trial, and the files of the folder they are from."""
        self._outbox.put(lambda: self._runs.add_reported(trial_id, scores, folder))

    def left_out(self, trial: TrialRun, reason: str) -> None:
        """Record that the budget did not allow a trial to start; a resume may open its run."""
        self._outbox.put(lambda: self._runs.leave_out(trial, reason))

    def interrupted(self) -> None:
        """End the runs that are still open as KILLED; a resume opens them again."""
        self._outbox.put(self._runs.kill_open)
        for stage_1 in self._stages_1.values():
            self._outbox.put(stage_1.interrupt)

    def log_weights(self, trial_id: str) -> None:
        """Add a winner's weights to its run."""
        weights = self._execution.trial(trial_id) / WEIGHTS
        tracked = self._runs.tracked(trial_id)
        assert tracked is not None
        run_id = tracked.run_id
        self._outbox.put(lambda: self._client.log_artifacts(run_id, str(weights), WEIGHTS))

    def register(self, entry: Entry) -> None:
        """Add a winner, whose weights are logged, to the Model Registry."""
        self._outbox.put(lambda: register(self._client, entry))

    def parent_metrics(self, metrics: dict[str, float]) -> None:
        """Set metrics of the parent run."""
        event = Event(0, int(time.time() * 1000), metrics)
        self._outbox.put(lambda: self._runs.log_metrics(self.parent_id, [event]))

    def parent_artifact(self, path: Path, folder: str | None = None) -> None:
        """Add a file to the parent run's artifacts, in the given folder if any."""
        self._outbox.put(lambda: self._client.log_artifact(self.parent_id, str(path), folder))

    def later(self, order: Callable[[], None]) -> None:
        """Add any order to those that the thread carries out, again while the server is away."""
        self._outbox.put(order)

    def parent_tags(self, tags: dict[str, str]) -> None:
        """Set tags of the parent run."""
        self._outbox.put(lambda: self._runs.set_tags(self.parent_id, tags))

    def flush(self) -> None:
        """Wait until everything so far is sent."""
        self._outbox.flush()

    def ask(self, question: Callable[["MlflowClient"], Answered]) -> Answered:
        """What ``question`` returns once everything so far is sent; insists while MLflow is away.

        Raises:
            Exception: What ``question`` raised although MLflow could be reached.
        """
        return self._outbox.ask(lambda: question(self._client))

    def close(
        self,
        status: str,
        *,
        waiting: Callable[[], None] = lambda: None,
        patience_s: float | None = None,
    ) -> None:
        """End the parent run, and wait until everything is sent.

        Args:
            status: MLflow's ``FINISHED``, ``FAILED`` or ``KILLED``.
            waiting: Called once if this takes longer than a few seconds.
            patience_s: Wait no longer than this; a resumed sweep sends the rest.
        """
        self._outbox.put(lambda: self._client.set_terminated(self.parent_id, status))
        self._outbox.close(waiting=waiting, patience_s=patience_s)

    @property
    def refused(self) -> list[str]:
        """Why something was not logged, although the server could be reached; each reason once."""
        return self._outbox.refused

    @property
    def gone(self) -> str:
        """How the store was found to be deleted while the sweep ran; else empty."""
        return self._outbox.gone

    @property
    def busy_s(self) -> float:
        """CPU seconds spent on MLflow so far."""
        return self._outbox.busy_s

    def _routine(self) -> None:
        with contextlib.ExitStack() as all_of_it:  # whichever of them fails
            if self._control is not None:
                all_of_it.callback(self._control, self._client, self.parent_id)
            all_of_it.callback(self._runs.send_events)
            for stage_1 in list(self._stages_1.values()):  # trials may add one meanwhile
                all_of_it.callback(stage_1.update)

    def _parent(
        self, tags: dict[str, str], params: dict[str, str], datasets: list["DatasetInput"]
    ) -> str:
        from mlflow.entities import Param

        run_id = find_parent(self._client, self._experiment_id, self._execution)
        if run_id is not None:
            self._client.update_run(run_id, status="RUNNING")
            return run_id
        execution = {tag.KIND: "sweep", tag.FORMAT: str(FORMAT), tag.EXECUTION: self._execution.id}
        run = self._client.create_run(
            self._experiment_id, run_name=tags[tag.SWEEP], tags=tags | execution
        )
        self._client.log_batch(run.info.run_id, params=[Param(k, v) for k, v in params.items()])
        run_id = str(run.info.run_id)
        self._client.log_inputs(run_id, datasets)
        view, chosen_by = f"{VIEW}{view_key(run_id)}", objective_named(tags.get(tag.METRIC, ""))
        self._client.set_experiment_tag(self._experiment_id, view, trials_view(run_id, chosen_by))
        note = parent_note(self._experiment_id, run_id, tags[tag.SWEEP])
        self._client.set_tag(run_id, NOTE, note)
        return run_id


def _nothing(_: object) -> None:
    """Drop the result of an order, which must return None."""
