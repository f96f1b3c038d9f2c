"""Stage 1 in MLflow: a nested run of the sweep that trains it, to which other sweeps link.

What to do follows from the execution's folder and from MLflow alone, so that after a kill the
driver that resumes the sweep goes on in the same run.
"""

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from lnt_core import metrics as metric
from lnt_core.errors import DamagedError
from sweeps.results import tags as tag
from sweeps.storage.events import EVENTS
from sweeps.storage.execution import Execution, TrialStatus
from sweeps.storage.stage_1 import forget_stage_1_end, stage_1_end, stage_1_folder
from sweeps.tracking.datasets import dataset_inputs
from sweeps.tracking.runs import RUN_STATUS, TrialRun, TrialRuns, flat
from sweeps.tracking.unsent import UnsentEvents

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

KIND = "align"
CONFIG = {"model", "data", "align"}
"""The parts of a trial's config that are logged as params."""


class Stage1Run:
    """The run of a stage 1 of one execution.

    Args:
        client: The tracking store's client.
        experiment_id: The MLflow experiment of the sweep.
        parent_id: The parent run; empty if stage 1 is trained alone.
        execution: The execution on disk.
        runs: Sends metrics and tags.
        stage_1: What is logged when it starts; its id is that of stage 1.
        link: Called with the id of the run, here or of another sweep, in which it is trained.
    """

    def __init__(
        self,
        client: "MlflowClient",
        experiment_id: str,
        parent_id: str,
        execution: Execution,
        runs: TrialRuns,
        stage_1: TrialRun,
        link: Callable[[str], None] = lambda run_id: None,
    ) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._parent_id = parent_id
        self._execution = execution
        self._runs = runs
        self._stage_1 = stage_1
        self._link = link
        self._run_id = ""
        self._events = stage_1_folder(execution, stage_1.trial_id) / EVENTS
        self._unsent = UnsentEvents(self._events, {})
        self._over = False
        if stage_1_end(execution, stage_1.trial_id) == TrialStatus.FAILED:
            forget_stage_1_end(execution, stage_1.trial_id)  # it is tried again

    def update(self) -> None:
        """Send what is new: steps, and how it ended. It may be repeated after any failure.

        Raises:
            DamagedError: The events are damaged; what comes before that was sent.
        """
        if self._over:
            return
        if not self._run_id and self._events.exists():
            self._open()
        end = stage_1_end(self._execution, self._stage_1.trial_id)
        damage: DamagedError | None = None
        try:
            if self._run_id and not self._over:
                self._send()
        except DamagedError as error:
            damage = error
        if end is not None and not self._over:
            self._close(end)
        if damage is not None:
            raise damage

    def interrupt(self) -> None:
        """End the run as KILLED if it is still open; a resume opens it again."""
        self.update()
        if self._run_id and not self._over:
            self._end("KILLED", TrialStatus.INTERRUPTED)

    def _open(self) -> None:
        """Create the run, or find it again; one that has finished only gets what it lacks."""
        own = {
            tag.KIND: KIND,
            tag.ALIGN_ID: self._stage_1.trial_id,
            tag.EXECUTION: self._execution.id,
        }
        own |= {"mlflow.parentRunId": self._parent_id} if self._parent_id else {}
        wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in own.items())
        found = self._client.search_runs([self._experiment_id], wanted)
        if found:
            run_id = str(found[0].info.run_id)
            if found[0].info.status != "FINISHED":
                self._client.update_run(run_id, status="RUNNING")
                self._client.set_tag(run_id, tag.STATUS, TrialStatus.RUNNING)
            self._unsent = UnsentEvents(self._events, self._runs.steps_in(run_id))
        else:
            run_id = self._create(own)
        self._link(run_id)
        self._run_id = run_id

    def _create(self, own: dict[str, str]) -> str:
        from mlflow.entities import Param

        config = self._stage_1.config
        own = own | {tag.STATUS: TrialStatus.RUNNING}
        run = self._client.create_run(
            self._experiment_id, run_name=self._stage_1.name, tags=self._stage_1.tags | own
        )
        run_id = str(run.info.run_id)
        params = flat(config.model_dump(mode="json", include=CONFIG, exclude_none=True))
        self._client.log_batch(run_id, params=[Param(k, v) for k, v in params.items()])
        stage = config.data.align or config.data.tune
        data = config.data.model_copy(update={"tune": stage, "align": None, "select": None})
        self._client.log_inputs(run_id, dataset_inputs(data))
        return run_id

    def _send(self) -> None:
        self._unsent.send(lambda events: self._runs.log_metrics(self._run_id, events))

    def _close(self, end: TrialStatus) -> None:
        trained = self._has_all(self._unsent.last_step(metric.LOSS))
        if end == TrialStatus.FINISHED and not trained:  # another sweep has trained it
            if self._run_id:
                self._end("KILLED", TrialStatus.INTERRUPTED)
            if other := self._other():
                self._close_left_open(other)
                self._link(str(other.info.run_id))
        elif self._run_id:
            self._end(RUN_STATUS.get(end, "FAILED"), end)
        self._over = True

    def _has_all(self, last_step: int) -> bool:
        return last_step >= int(self._stage_1.tags[tag.NUM_STEPS])

    def _end(self, run_status: str, status: TrialStatus) -> None:
        with contextlib.suppress(DamagedError):  # told already, by `update`
            self._send()
        self._terminate(self._run_id, run_status, status)

    def _terminate(self, run_id: str, run_status: str, status: TrialStatus) -> None:
        self._client.set_tag(run_id, tag.STATUS, status)
        self._client.set_terminated(run_id, run_status)

    def _close_left_open(self, other: "Run") -> None:
        """Finish a run whose process was killed between saving the connector and closing it."""
        run_id = str(other.info.run_id)
        last_step = self._runs.steps_in(run_id).get(metric.LOSS, -1)
        if other.info.status != "FINISHED" and self._has_all(last_step):
            self._terminate(run_id, "FINISHED", TrialStatus.FINISHED)

    def _other(self) -> "Run | None":
        """The run of another sweep in which this stage 1 was trained; None if it has no run."""
        experiments = [found.experiment_id for found in self._client.search_experiments()]
        found: list[Run] = self._client.search_runs(
            experiments,
            f"tags.`{tag.KIND}` = '{KIND}' and tags.`{tag.ALIGN_ID}` = '{self._stage_1.trial_id}'",
            order_by=["attributes.end_time DESC"],
        )
        found.sort(key=lambda run: run.info.status != "FINISHED")
        return found[0] if found else None
