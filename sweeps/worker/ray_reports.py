"""What a process reports to Ray Tune while it runs."""

import time
from collections.abc import Mapping
from typing import Any

from lnt_core import metrics as metric
from sweeps.storage.execution import TrialStatus
from sweeps.worker.context import OBJECTIVE, SCORE, TRIAL_KEY

REPORT_EVERY_S = 1.0
"""Seconds between progress reports to Ray Tune; the events have every step."""


def scored(metrics: Mapping[str, float]) -> dict[str, float]:
    """The score among a trial's metrics, as it is, and as Ray Tune maximizes it."""
    name = metric.objective_in(metrics)
    assert name is not None
    return {SCORE: metrics[name], OBJECTIVE: metric.OBJECTIVES[name].merit(metrics[name])}


class RayReports:
    """Reports progress to Ray Tune: at a rung, and otherwise no more often than it needs.

    Args:
        name: The trial's id, or that of the base.
        status: In every report.
    """

    def __init__(self, name: str, status: TrialStatus = TrialStatus.RUNNING) -> None:
        self._name = name
        self._status = status
        self._reported_s = 0.0
        self.step = 0
        """Of the last call."""

    def __call__(self, step: int, metrics: dict[str, float]) -> None:
        """Report a step, if that is due; as `lnt_core.training.loop.Report`."""
        from ray import tune

        self.step = step
        at_rung = metric.objective_in(metrics) and metric.TRAIN_S not in metrics
        if at_rung or time.monotonic() - self._reported_s >= REPORT_EVERY_S:
            self._reported_s = time.monotonic()
            report: dict[str, Any] = {"step": step, TRIAL_KEY: self._name, "status": self._status}
            if metric.LOSS in metrics:
                report["loss"] = metrics[metric.LOSS]
            if at_rung:
                report |= scored(metrics)
            tune.report(report)
