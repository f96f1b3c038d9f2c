"""Reads a sweep from MLflow alone, so that it works on any machine."""

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

from lnt_core import metrics as metric
from lnt_core.errors import ConfigError, bad_field
from sweeps.results import tags as tag
from sweeps.results.selection import Sweep, Trial, objective_named
from sweeps.storage.execution import TrialStatus
from sweeps.storage.format import check_format

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


BASE_PREFIX = "base/"
"""Prefix of the untuned base's metrics on the parent run."""
BEST_PREFIX = "best/"
"""Prefix of the best trial's metrics on the parent run."""
Read = TypeVar("Read")


def read_sweep(client: "MlflowClient", name: str, run_id: str | None = None) -> Sweep:
    """Read the latest execution of a sweep, or the one with the given parent run.

    Raises:
        ConfigError: The store has no such sweep, or one written in another format.
    """
    return sweep_of(name, *read_runs(client, name, run_id))


def read_runs(
    client: "MlflowClient", name: str, run_id: str | None = None
) -> tuple["Run", list["Run"]]:
    """The parent run of an execution, and the runs of its trials; see :func:`read_sweep`."""
    experiment = client.get_experiment_by_name(name)
    parents = (
        [client.get_run(run_id)]
        if run_id is not None
        else (
            client.search_runs(
                [experiment.experiment_id],
                f"tags.`{tag.KIND}` = 'sweep'",
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
    check_format(parent.data.tags.get(tag.FORMAT), f"the run {parent.info.run_id} of {name!r}")
    return parent, _children(client, experiment.experiment_id, parent.info.run_id)


def sweep_of(name: str, parent: "Run", runs: Iterable["Run"]) -> Sweep:
    """The sweep that a parent run and the runs of its trials describe."""
    chosen_by = parent.data.tags.get(tag.METRIC, metric.SELECT_CIDER)
    objective = objective_named(chosen_by)
    return Sweep(
        name=name,
        run_id=parent.info.run_id,
        status=parent.info.status,
        base_score=parent.data.metrics.get(BASE_PREFIX + objective.metric),
        base_reported=metric.reported(
            {
                name.removeprefix(BASE_PREFIX): value
                for name, value in parent.data.metrics.items()
                if name.startswith(BASE_PREFIX)
            }
        ),
        metric=chosen_by,
        trials=tuple(_trial(run, objective) for run in runs),
    )


def _no_sweeps(name: str) -> str:
    return (
        f"there is no sweep {name!r}, because the tracking store contains no sweeps; check "
        "--tracking-uri or MLFLOW_TRACKING_URI"
    )


def _children(client: "MlflowClient", experiment_id: str, parent_id: str) -> list["Run"]:
    runs: list[Run] = []
    token: str | None = None
    while True:
        page = client.search_runs(
            [experiment_id],
            f"tags.`mlflow.parentRunId` = '{parent_id}' and tags.`{tag.KIND}` = 'trial'",
            max_results=1000,
            page_token=token,
        )
        runs += page
        token = page.token
        if not token:
            return runs


def _trial(run: "Run", objective: metric.Objective) -> Trial:
    metrics, tags = run.data.metrics, run.data.tags
    finished = tags[tag.STATUS] == TrialStatus.FINISHED
    return Trial(
        run_id=run.info.run_id,
        trial_id=tags[tag.TRIAL_ID],
        strategy=tags[tag.STRATEGY],
        learning_rate=float(run.data.params["learning_rate"]),
        status=TrialStatus(tags[tag.STATUS]),
        score=metrics.get(objective.metric) if finished else None,
        report_score=metrics.get(metric.REPORT_CIDER) if finished else None,
        trainable_parameters=int(metrics.get(metric.PARAMS_TRAINABLE, 0)),
        trainable_share=metrics.get(metric.PARAMS_SHARE, math.nan),
        options=tags.get(tag.OPTIONS, ""),
        peak_memory_gib=metrics.get(metric.PEAK_GIB),
        trial_h=_hours(metrics),
        seed=int(tags.get(tag.SEED, 0)),
        is_repeat="train_seed" in run.data.params,
        objective=objective,
        reported=metric.reported(metrics) if finished else {},
    )


def _hours(metrics: Mapping[str, float]) -> float | None:
    parts = [metrics.get(part) for part in (metric.TRAIN_S, metric.EVALUATE_S)]
    known = [seconds for seconds in parts if seconds is not None]
    return sum(known) / 3600 if len(known) == len(parts) else None


def read_artifact(
    client: "MlflowClient", run_id: str, name: str, read: Callable[[Path], Read]
) -> Read | None:
    """Download an artifact and parse it with ``read``; None if it does not exist."""
    from mlflow.exceptions import MlflowException

    with TemporaryDirectory() as folder:
        try:
            return read(Path(client.download_artifacts(run_id, name, folder)))
        except (MlflowException, OSError):  # written by an older version, or deleted
            return None
