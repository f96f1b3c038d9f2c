"""Winners, read back from MLflow alone, so that it works from any machine."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lnt_core.errors import ConfigError, bad_field

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

METRIC = "select/cider"


@dataclass(frozen=True)
class Trial:
    """One trial of a sweep, as MLflow knows it."""

    run_id: str
    trial_id: str
    strategy: str
    learning_rate: float
    status: str
    score: float | None
    report_score: float | None
    """CIDEr x 100 on the split that never chooses."""
    trainable_parameters: int
    trainable_share: float
    options: str = ""
    """What tells it from other trials of its strategy but the rate: ``rank=8``."""
    peak_memory_gib: float | None = None
    """Of the GPU; without one, of the process."""
    trial_h: float | None = None
    """Hours of training and evaluation, without what a checkpoint had done before."""

    @property
    def variant(self) -> str:
        """Strategy and options."""
        return f"{self.strategy} {self.options}".strip()


@dataclass(frozen=True)
class Winner:
    """The best trial of a strategy."""

    trial: Trial
    at_edge: str
    """``lowest`` or ``highest`` if it is at an end of the rates tried, else empty."""


@dataclass(frozen=True)
class Sweep:
    """One execution of a sweep, as MLflow knows it."""

    name: str
    run_id: str
    status: str
    """MLflow's: RUNNING, FINISHED, FAILED or KILLED."""
    base_score: float | None
    metric: str
    """What was scored on what: ``select/cider on flickr30k test``."""
    trials: tuple[Trial, ...]

    @property
    def winners(self) -> list[Winner]:
        """The best trial of each strategy, the best first."""
        return winners(self.trials)


def winners(trials: Iterable[Trial]) -> list[Winner]:
    """The best finished trial of each strategy, best first.

    Equal scores go to fewer trainable parameters, then to the smaller rate.
    """
    by_strategy: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        by_strategy[trial.strategy].append(trial)
    found = [_winner(of_strategy) for of_strategy in by_strategy.values()]
    return sorted(filter(None, found), key=lambda winner: rank(winner.trial))


def edge_advice(found: Sequence[Winner]) -> list[str]:
    """What to do about winners at an end of the rates tried; a line an end."""
    advice = []
    for edge, beyond in (("highest", "larger"), ("lowest", "smaller")):
        names = [winner.trial.strategy for winner in found if winner.at_edge == edge]
        if names:
            advice.append(
                f"Best at the {edge} rate tried: {', '.join(names)}. The best may lie beyond: "
                f"extend search.learning_rate to {beyond} values."
            )
    return advice


def rank(trial: Trial) -> tuple[float, int, float]:
    """Smaller is better."""
    score = -math.inf if trial.score is None else trial.score
    return (-score, trial.trainable_parameters, trial.learning_rate)


def _winner(trials: list[Trial]) -> Winner | None:
    scored = [t for t in trials if t.score is not None and math.isfinite(t.score)]
    if not scored:
        return None
    best = min(scored, key=rank)
    rates = sorted({t.learning_rate for t in trials})
    edge = ""
    if len(rates) > 1 and best.learning_rate in (rates[0], rates[-1]):
        edge = "lowest" if best.learning_rate == rates[0] else "highest"
    return Winner(best, edge)


def read_sweep(client: "MlflowClient", name: str, run_id: str | None = None) -> Sweep:
    """The latest execution of the sweep of that name, or the one whose parent run is given.

    Raises:
        ConfigError: The store knows no such sweep.
    """
    experiment = client.get_experiment_by_name(name)
    parents = (
        [client.get_run(run_id)]
        if run_id is not None
        else (
            client.search_runs(
                [experiment.experiment_id],
                "tags.`lnt.kind` = 'sweep'",
                order_by=["attributes.start_time DESC"],
                max_results=1,
            )
            if experiment
            else []
        )
    )
    if experiment is None or not parents:
        known = [e.name for e in client.search_experiments() if e.name != "Default"]
        raise ConfigError(bad_field("NAME", name, allowed=known) if known else _no_sweeps(name))
    parent = parents[0]
    runs = _children(client, experiment.experiment_id, parent.info.run_id)
    return Sweep(
        name=name,
        run_id=parent.info.run_id,
        status=parent.info.status,
        base_score=parent.data.metrics.get("base/select/cider"),
        metric=parent.data.tags.get("lnt.metric", METRIC),
        trials=tuple(_trial(run) for run in runs),
    )


def _no_sweeps(name: str) -> str:
    return (
        f"there is no sweep {name!r} in this tracking store, nor any other; "
        "is --tracking-uri (or MLFLOW_TRACKING_URI) the one the sweep wrote to?"
    )


def _children(client: "MlflowClient", experiment_id: str, parent_id: str) -> list["Run"]:
    runs: list[Run] = []
    token: str | None = None
    while True:
        page = client.search_runs(
            [experiment_id],
            f"tags.`mlflow.parentRunId` = '{parent_id}' and tags.`lnt.kind` = 'trial'",
            max_results=1000,
            page_token=token,
        )
        runs += page
        token = page.token
        if not token:
            return runs


def _trial(run: "Run") -> Trial:
    metrics, tags = run.data.metrics, run.data.tags
    finished = tags["lnt.status"] == "finished"
    return Trial(
        run_id=run.info.run_id,
        trial_id=tags["lnt.trial_id"],
        strategy=tags["lnt.strategy"],
        learning_rate=float(run.data.params["learning_rate"]),
        status=tags["lnt.status"],
        score=metrics.get(METRIC) if finished else None,
        report_score=metrics.get("report/cider") if finished else None,
        trainable_parameters=int(metrics.get("params/trainable", 0)),
        trainable_share=metrics.get("params/share", math.nan),
        options=tags.get("lnt.options", ""),
        peak_memory_gib=metrics.get("memory/peak_gib"),
        trial_h=_hours(metrics),
    )


def _hours(metrics: Mapping[str, float]) -> float | None:
    parts = [metrics.get(f"time/{part}_s") for part in ("train", "evaluate")]
    known = [seconds for seconds in parts if seconds is not None]
    return sum(known) / 3600 if len(known) == len(parts) else None
