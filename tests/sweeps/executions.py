"""Helpers that end trials of an execution, on disk and in MLflow, without training."""

from itertools import count
from pathlib import Path

from sweeps.config import SweepConfig
from sweeps.plan.trials import trials
from sweeps.storage.events import EVENTS, EventLog
from sweeps.storage.execution import Execution, Result
from sweeps.storage.trials import add_trial
from sweeps.tracking.provenance import provenance_tags
from sweeps.tracking.runs import TrialRun, flat
from sweeps.tracking.store import experiment_id
from sweeps.tracking.tracker import Tracker

_NUMBERS = count()


def tiny_sweep(folder: Path, uri: str, **changes) -> SweepConfig:
    """A sweep with two trials of `full` and a unique name, so that tests can share a store."""
    content = {
        "name": f"sweep-{next(_NUMBERS)}",
        "model": {"tiny": True},
        "search": {"strategy": ["full"], "learning_rate": [1e-3, 1e-4]},
        "tracking": {"uri": uri, "storage": str(folder)},
    }
    return SweepConfig.model_validate(content | changes)


def track(client, sweep: SweepConfig, execution: Execution) -> Tracker:
    """A tracker of an execution."""
    return Tracker(
        client,
        experiment_id(client, sweep.name),
        execution,
        tags=provenance_tags(sweep),
        params=flat(sweep.model_dump(mode="json", exclude={"name"}, exclude_none=True)),
        datasets=[],
    )


def trial_runs(sweep: SweepConfig) -> list[TrialRun]:
    """The sweep's trials as the tracker takes them."""
    return [
        TrialRun(
            trial.id,
            trial.name,
            trial.config,
            {"lnt.kind": "trial", "lnt.strategy": trial.config.strategy.name},
        )
        for trial in trials(sweep)
    ]


def log_losses(execution: Execution, run: TrialRun, losses: dict[int, float]) -> None:
    """Write training losses, by step, to a trial's event file."""
    log = EventLog(execution.trial(run.trial_id) / EVENTS)
    for step, loss in losses.items():
        log.write(step, {"train/loss": loss})
    log.close()


def end_trial(
    sweep: SweepConfig, execution: Execution, tracker: Tracker, score: float, *, index: int = 0
) -> TrialRun:
    """Finish one of the sweep's trials with a score and an empty file of weights."""
    add_trial(execution, trials(sweep)[index])
    run = trial_runs(sweep)[index]
    weights = execution.trial(run.trial_id) / "weights"
    weights.mkdir()
    (weights / "delta.safetensors").write_bytes(b"")
    log = EventLog(execution.trial(run.trial_id) / EVENTS)
    log.write(1, {"select/cider": score, "params/trainable": 7.0, "params/share": 0.5})
    log.close()
    result = Result("finished", 1, {"select/cider": score})
    execution.write_result(run.trial_id, result)
    tracker.ended(run, result)
    return run
