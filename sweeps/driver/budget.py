"""What a sweep may spend: no trial starts that would break it."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lnt_core.strategies import STRATEGIES
from sweeps.config import BudgetConfig
from sweeps.resources import ResourcesConfig
from sweeps.storage.trials import all_trials

if TYPE_CHECKING:
    from sweeps.storage.execution import Execution


HOUR_S = 3600.0


@dataclass
class Budget:
    """Asked by every trial before it begins; one object for all workers of an execution.

    How long a trial will take is not known before; it is taken to be the longest yet of its
    strategy, else the longest of all, else nothing, so that the first may start.
    """

    limits: BudgetConfig
    gpus_of: dict[str, float]
    """GPUs that a trial takes, all its workers together, by strategy."""
    clock_s: Callable[[], float] = time.monotonic
    _durations_s: dict[str, list[float]] = field(default_factory=dict)
    _running: dict[str, tuple[str, float]] = field(default_factory=dict)
    _num_started: int = 0
    _began_s: float = 0.0

    def __post_init__(self) -> None:
        self._began_s = self.clock_s()

    def spent_before(self, trials: Iterable[tuple[str, float]]) -> None:
        """Take in the (strategy, seconds) of trials that an earlier driver ended."""
        for strategy, took_s in trials:
            self._num_started += 1
            self._durations_s.setdefault(strategy, []).append(took_s)

    def refusal(self, trial_id: str, strategy: str) -> str:
        """Why the trial must not start, or empty: then it counts as started."""
        if trial_id in self._running:  # its process died and it is tried again
            return ""
        reason = self._breaks(strategy)
        if not reason:
            self._num_started += 1
            self._running[trial_id] = (strategy, self.clock_s())
        return reason

    def ended(self, trial_id: str) -> float:
        """The trial is over; returns the seconds it took."""
        strategy, since_s = self._running.pop(trial_id)
        took_s = self.clock_s() - since_s
        self._durations_s.setdefault(strategy, []).append(took_s)
        return took_s

    def _expected_s(self, strategy: str) -> float:
        everyone = [took_s for durations in self._durations_s.values() for took_s in durations]
        return max(self._durations_s.get(strategy) or everyone or [0.0])

    def _breaks(self, strategy: str) -> str:
        limits, now_s = self.limits, self.clock_s()
        expected_s = self._expected_s(strategy)
        if limits.trials is not None and self._num_started + 1 > limits.trials:
            return f"budget.trials is {limits.trials}"
        if limits.wall_clock_h is not None:
            end_h = (now_s - self._began_s + expected_s) / HOUR_S
            if end_h > limits.wall_clock_h:
                return f"it would end after {end_h:.2g} h, and budget.wall_clock_h is " + (
                    f"{limits.wall_clock_h:g}"
                )
        if limits.gpu_hours is not None:
            total_h = self._gpu_s(now_s, strategy) / HOUR_S
            if total_h > limits.gpu_hours:
                return f"all would take {total_h:.3g} GPU-hours, and budget.gpu_hours is " + (
                    f"{limits.gpu_hours:g}"
                )
        return ""

    def _gpu_s(self, now_s: float, strategy: str) -> float:
        """Of what has ended, of what runs when it ends, and of one more of ``strategy``."""
        ended = sum(sum(took_s) * self.gpus_of[name] for name, took_s in self._durations_s.items())
        running = sum(
            max(self._expected_s(name), now_s - since_s) * self.gpus_of[name]
            for name, since_s in self._running.values()
        )
        return ended + running + self._expected_s(strategy) * self.gpus_of[strategy]


def start_budget(limits: BudgetConfig, resources: ResourcesConfig, execution: "Execution") -> Any:
    """The budget as a Ray actor that every worker can ask; None if there are no limits.

    It lives as long as the driver; a resumed one is told what the earlier spent.
    """
    if limits == BudgetConfig():
        return None
    import ray

    trials, results = all_trials(execution), execution.results()
    spent = [(trials[name].config.strategy.name, r.took_s) for name, r in results.items()]
    gpus_of = {name: resources.gpus_per_trial * resources.workers_of(name) for name in STRATEGIES}
    actor = ray.remote(Budget).options(num_cpus=0).remote(limits, gpus_of)
    ray.get(actor.spent_before.remote(spent))
    return actor
