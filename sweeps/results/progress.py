"""Progress of a running sweep, read from MLflow alone."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lnt_core import metrics as metric
from sweeps.plan.labels import counted
from sweeps.results import tags as tag
from sweeps.results.read import read_runs, sweep_of
from sweeps.results.selection import Sweep
from sweeps.storage.execution import TrialStatus

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


PARTS = (metric.PREPARE_S, metric.TRAIN_S, metric.EVALUATE_S)
"""Metrics that add up to a trial's duration; a run has them once the trial has ended."""


@dataclass(frozen=True)
class TrialState:
    """Progress of one trial."""

    name: str
    status: TrialStatus
    step: int = 0
    """Optimizer steps done."""
    num_steps: int | None = None
    loss: float | None = None
    score: float | None = None
    """Score of a finished trial on the task that chooses."""
    took_s: float | None = None
    """Duration of a finished trial."""

    @property
    def share(self) -> float:
        """Fraction of the training that is done, 0..1; 0 if the number of steps is not known."""
        return min(1.0, self.step / self.num_steps) if self.num_steps else 0.0

    @property
    def progress(self) -> str:
        """Steps done, of all: ``20/150``."""
        return f"{self.step}/{self.num_steps}" if self.num_steps else str(self.step)


@dataclass(frozen=True)
class Snapshot:
    """State of a sweep at one moment."""

    sweep: Sweep
    num_trials: int
    """Trials planned so far; a sweep may add more."""
    trials: dict[str, TrialState]
    """By run id, oldest first."""
    elapsed_s: float
    silent_s: float
    """Seconds since anything was last written to the sweep's runs."""

    @property
    def running(self) -> list[TrialState]:
        """The trials that are running."""
        return [trial for trial in self.trials.values() if trial.status == TrialStatus.RUNNING]

    @property
    def counts(self) -> Counter[TrialStatus]:
        """Number of trials by status; trials without a run count as ``pending``."""
        counts = Counter(trial.status for trial in self.trials.values())
        counts[TrialStatus.PENDING] = max(0, self.num_trials - len(self.trials))
        return +counts

    @property
    def left_s(self) -> float | None:
        """Estimated seconds until the sweep ends; None if no trial has finished, or nothing runs.

        Assumes that as many trials run at the same time as now, each as long as the mean of the
        finished ones.
        """
        took = [trial.took_s for trial in self.trials.values() if trial.took_s is not None]
        if not took or self.sweep.status != "RUNNING":
            return None
        work = self.counts[TrialStatus.PENDING] + sum(1.0 - trial.share for trial in self.running)
        return work * sum(took) / len(took) / max(1, len(self.running))

    @property
    def headline(self) -> str:
        """The state of the sweep in one line."""
        counts = ", ".join(f"{count} {status}" for status, count in sorted(self.counts.items()))
        left = "-" if self.left_s is None else f"about {clock(self.left_s)}"
        num_trials = counted(self.num_trials, "trial")
        return (
            f"{self.sweep.name} ({self.sweep.status}): {num_trials}: {counts}; "
            f"elapsed {clock(self.elapsed_s)}, left {left}"
        )


def clock(seconds: float) -> str:
    """A duration as ``1:02:03``, or ``2:03`` below an hour.

    Example:
        >>> clock(3723), clock(123.4)
        ('1:02:03', '2:03')
    """
    whole = int(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    tail = f"{whole % 60:02d}"
    return f"{hours}:{minutes:02d}:{tail}" if hours else f"{minutes}:{tail}"


def read_snapshot(client: "MlflowClient", name: str, run_id: str | None = None) -> Snapshot:
    """Read the state of a sweep's latest execution, or of the one with the given parent run."""
    parent, runs = read_runs(client, name, run_id)
    return snapshot_of(name, parent, runs, now_s=time.time())


def snapshot_of(name: str, parent: "Run", runs: Sequence["Run"], *, now_s: float) -> Snapshot:
    """The state of a sweep, from its runs.

    Args:
        name: The sweep's name.
        parent: The parent run of the execution.
        runs: The runs of its trials.
        now_s: Unix time; durations also depend on the clocks of the machines that wrote the runs.
    """
    ordered = sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))
    ended_ms = parent.info.end_time if parent.info.status != "RUNNING" else None
    end_s = now_s if ended_ms is None else ended_ms / 1000
    written_ms = [point.timestamp for run in runs for point in _last_points(run).values()]
    written_ms += [run.info.start_time for run in (parent, *runs)]
    sweep = sweep_of(name, parent, ordered)
    return Snapshot(
        sweep=sweep,
        num_trials=int(parent.data.tags.get(tag.NUM_TRIALS, len(runs))),
        trials={run.info.run_id: _state(run, sweep.objective) for run in ordered},
        elapsed_s=max(0.0, end_s - parent.info.start_time / 1000),
        silent_s=max(0.0, end_s - max(written_ms) / 1000),
    )


def _state(run: "Run", objective: metric.Objective) -> TrialState:
    metrics, tags = run.data.metrics, run.data.tags
    loss = _last_points(run).get(metric.LOSS)
    finished = tags[tag.STATUS] == TrialStatus.FINISHED
    known = [metrics[part] for part in PARTS if part in metrics]
    return TrialState(
        name=run.info.run_name,
        status=TrialStatus(tags[tag.STATUS]),
        step=0 if loss is None else loss.step,
        num_steps=int(tags[tag.NUM_STEPS]) if tag.NUM_STEPS in tags else None,
        loss=None if loss is None else loss.value,
        score=metrics.get(objective.metric) if finished else None,
        took_s=sum(known) if finished and len(known) == len(PARTS) else None,
    )


def _last_points(run: "Run") -> dict:  # type: ignore[type-arg]
    """The last point of each metric, with its step, which ``data.metrics`` does not contain."""
    return {point.key: point for point in run.data._metric_objs}
