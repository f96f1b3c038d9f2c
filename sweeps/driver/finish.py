"""The end of a sweep: registers the winners, logs figures and report, closes the parent run."""

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console

from lnt_core.analysis.figures import Analysis, draw_winners
from lnt_core.analysis.trial_analysis import ANALYSIS
from lnt_core.errors import LntError
from lnt_core.files import read_json
from lnt_core.trial import WEIGHTS
from sweeps.driver.report_runs import unreported
from sweeps.export.best import BEST, best_config, config_that_ran, write_best
from sweeps.export.mlflow_model import make_model
from sweeps.passwords import redacted
from sweeps.results.captions import captions_on_disk
from sweeps.results.comparison import Comparison, compare_winners
from sweeps.results.plots import draw_curve, draw_pareto
from sweeps.results.read import BEST_PREFIX, read_sweep
from sweeps.results.report.content import gather, in_a_line
from sweeps.results.report.write import lead, write_report
from sweeps.results.selection import Sweep
from sweeps.storage.execution import BASE, Execution, TrialStatus
from sweeps.tracking.dashboard import NOTE, parent_note
from sweeps.tracking.registry import entries
from sweeps.tracking.tracker import Tracker
from sweeps.worker.context import Context

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Outcome:
    """How a run of a sweep ended."""

    sweep: Sweep
    execution: Execution
    errors: tuple[str, ...]
    """The error of each failed trial, on one line."""
    notes: tuple[str, ...]
    """Notes on trials that were run again with a smaller micro-batch size."""
    left_out: dict[str, str]
    """Why the budget did not allow a trial to start, by the name of the trial."""
    not_logged: tuple[str, ...]
    """Why something is missing in MLflow although the server answered; each reason once."""
    unreported: tuple[str, ...]
    """Why winners or the base lack scores on the tasks that only they are scored on."""
    compared: dict[str, Comparison]
    """By strategy: the winner compared with other trials, image by image."""


def finish(
    context: Context,
    tracker: Tracker,
    client: "MlflowClient",
    console: Console,
    *,
    left_out: dict[str, str],
) -> Outcome:
    """Log figures, winners and report, close the parent run and return the outcome.

    Raises:
        LntError: MLflow no longer has the sweep.
    """
    execution = context.execution
    failed = [r for r in execution.results().values() if r.status == TrialStatus.FAILED]
    errors = tuple(in_a_line(result.error) for result in failed)
    sweep = _read(context, tracker)
    not_scored = tuple(unreported(context, sweep.trials))
    status = "FAILED" if errors or not_scored else "FINISHED"
    _draw(sweep, execution, tracker)
    if sweep.winners:
        _log_best(sweep, context, tracker, console)
    sweep_at_end = replace(sweep, status=status)
    tracker.later(lambda: _log_report(client, sweep_at_end, execution))
    tracker.close(
        status,
        waiting=lambda: console.print("Waiting for the tracking store; Ctrl-C stops waiting."),
    )
    notes = tuple(r.note for r in execution.results().values() if r.note)
    return Outcome(
        sweep,
        execution,
        errors,
        notes,
        left_out,
        tuple(tracker.refused),
        not_scored,
        compare_winners(sweep, captions_on_disk(execution)),
    )


def _draw(sweep: Sweep, execution: Execution, tracker: Tracker) -> None:
    """Draw the figures and log them to the parent run."""
    draw_curve(sweep, execution.path / "curve.png")
    figures = ["curve.png"]
    if sweep.winners:
        draw_pareto(sweep, execution.path / "pareto.png")
        figures.append("pareto.png")
    if analyses := _analyses(sweep, execution):
        draw_winners(analyses, execution.path / "layers.png")
        figures.append("layers.png")
    for figure in figures:
        tracker.parent_artifact(execution.path / figure)


def _read(context: Context, tracker: Tracker) -> Sweep:
    """The sweep as MLflow has it, once everything is sent."""
    name, parent_id = context.sweep.name, tracker.parent_id
    try:
        sweep = tracker.ask(lambda client: read_sweep(client, name, parent_id))
    except Exception as error:
        raise _lost(context, str(error).splitlines()[0][:200]) from error
    if tracker.gone:  # SQLite reads a file that was deleted for as long as it is open
        raise _lost(context, tracker.gone)
    return sweep


def _lost(context: Context, why: str) -> LntError:
    uri, path = redacted(context.sweep.tracking.uri), context.execution.path
    return LntError(
        f"{uri} no longer has the runs of this sweep ({why}); what was trained is kept in {path}, "
        "and --resume says how to log it anew"
    )


def _log_best(sweep: Sweep, context: Context, tracker: Tracker, console: Console) -> None:
    """Log each winner's weights, as a registered model if the sweep wants it, and `best.yaml`."""
    execution, registers = context.execution, context.sweep.tracking.register == "winners"
    with console.status("Logging the winners' weights ..."):
        for entry, winner in zip(entries(sweep), sweep.winners, strict=True):
            trial = winner.trial
            config = config_that_ran(execution, trial.trial_id)
            tags = tracker.ask(partial(_tags_of, run_id=trial.run_id))
            best = best_config(sweep, trial, config, context.sweep.resources, tags)
            if registers:
                make_model(execution.trial(trial.trial_id) / WEIGHTS, trial, best, context.cache)
            tracker.log_weights(trial.trial_id)
            if registers:
                tracker.register(entry)
            if trial == sweep.winners[0].trial:
                write_best(best, execution.path / BEST)
    tracker.parent_artifact(execution.path / BEST)
    score = sweep.winners[0].trial.score
    assert score is not None
    tracker.parent_metrics({BEST_PREFIX + sweep.objective.metric: score})


def _tags_of(client: "MlflowClient", run_id: str) -> dict[str, str]:
    return dict(client.get_run(run_id).data.tags)


def _log_report(client: "MlflowClient", sweep: Sweep, execution: Execution) -> None:
    """Write the report, as `lnt report` does, and log it to the parent run."""
    path = execution.path / "report.html"
    content = gather(client, sweep, captions_on_disk(execution))
    path.write_text(write_report(content, "html"), encoding="utf-8")
    client.log_artifact(sweep.run_id, str(path))
    experiment_id = client.get_run(sweep.run_id).info.experiment_id
    note = parent_note(experiment_id, sweep.run_id, sweep.name, lead=lead(content), report=True)
    client.set_tag(sweep.run_id, NOTE, note)


def _analyses(sweep: Sweep, execution: Execution) -> list[tuple[str, Analysis]]:
    """The analyses of the untuned base and of each winner, by name, the best winner first."""
    found = [("untuned base", execution.path / BASE / ANALYSIS)]
    for winner in sweep.winners:
        found.append((winner.trial.variant, execution.trial(winner.trial.trial_id) / ANALYSIS))
    return [(name, read_json(path)) for name, path in found if path.exists()]
