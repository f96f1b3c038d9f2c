"""What makes MLflow's pages readable: notes on runs, and a table whose columns are chosen."""

import json
from urllib.parse import quote, urlencode

from lnt_core import metrics as metric
from sweeps.results import tags as tag

NOTE = "mlflow.note.content"
"""The tag that MLflow shows as a run's description."""
VIEW = "mlflow.sharedViewState."
"""Tags of an experiment in which MLflow keeps views that were shared by a link."""
COLUMNS = (
    "attributes.`Duration`",
    f"tags.`{tag.STRATEGY}`",
    "params.`learning_rate`",
    f"metrics.`{metric.SELECT_CIDER}`",
    f"metrics.`{metric.REPORT_CIDER}`",
    f"metrics.`{metric.PARAMS_TRAINABLE}`",
    f"metrics.`{metric.PEAK_GIB}`",
    f"metrics.`{metric.FINAL_LOSS}`",
    f"tags.`{tag.STATUS}`",
)
"""Of the table of trials, after the run's name."""


def view_key(parent_id: str) -> str:
    """Under which the view of an execution's trials is kept."""
    return f"lnt-{parent_id[:8]}"


def trials_view(parent_id: str) -> str:
    """The trials of an execution, the best first, as MLflow keeps a shared view: JSON."""
    return json.dumps(
        {
            "searchFilter": f"tags.`mlflow.parentRunId` = '{parent_id}'",
            "orderByKey": f"metrics.`{metric.SELECT_CIDER}`",
            "orderByAsc": False,
            "selectedColumns": COLUMNS,
            "columnOrder": COLUMNS,
            "runsHiddenMode": "FIRST_20_RUNS",
        }
    )


def parent_note(
    experiment_id: str, parent_id: str, sweep: str, *, lead: str = "", report: bool = False
) -> str:
    """Markdown on the page of a sweep: MLflow shows nested runs folded away.

    Args:
        experiment_id: Where its runs are.
        parent_id: Its parent run.
        sweep: Its name.
        lead: The outcome, once there is one.
        report: Whether the report lies there.
    """
    runs = f"#/experiments/{experiment_id}/runs"
    query = {"viewStateShareKey": view_key(parent_id)}
    links = [
        f"[All trials, the best first]({runs}?{urlencode(query, quote_via=quote)})",
        f"[in charts]({runs}?{urlencode(query | {'compareRunsMode': 'CHART'}, quote_via=quote)})",
    ]
    if report:
        links.insert(0, f"[Report]({runs}/{parent_id}/artifacts/report.html)")
    how = (
        f"A sweep of `lnt`. Again: `lnt run sweep.yaml` with the file among the artifacts; the "
        f"winners: `lnt best {sweep}`; with their weights: `lnt export {sweep} -o out/`."
    )
    return "\n\n".join(filter(None, (lead, " · ".join(links), how)))


def trial_note(strategy: str, rate: str, sweep: str, trial_id: str) -> str:
    """Markdown on the page of a trial."""
    return (
        f"Strategy `{strategy}` at learning rate {rate}: one trial of the sweep `{sweep}`. Again, "
        f"alone: `python -m lnt_core.trial trial.yaml` with the file among the artifacts "
        f"(trial {trial_id})."
    )
