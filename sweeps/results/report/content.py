"""The content of a report, gathered from MLflow alone."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from lnt_core import metrics as metric
from sweeps.results.captions import CAPTIONS, Captions, CaptionsOf, read_captions
from sweeps.results.comparison import Comparison, compare_winners, image_scores
from sweeps.results.confidence import Interval, mean_interval
from sweeps.results.read import read_artifact
from sweeps.results.selection import Sweep, Trial
from sweeps.storage.execution import BASE, TrialStatus
from sweeps.storage.samples import SAMPLES, Sample, read_samples

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


MAX_POINTS = 60
"""Limit of points on a loss curve; neighboring points are averaged to stay below it."""
Losses = Sequence[tuple[float, float]]
"""Points of a loss curve: optimizer step, and loss in nats per answer token."""


@dataclass(frozen=True)
class Failure:
    """A trial that failed or diverged."""

    name: str
    status: str
    error: str
    """One line of the error; empty if there is none."""


@dataclass(frozen=True)
class Content:
    """The content of a report."""

    sweep: Sweep
    started: datetime.datetime
    gpus_per_trial: float
    tags: Mapping[str, str]
    """Tags of the parent run: versions, git commit, hash of the data."""
    compared: Mapping[str, Comparison]
    """By strategy: the comparison of its winner with other trials."""
    bands: Mapping[str, Interval]
    """By run id: confidence interval of the trial's mean score over images like these."""
    losses: Mapping[str, Losses]
    """By strategy: the loss curve of its winner."""
    samples: Sequence[Sample]
    captions: Sequence[tuple[str, Captions]]
    """Captions of the untuned base and of the two best winners, each with its name."""
    failures: Sequence[Failure]
    sweep_yaml: str


def gather(client: "MlflowClient", sweep: Sweep, captions_of: CaptionsOf) -> Content:
    """Read everything that a report of a sweep contains.

    Args:
        client: The tracking store's client.
        sweep: The sweep.
        captions_of: The captions of its trials.
    """
    parent = client.get_run(sweep.run_id)
    scored = {t.run_id: image_scores(captions_of, t) for t in sweep.trials if t.score is not None}
    unscored = [t for t in sweep.trials if t.status in (TrialStatus.FAILED, TrialStatus.DIVERGED)]
    return Content(
        sweep=sweep,
        started=datetime.datetime.fromtimestamp(parent.info.start_time / 1000, datetime.UTC),
        gpus_per_trial=float(parent.data.params.get("resources.gpus_per_trial", 0)),
        tags=parent.data.tags,
        compared=compare_winners(sweep, captions_of),
        bands={
            run_id: mean_interval(list(scores.values()))
            for run_id, scores in scored.items()
            if scores
        },
        losses={w.trial.strategy: _losses(client, w.trial) for w in sweep.winners},
        samples=read_artifact(client, sweep.run_id, f"{BASE}/{SAMPLES}", read_samples) or (),
        captions=_captions(client, sweep, captions_of),
        failures=[_failure(client, trial) for trial in unscored],
        sweep_yaml=read_artifact(client, sweep.run_id, "sweep.yaml", Path.read_text) or "",
    )


def _losses(client: "MlflowClient", trial: Trial) -> Losses:
    """The loss curve of a trial, with neighboring points averaged."""
    history = client.get_metric_history(trial.run_id, metric.LOSS)
    points = sorted((point.step, point.value) for point in history)
    size = -(-len(points) // MAX_POINTS) or 1
    groups = (points[start : start + size] for start in range(0, len(points), size))
    return [(fmean(x for x, _ in group), fmean(y for _, y in group)) for group in groups]


def _captions(
    client: "MlflowClient", sweep: Sweep, captions_of: CaptionsOf
) -> list[tuple[str, Captions]]:
    if sweep.objective.metric != metric.SELECT_CIDER:
        return []  # answers to questions are no captions of the samples
    base = read_artifact(client, sweep.run_id, f"{BASE}/{CAPTIONS}", read_captions)
    found = [("untuned base", base)]
    found += [(winner.trial.variant, captions_of(winner.trial)) for winner in sweep.winners[:2]]
    return [(name, captions) for name, captions in found if captions is not None]


def _failure(client: "MlflowClient", trial: Trial) -> Failure:
    run: Run = client.get_run(trial.run_id)
    error = read_artifact(client, trial.run_id, "error.txt", Path.read_text) or ""
    return Failure(run.info.run_name, trial.status, in_a_line(error))


def in_a_line(error: str) -> str:
    """The most informative line of an error: the last of a traceback, otherwise the first."""
    first, *rest = error.strip().splitlines() or [""]
    return rest[-1] if rest and "Traceback" in error else first
