"""What the driver does with winners and the base that are scored once all trials have ended."""

from collections.abc import Sequence
from typing import Any

from lnt_core import metrics as metric
from lnt_core.evaluation.scoring import files_in
from sweeps.driver.live_table import BASE_NAME, LiveTable
from sweeps.results.read import BASE_PREFIX
from sweeps.results.selection import Trial, winners
from sweeps.storage.reported import (
    Reported,
    all_reported,
    reported,
    reported_folder,
    write_reported,
)
from sweeps.storage.trials import read_trial
from sweeps.tracking.tracker import Tracker
from sweeps.worker.context import BASE_ID, REPORT, Context


class ReportRuns:
    """Shows the runs of Ray Tune that score winners and the base, and logs their scores.

    Args:
        context: Context of the execution.
        tracker: Logs to the runs of trials and to the parent run.
        live_table: Shows what is being scored.
    """

    def __init__(self, context: Context, tracker: Tracker, live_table: LiveTable) -> None:
        self._context = context
        self._tracker = tracker
        self._live_table = live_table
        self._tasks = ", ".join(context.sweep.trial_data.names_for_winners)

    def log_known(self) -> None:
        """Log what an earlier driver may have left unsent."""
        for name, ended in all_reported(self._context.execution).items():
            self._log(name, ended)

    def started(self, run: str) -> None:
        """A winner, or the base, is being scored."""
        self._live_table.report_started(run, f"{self._tasks} of {self._shown(run)}")

    def progressed(self, run: str, result: dict[str, Any]) -> None:
        """Some questions have been answered."""
        self._live_table.progress(run, result)

    def ended(self, run: str) -> None:
        """All is scored, or cannot be."""
        name = run.removeprefix(REPORT)
        ended = reported(self._context.execution, name)
        if ended is None:
            ended = Reported(error="its process was stopped")
            write_reported(self._context.execution, name, ended)
        mains = metric.reported(ended.scores)
        told = [f"{key} {value:.4g}" for key, value in mains.items()]
        told += [_last_line(ended.error)] if ended.error else []
        self._live_table.report_ended(run, f"{self._shown(run)}: {', '.join(told)}")
        self._log(name, ended)

    def died(self, run: str, error: str) -> None:
        """Its process died more often than it may."""
        ended = Reported(error=f"its process died: {error}")
        write_reported(self._context.execution, run.removeprefix(REPORT), ended)
        self.ended(run)

    def _shown(self, run: str) -> str:
        name = run.removeprefix(REPORT)
        return BASE_NAME if name == BASE_ID else read_trial(self._context.execution, name).name

    def _log(self, name: str, ended: Reported) -> None:
        if not ended.scores:
            return
        folder = reported_folder(self._context.execution, name)
        if name != BASE_ID:
            self._tracker.reported(name, ended.scores, folder)
            return
        self._tracker.parent_metrics({BASE_PREFIX + key: v for key, v in ended.scores.items()})
        for path in files_in(folder):
            self._tracker.parent_artifact(path, folder=f"{BASE_ID}/reported")


def _last_line(error: str) -> str:
    """An error in a line: that of a traceback is its last."""
    return error.strip().splitlines()[-1]


def to_report(context: Context, ended: Sequence[Trial]) -> list[str]:
    """The runs of Ray Tune that score the base and each winner, without those that have ended."""
    if not context.sweep.trial_data.names_for_winners:
        return []
    found = [winner.trial.trial_id for winner in winners(ended)]
    names = [BASE_ID, *found] if found else []
    return [REPORT + name for name in names if reported(context.execution, name) is None]


def unreported(context: Context, trials: Sequence[Trial]) -> list[str]:
    """Why winners among these trials, or the base, lack scores."""
    names = {BASE_ID: BASE_NAME} | {w.trial.trial_id: w.trial.variant for w in winners(trials)}
    return [
        f"{names[name]}: {_last_line(ended.error)}"
        for name, ended in all_reported(context.execution).items()
        if ended.error and name in names
    ]
