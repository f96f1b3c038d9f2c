"""Progress of a running sweep: a live table on a terminal, else one line per ended trial."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lnt_core import metrics as metric
from sweeps.console import PlainTable, say
from sweeps.driver.stage_1_lines import Lines, TimeLeft
from sweeps.plan.labels import counted
from sweeps.storage.execution import Result, TrialStatus
from sweeps.worker.context import BASE_ID, SCORE, STAGE_1

RECENT = 8
"""How many ended trials the live table shows."""
BASE_NAME = "untuned base"
BAR_WIDTH = 20
"""Width of the progress bar of stage 1, in characters."""


@dataclass
class Row:
    """One trial in the table."""

    name: str
    """Name of the trial: strategy, options and learning rate."""
    started_at: float
    status: TrialStatus = TrialStatus.STARTING
    step: int = 0
    loss: float | None = None
    score: float | None = None
    took_s: float = 0.0
    stage_1: "Stage1Progress | None" = None
    """While its process trains stage 1."""


@dataclass
class Stage1Progress:
    """How far a stage 1 is that the process of a row trains."""

    name: str
    total: int
    """Its optimizer steps."""
    lines: Lines
    pace: TimeLeft
    left: str = ""


class LiveTable:
    """Shows the step, loss, score and status of each trial, and the time left.

    Args:
        console: Where to print.
        num_trials: Number of trials of the sweep.
        num_done: How many of them ended before this driver started.
        stage_1_steps: Returns the optimizer steps of the stage 1 of a row, given its id.
        objective: What the sweep chooses by.
    """

    def __init__(
        self,
        console: Console,
        *,
        num_trials: int,
        num_done: int = 0,
        stage_1_steps: Callable[[str], int] = lambda name: 0,
        objective: metric.Objective = metric.OBJECTIVES[metric.SELECT_CIDER],
    ) -> None:
        self._objective = objective
        self._console = console
        self._num_trials = num_trials
        self._num_done = num_done
        self._resumed = num_done
        self._started_at = time.monotonic()
        self._rows: dict[str, Row] = {}
        self._told: set[str] = set()
        self._stage_1_steps = stage_1_steps
        self._live = Live(console=console, refresh_per_second=4, get_renderable=self._render)

    def __enter__(self) -> "LiveTable":
        """Show the table, if this is a terminal."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop updating; the last state of the table stays on the screen."""
        self._live.stop()

    def base_started(self) -> None:
        """Show that the base is prepared and scored; trials wait until it is prepared."""
        self._rows[BASE_ID] = Row(BASE_NAME, time.monotonic())

    def stage_1_started(self, name: str, shown: str) -> None:
        """Show a stage 1 that a group of workers trains; ``shown``: its name for users."""
        self._rows[name] = Row(shown, time.monotonic())

    def stage_1_ended(self, name: str) -> None:
        """Remove a stage 1 that has ended."""
        self._rows.pop(name, None)

    def report_started(self, run: str, shown: str) -> None:
        """Show a winner, or the base, that is scored at the end; its step is a question."""
        self._rows[run] = Row(shown, time.monotonic())

    def report_ended(self, run: str, told: str) -> None:
        """Print what it scored, or why it has no scores."""
        self._rows.pop(run, None)
        say(self._console, f"Reported, {told}")

    def base_ended(self, score: float | None, note: str = "") -> None:
        """Print what the untuned base scored, and why it lacks scores if it does."""
        self._rows.pop(BASE_ID, None)
        shown = "" if score is None else f"{self._objective.label} {self._objective.shown(score)}"
        told = "; ".join(filter(None, (shown, note)))
        say(self._console, f"Untuned base: {told}")

    def started(self, trial_id: str, name: str) -> None:
        """Show a trial that starts or resumes."""
        self._rows[trial_id] = Row(name, time.monotonic())

    def progress(self, trial_id: str, result: dict[str, Any]) -> None:
        """Show what a trial reported to Ray Tune."""
        row = self._rows[trial_id]
        row.status, row.step = result["status"], result["step"]
        is_in_stage_1 = row.status == TrialStatus.STARTING and row.step > 0
        if row.stage_1 is not None and not is_in_stage_1:
            row.stage_1, row.loss = None, None
        row.loss = result.get("loss", row.loss)
        row.score = result.get(SCORE, row.score)
        if is_in_stage_1:
            row.stage_1 = row.stage_1 or self._stage_1_of(trial_id, row)
            row.stage_1.left = row.stage_1.pace.after(row.step)
            if not self._console.is_terminal and row.loss is not None:
                row.stage_1.lines.tell(row.step, row.loss)

    def _stage_1_of(self, trial_id: str, row: Row) -> Stage1Progress:
        name = row.name if trial_id.startswith(STAGE_1) else "stage 1"
        if trial_id != BASE_ID and name != row.name:
            name = f"stage 1 of {row.name}"
        total, told = self._stage_1_steps(trial_id), name[0].upper() + name[1:]
        return Stage1Progress(name, total, Lines(self._console, total, name=told), TimeLeft(total))

    def ended(self, trial_id: str, name: str, result: Result) -> None:
        """Show how a trial ended; without a terminal, print its line.

        A trial whose process died too often may never have started.
        """
        row = self._rows.setdefault(trial_id, Row(name, time.monotonic()))
        row.status, row.step, row.score = result.status, result.steps, result.score
        row.loss = result.metrics.get(metric.FINAL_LOSS, row.loss)
        row.took_s = time.monotonic() - row.started_at
        self._num_done += 1
        if not self._console.is_terminal:
            score = (
                f"{self._objective.label} {self._objective.shown(row.score)}"
                if row.score is not None
                else result.status
            )
            loss = f"loss {row.loss:.3f}" if row.loss is not None else ""
            say(
                self._console,
                f"[{self._num_done}/{self._num_trials}] {row.name}  "
                f"step {row.step}  {loss}  {score}  {row.took_s:.0f} s  {self._left()}",
            )

    def added(self, count: int) -> None:
        """Count trials that were added to those to run."""
        self._num_trials += count

    def left_out(self, trial_id: str) -> None:
        """Remove a trial that the budget did not allow to start."""
        del self._rows[trial_id]
        self._num_trials -= 1

    def node_refused(self, trial_id: str, reason: str) -> None:
        """Remove a trial that must run elsewhere, and print why, once for each reason."""
        self._rows.pop(trial_id, None)
        if reason not in self._told:
            self._told.add(reason)
            say(self._console, reason)

    def _left(self) -> str:
        """Estimated time left, from the pace of the trials that this driver has run."""
        ended = self._num_done - self._resumed
        if not ended:
            return "time left: -"
        left_s = (time.monotonic() - self._started_at) / ended * (self._num_trials - self._num_done)
        return f"time left: {int(left_s // 60)}:{int(left_s % 60):02d}"

    def _stage_1_cells(self, row: Row, stage_1: Stage1Progress) -> tuple[RenderableType, ...]:
        progress = Table.grid(padding=(0, 1))
        progress.add_row(ProgressBar(stage_1.total, row.step, BAR_WIDTH), stage_1.left)
        steps = f"{row.step}/{stage_1.total}"
        return stage_1.name, steps, "-" if row.loss is None else f"{row.loss:.3f}", "-", progress

    def _render(self) -> RenderableType:
        table = PlainTable()
        for column in ("trial", "step", "loss", self._objective.label, "status"):
            table.add_column(column, justify="left" if column in ("trial", "status") else "right")
        ended = [r for r in self._rows.values() if r.took_s]
        running = [r for r in self._rows.values() if not r.took_s]
        for row in [*ended[-RECENT:], *running]:
            if row.stage_1 is not None:
                table.add_row(*self._stage_1_cells(row, row.stage_1))
                continue
            table.add_row(
                row.name,
                str(row.step),
                "-" if row.loss is None else f"{row.loss:.3f}",
                "-" if row.score is None else self._objective.shown(row.score),
                f"{row.status} ({row.took_s:.0f} s)" if row.took_s else row.status,
                style="" if not row.took_s else "dim",
            )
        head = f"{self._num_done} of {counted(self._num_trials, 'trial')} done, {self._left()}"
        return Group(Text(head, style="bold"), table)
