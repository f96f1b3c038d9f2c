"""The budget of a sweep: a trial that would exceed it is not started."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lnt_core import metrics as metric
from lnt_core.strategies import STRATEGIES
from sweeps.config import BudgetConfig
from sweeps.driver.ray_start import beside_driver
from sweeps.resources import ResourcesConfig
from sweeps.storage.stage_1 import stage_1_gpu_s
from sweeps.storage.trials import all_trials

if TYPE_CHECKING:
    from sweeps.storage.execution import Execution


HOUR_S = 3600.0


@dataclass
class Budget:
    """Decides whether a trial may start; all trials of an execution ask the same object.

    A trial is expected to take as long as the longest trial of its strategy so far, or if there is
    none, as the longest of any strategy. The first trials are expected to take no time, so that
    they can start. The time of stage 1 is spent like any other, but none expects it once more.
    """

    limits: BudgetConfig
    gpus_of: dict[str, float]
    """By strategy: the GPUs of a trial, all its workers together."""
    clock_s: Callable[[], float] = time.monotonic
    """The clock: returns seconds since an arbitrary start."""
    _spent_s: dict[str, float] = field(default_factory=dict)
    """Of ended trials, by strategy: seconds in all."""
    _durations_s: dict[str, list[float]] = field(default_factory=dict)
    """Of each, by strategy: seconds without stage 1."""
    _stage_1_gpu_s: float = 0.0
    """GPU-seconds of stage 1 before any trial."""
    _running: dict[str, tuple[str, float]] = field(default_factory=dict)
    _num_started: int = 0
    _began_s: float = 0.0

    def __post_init__(self) -> None:
        self._began_s = self.clock_s()

    def spent_before(self, trials: Iterable[tuple[str, float, float]]) -> None:
        """Count trials that ended under an earlier driver.

        Args:
            trials: For each its strategy, its seconds, and those of them that were stage 1's.
        """
        for strategy, took_s, align_s in trials:
            self._num_started += 1
            self._count(strategy, took_s, align_s)

    def spent_on_stage_1(self, gpu_s: float) -> None:
        """Count GPU-seconds that went into stage 1 before any trial."""
        self._stage_1_gpu_s += gpu_s

    def _count(self, strategy: str, took_s: float, align_s: float) -> None:
        self._spent_s[strategy] = self._spent_s.get(strategy, 0.0) + took_s
        self._durations_s.setdefault(strategy, []).append(took_s - align_s)

    def refusal(self, trial_id: str, strategy: str) -> str:
        """Why the trial must not start; if empty, the trial counts as started."""
        if trial_id in self._running:  # restarted because its process died
            return ""
        reason = self._breaks(strategy)
        if not reason:
            self._num_started += 1
            self._running[trial_id] = (strategy, self.clock_s())
        return reason

    def ended(self, trial_id: str, align_s: float = 0.0) -> float:
        """Record that a trial has ended; returns how long it took, in seconds.

        Args:
            trial_id: The trial.
            align_s: Of this, seconds in which it trained stage 1 or waited for it.
        """
        strategy, since_s = self._running.pop(trial_id)
        took_s = self.clock_s() - since_s
        self._count(strategy, took_s, align_s)
        return took_s

    def _expected_s(self, strategy: str) -> float:
        all_s = [took_s for durations in self._durations_s.values() for took_s in durations]
        return max(self._durations_s.get(strategy) or all_s or [0.0])

    def _breaks(self, strategy: str) -> str:
        limits, now_s = self.limits, self.clock_s()
        expected_s = self._expected_s(strategy)
        if limits.trials is not None and self._num_started + 1 > limits.trials:
            return f"budget.trials is {limits.trials}"
        if limits.wall_clock_h is not None:
            end_h = (now_s - self._began_s + expected_s) / HOUR_S
            if end_h > limits.wall_clock_h:
                return (
                    f"the trial would end after {end_h:.2g} h, but budget.wall_clock_h is "
                    f"{limits.wall_clock_h:g}"
                )
        if limits.gpu_hours is not None:
            total_h = self._gpu_s(now_s, strategy) / HOUR_S
            if total_h > limits.gpu_hours:
                return (
                    f"the total would be {total_h:.3g} GPU-hours, but budget.gpu_hours is "
                    f"{limits.gpu_hours:g}"
                )
        return ""

    def _gpu_s(self, now_s: float, strategy: str) -> float:
        """GPU-seconds of stage 1 and ended trials, of those running at their end, and one more."""
        ended = sum(took_s * self.gpus_of[name] for name, took_s in self._spent_s.items())
        running = sum(
            max(self._expected_s(name), now_s - since_s) * self.gpus_of[name]
            for name, since_s in self._running.values()
        )
        ended += self._stage_1_gpu_s
        return ended + running + self._expected_s(strategy) * self.gpus_of[strategy]


def start_budget(limits: BudgetConfig, resources: ResourcesConfig, execution: "Execution") -> Any:
    """The budget as a Ray actor, which every trial can ask; None if the sweep has no limits.

    The actor lives on the driver's node, as long as the driver. What earlier drivers of the
    execution spent is counted.
    """
    if limits == BudgetConfig():
        return None
    import ray

    trials, results = all_trials(execution), execution.results()
    spent = [
        (trials[name].config.strategy.name, r.took_s, r.metrics.get(metric.ALIGN_S, 0.0))
        for name, r in results.items()
    ]
    gpus_of = {name: resources.gpus_per_trial * resources.workers_of(name) for name in STRATEGIES}
    actor = ray.remote(Budget).options(num_cpus=0, scheduling_strategy=beside_driver())
    budget = actor.remote(limits, gpus_of)
    ray.get(budget.spent_before.remote(spent))
    ray.get(budget.spent_on_stage_1.remote(stage_1_gpu_s(execution)))
    return budget
