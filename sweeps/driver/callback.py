"""Callback and stopper of Ray Tune in the driver: handle trials that start, report or end."""

import time
from pathlib import Path
from typing import Any

from ray import tune

from lnt_core.identity import data_sha256
from sweeps.driver.base_run import BaseRun
from sweeps.driver.live_table import LiveTable
from sweeps.driver.queue import TrialQueue
from sweeps.driver.ray_patches import is_killed_for_memory
from sweeps.driver.report_runs import ReportRuns
from sweeps.driver.stages_1 import Stages1
from sweeps.driver.steps import total_steps
from sweeps.driver.weights import WinnerWeights
from sweeps.plan.labels import short_rate
from sweeps.plan.trials import SweepTrial
from sweeps.results import tags as tag
from sweeps.storage.execution import Result, TrialStatus
from sweeps.storage.trials import read_trial
from sweeps.tracking.dashboard import NOTE, trial_note
from sweeps.tracking.runs import TrialRun
from sweeps.tracking.tracker import Tracker
from sweeps.worker.context import BASE_ID, REPORT, STAGE_1, TRIAL_KEY, Context
from sweeps.worker.out_of_memory import TOO_LITTLE_MEMORY, count_kill


class DriverCallback(tune.Callback):  # type: ignore[misc]  # Ray is not typed
    """Keeps MLflow, the live table and the winners' weights up to date.

    An exception here would end the whole sweep, so nothing here waits for another process.

    Args:
        context: Context of the execution.
        tracker: Sends the trials to MLflow.
        live_table: Shows the trials.
        queue: Notified when a trial starts.
        weights: Deletes weights that are no longer needed.
        tags: Tags that the MLflow runs of all trials have.
        stages_1: Every stage 1 of the sweep; a trial may add one.
    """

    def __init__(
        self,
        context: Context,
        tracker: Tracker,
        live_table: LiveTable,
        queue: TrialQueue,
        weights: WinnerWeights,
        tags: dict[str, str],
        stages_1: Stages1,
    ) -> None:
        self._context = context
        self._queue = queue
        self._tracker = tracker
        self._live_table = live_table
        self._tags = tags
        self.weights = weights
        self._started_s: dict[str, float] = {}
        self.left_out: dict[str, str] = {}
        """Why the budget did not allow a trial to start, by the name of the trial."""
        self._trials: dict[str, TrialRun] = {}
        self.stages_1 = stages_1
        self.base = BaseRun(context.execution, tracker, live_table, queue, stages_1)
        self.reports = ReportRuns(context, tracker, live_table)
        self.stopper = SweepStopper()

    def __getstate__(self) -> dict[str, Any]:
        """Pickle nothing: Ray's snapshots are never restored."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Handle a trial that has got its resources."""
        self._queue.started(trial.trial_id)
        if _is_preparation(trial):
            self.base.started(trial.config[TRIAL_KEY])
            return
        if _is_report(trial):
            self.reports.started(trial.config[TRIAL_KEY])
            return
        run = self._run(trial)
        self.stages_1.follow(run.config)
        self._started_s[run.trial_id] = time.monotonic()
        self._tracker.started(run)
        self._live_table.started(run.trial_id, run.name)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Show the progress that a trial reported."""
        if _is_preparation(trial):
            self.base.reported(trial.config[TRIAL_KEY], result)
            return
        if _is_report(trial):
            self.reports.progressed(trial.config[TRIAL_KEY], result)
            return
        self._live_table.progress(self._run(trial).trial_id, result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Handle a trial that ended or was stopped."""
        if trial.last_result.get("status") == TrialStatus.DISK_FULL:
            self.stopper.disk_is_full = True
            return
        if trial.last_result.get("status") == TrialStatus.NODE_REFUSED:  # the queue has it again
            name = trial.config[TRIAL_KEY]
            self._live_table.node_refused(name, str(trial.last_result["reason"]))
            return
        if _is_preparation(trial):
            self.base.ended(trial.config[TRIAL_KEY], trial.last_result)
            self.stopper.base_failed = bool(self.base.error)
            return
        if _is_report(trial):
            self.reports.ended(trial.config[TRIAL_KEY])
            return
        run = self._run(trial)
        if trial.last_result.get("status") == TrialStatus.LEFT_OUT:
            self.left_out[run.name] = str(trial.last_result["reason"])
            self._tracker.left_out(run, self.left_out[run.name])
            self._live_table.left_out(run.trial_id)
            return
        result = self._context.execution.result(run.trial_id)
        if result is None:
            result = Result(
                TrialStatus.STOPPED,
                int(trial.last_result.get("step", 0)),
                stopped_by="user" if run.trial_id in self.stopper.asked else "",
                took_s=self._release(run),
            )
            self._context.execution.write_result(run.trial_id, result)
        self._ended(run, result)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Handle a trial whose process died and that is restarted."""
        if _is_preparation(trial) or _is_report(trial):
            return
        if is_killed_for_memory(last_error(trial)):
            count_kill(self._context.execution.trial(self._run(trial).trial_id))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Handle a trial whose process died too often."""
        if _is_preparation(trial):
            self.base.died(trial.config[TRIAL_KEY], _known_error(trial))
            self.stopper.base_failed = True
            return
        if _is_report(trial):
            self.reports.died(trial.config[TRIAL_KEY], _known_error(trial))
            return
        run = self._run(trial)
        cause = _known_error(trial)
        error = TOO_LITTLE_MEMORY if is_killed_for_memory(cause) else f"its process died: {cause}"
        step = int(trial.last_result.get("step", 0))
        result = Result(TrialStatus.FAILED, step, error=error, took_s=self._release(run))
        self._context.execution.write_result(run.trial_id, result)
        self._ended(run, result)

    def _release(self, run: TrialRun) -> float:
        """End a trial in the budget in place of its process; returns how many seconds it took."""
        if self._context.budget is not None:
            self._context.budget.ended.remote(run.trial_id)
        return time.monotonic() - self._started_s.get(run.trial_id, time.monotonic())

    def _ended(self, run: TrialRun, result: Result) -> None:
        self._tracker.ended(run, result)
        self._live_table.ended(run.trial_id, run.name, result)
        self.weights.keep_best(read_trial(self._context.execution, run.trial_id), result)

    def _run(self, trial: Any) -> TrialRun:
        if trial.trial_id not in self._trials:
            run = trial_run(self._context, self._context.trial(trial.config), self._tags)
            self._trials[trial.trial_id] = run
        return self._trials[trial.trial_id]


class SweepStopper(tune.Stopper):  # type: ignore[misc]  # Ray is not typed
    """Stops the trials that users asked to stop, and all of them if the sweep cannot go on."""

    def __init__(self) -> None:
        self.disk_is_full = False
        self.base_failed = False
        self.asked: set[str] = set()
        """Ids of the trials to stop."""

    def stop(self, trial: str) -> None:
        """Stop a trial at its next report; may be called from any thread."""
        self.asked.add(trial)

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether to stop the trial that sent this report."""
        return result.get("status") == TrialStatus.RUNNING and result.get(TRIAL_KEY) in self.asked

    def stop_all(self) -> bool:
        """Whether to end the sweep: every other trial would fail too."""
        return self.disk_is_full or self.base_failed


def _is_preparation(trial: Any) -> bool:
    """Whether this is not a trial of the sweep, but the untuned base or a stage 1."""
    name = str(trial.config[TRIAL_KEY])
    return name == BASE_ID or name.startswith(STAGE_1)


def _is_report(trial: Any) -> bool:
    """Whether this is not a trial of the sweep, but scores a winner or the untuned base."""
    return str(trial.config[TRIAL_KEY]).startswith(REPORT)


def _known_error(trial: Any) -> str:
    return last_error(trial) or "Ray Tune recorded no error"


def last_error(trial: Any) -> str:
    """The last error of a trial that Ray Tune recorded; empty if there is none."""
    if not trial.error_file or not Path(trial.error_file).is_file():
        return ""
    last = Path(trial.error_file).read_text(errors="replace").rpartition("Failure # ")[2]
    return last.partition("\n")[2].strip()  # without the line of number and date


def trial_run(context: Context, trial: SweepTrial, tags: dict[str, str]) -> TrialRun:
    """The MLflow run of a trial; ``tags`` are those that all trials of the sweep have."""
    config = trial.config
    strategy, rate = config.strategy.name, short_rate(config.learning_rate)
    own = {
        tag.KIND: "trial",
        tag.STRATEGY: strategy,
        tag.OPTIONS: trial.options,
        tag.NUM_STEPS: str(total_steps(config, context.cache)),
        tag.SEED: str(config.seed_of_training),
        tag.DATA_SHA256: data_sha256(config.data),
        tag.ADDED_BY: trial.added_by,
        tag.CLONED_FROM: trial.cloned_from,
        tag.STARTED_AT_STEP: str(config.started_from.step) if config.started_from else "",
        NOTE: trial_note(strategy, rate, context.sweep.name, trial.id),
    }
    own = {key: value for key, value in own.items() if value}
    return TrialRun(trial.id, trial.name, config, tags | own)
