"""Logs an evaluation without a sweep to MLflow: a run of its own, once."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from lnt_core.evaluation.scoring import SUMMARY, files_in
from lnt_core.files import read_json, write_json
from sweeps.results import tags as tag
from sweeps.tracking.store import experiment_id

if TYPE_CHECKING:
    from mlflow import MlflowClient

TRACKED = "tracked.json"
"""In the folder of an evaluation: its run."""


def log_evaluation(
    client: "MlflowClient", experiment: str, name: str, scores: dict[str, float], out: Path
) -> str:
    """Log scores and answers; a repeated call goes on with the same run.

    Args:
        client: The tracking store's client.
        experiment: Name of the experiment: that of the sweep.
        name: Name of the run.
        scores: By their metrics.
        out: Folder of the evaluation.

    Returns:
        The run's id.
    """
    from mlflow.entities import Metric, Param

    try:
        run_id = str(read_json(out / TRACKED)["run_id"])
    except FileNotFoundError:
        tags = {tag.KIND: "eval"}
        where = experiment_id(client, experiment)
        run_id = str(client.create_run(where, run_name=f"eval {name}", tags=tags).info.run_id)
        write_json(out / TRACKED, {"run_id": run_id})
    time_ms = (out / SUMMARY).stat().st_mtime_ns // 10**6  # the same if it is sent again
    metrics = [Metric(key, value, time_ms, 0) for key, value in scores.items()]
    client.log_batch(run_id, metrics=metrics, params=[Param("model", name)])
    for path in files_in(out):
        client.log_artifact(run_id, str(path))
    client.set_terminated(run_id, "FINISHED", end_time=int(time.time() * 1000))
    return run_id
