"""The end of a sweep: winners, their weights, the figure, and the parent run closed."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console

from lnt_core.analysis.trial_analysis import ANALYSIS
from sweeps.comparison import CAPTIONS, Comparison, ImageScores, compare_winners, read_scores
from sweeps.curve import draw_curve
from sweeps.execution import Execution, read_json
from sweeps.export import write_best
from sweeps.layers import Analysis, draw_winners
from sweeps.pareto_figure import draw_pareto
from sweeps.selection import Sweep, Trial, read_sweep
from sweeps.tracking import Tracker
from sweeps.trainable import Context

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Outcome:
    """How a run of a sweep ended."""

    sweep: Sweep
    execution: Execution
    interrupted: bool
    errors: tuple[str, ...]
    """Of each failed trial, the last line."""
    notes: tuple[str, ...]
    """Of trials that were tried again with half the micro batch."""
    left_out: dict[str, str]
    """Trials that the budget did not allow to start, and why."""
    compared: dict[str, Comparison]
    """By strategy: what the images cannot tell apart."""


def finish(
    context: Context,
    tracker: Tracker,
    client: "MlflowClient",
    console: Console,
    *,
    interrupted: bool,
    left_out: dict[str, str],
) -> Outcome:
    """Winners, their weights, the figure; then the parent run is closed."""
    execution = context.execution
    failed = [r for r in execution.results().values() if r.status == "failed"]
    errors = tuple(result.error.strip().rpartition("\n")[2] for result in failed)
    if interrupted:
        tracker.interrupted()
    tracker.flush()
    sweep = read_sweep(client, context.sweep.name, tracker.parent_id)
    if not interrupted:
        draw_curve(sweep, execution.path / "curve.png")
        tracker.parent_artifact(execution.path / "curve.png")
        if sweep.winners:
            draw_pareto(sweep, execution.path / "pareto.png")
            tracker.parent_artifact(execution.path / "pareto.png")
        if analyses := _analyses(sweep, execution):
            draw_winners(analyses, execution.path / "layers.png")
            tracker.parent_artifact(execution.path / "layers.png")
        for winner in sweep.winners:
            tracker.log_weights(winner.trial.trial_id)
        if sweep.winners:
            best = sweep.winners[0].trial
            write_best(
                execution, sweep, best, context.sweep.resources, execution.path / "best.yaml"
            )
            tracker.parent_artifact(execution.path / "best.yaml")
            assert best.score is not None
            tracker.parent_metrics({"best/select/cider": best.score})
    status = "KILLED" if interrupted else "FAILED" if errors else "FINISHED"
    tracker.close(
        status, waiting=lambda: console.print("Waiting for the tracking store; Ctrl-C leaves it.")
    )
    notes = tuple(r.note for r in execution.results().values() if r.note)
    return Outcome(
        sweep, execution, interrupted, errors, notes, left_out, _compared(sweep, execution)
    )


def _compared(sweep: Sweep, execution: Execution) -> dict[str, Comparison]:
    """From the captions on disk."""

    def scores_of(trial: Trial) -> ImageScores | None:
        path = execution.trial(trial.trial_id) / CAPTIONS
        return read_scores(path) if path.exists() else None

    return compare_winners(sweep, scores_of)


def _analyses(sweep: Sweep, execution: Execution) -> list[tuple[str, Analysis]]:
    """Of the untuned base and of each winner, the best first."""
    found = [("untuned base", execution.path / "base" / ANALYSIS)]
    for winner in sweep.winners:
        found.append((winner.trial.variant, execution.trial(winner.trial.trial_id) / ANALYSIS))
    return [(name, read_json(path)) for name, path in found if path.exists()]
