"""Winners and the untuned base in the plan: scored on `data.report` once all trials have ended."""

from dataclasses import dataclass

from lnt_core.evaluation.tasks import make_task
from sweeps.config import SweepConfig
from sweeps.plan.cost import gpu_hours
from sweeps.plan.costs import Costs
from sweeps.plan.space import strategies


@dataclass(frozen=True)
class PlannedReports:
    """What is scored after the trials, with its predicted cost."""

    tasks: tuple[str, ...]
    num_winners: int
    """One for each strategy; the untuned base comes on top."""
    num_questions: int | None
    """Of all tasks, for each of them; None for drawn scenes, or where no file may be read."""
    pflop: float | None
    """10^15 floating-point operations in all, if every answer has its full length."""
    gpu_hours: float | None
    """At `resources.mfu` of `resources.gpu_peak_tflops`; None if that or the questions are not
    known."""

    def line(self) -> str:
        """The sentence for people."""
        winners = "the winner" if self.num_winners == 1 else f"{self.num_winners} winners"
        told = f"Then {winners} and the untuned base are scored on {', '.join(self.tasks)}"
        if self.num_questions is not None:
            told += f", {self.num_questions:,} questions each"
        if self.gpu_hours is not None:
            told += f", in {self.gpu_hours:,.4g} GPU-hours if every answer has its full length"
        return f"{told}."


def planned_reports(sweep: SweepConfig, costs: Costs, *, files: bool) -> PlannedReports | None:
    """What is scored after the trials; None if nothing is.

    Args:
        sweep: The sweep.
        costs: Predicts its costs.
        files: Whether the files of tasks may be read.
    """
    data = sweep.trial_data
    names = data.names_for_winners
    if not names:
        return None
    num_winners = len({strategy.name for strategy in strategies(sweep)})
    if data.scenes is not None or not files:
        return PlannedReports(names, num_winners, None, None, None)
    asked = [
        (options, len(make_task(options).questions))
        for options in data.report
        if options.for_winners
    ]
    each = sum(costs.answering_flops(sweep, options, number) for options, number in asked)
    flops = each * (num_winners + 1)
    return PlannedReports(
        names,
        num_winners,
        sum(number for _, number in asked),
        flops / 1e15,
        gpu_hours(sweep, flops),
    )
