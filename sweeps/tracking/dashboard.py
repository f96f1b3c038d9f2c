"""Texts and settings for MLflow's web pages: descriptions of runs, and a view of the trials."""

import json
from urllib.parse import quote, urlencode

from lnt_core import metrics as metric
from sweeps.results import tags as tag

NOTE = "mlflow.note.content"
"""The tag that MLflow shows as a run's description."""
VIEW = "mlflow.sharedViewState."
"""Prefix of the experiment tags in which MLflow stores shared views."""
BEFORE = ("attributes.`Duration`", f"tags.`{tag.STRATEGY}`", "params.`learning_rate`")
AFTER = (
    f"metrics.`{metric.REPORT_CIDER}`",
    f"metrics.`{metric.PARAMS_TRAINABLE}`",
    f"metrics.`{metric.PEAK_GIB}`",
    f"metrics.`{metric.FINAL_LOSS}`",
    f"tags.`{tag.STATUS}`",
)
"""Columns of the table of trials, before and after the score that chooses."""


def view_key(parent_id: str) -> str:
    """The key under which the view of an execution's trials is stored."""
    return f"lnt-{parent_id[:8]}"


def trials_view(parent_id: str, chosen_by: metric.Objective) -> str:
    """A shared view as MLflow's JSON: the trials of an execution, best first."""
    columns = (*BEFORE, f"metrics.`{chosen_by.metric}`", *AFTER)
    return json.dumps(
        {
            "searchFilter": (
                f"tags.`mlflow.parentRunId` = '{parent_id}' and tags.`{tag.KIND}` = 'trial'"
            ),
            "orderByKey": f"metrics.`{chosen_by.metric}`",
            "orderByAsc": chosen_by.lower_is_better,
            "selectedColumns": columns,
            "columnOrder": columns,
            "runsHiddenMode": "FIRST_20_RUNS",
        }
    )


def parent_note(
    experiment_id: str, parent_id: str, sweep: str, *, lead: str = "", report: bool = False
) -> str:
    """Markdown description of a parent run, with links to its trials, which MLflow collapses.

    Args:
        experiment_id: The MLflow experiment of the sweep.
        parent_id: The parent run.
        sweep: The sweep's name.
        lead: Summary of the outcome; empty while the sweep runs.
        report: Whether the parent run has the artifact `report.html`.
    """
    runs = f"#/experiments/{experiment_id}/runs"
    query = {"viewStateShareKey": view_key(parent_id)}
    links = [
        f"[All trials, best first]({runs}?{urlencode(query, quote_via=quote)})",
        f"[Charts]({runs}?{urlencode(query | {'compareRunsMode': 'CHART'}, quote_via=quote)})",
    ]
    if report:
        links.insert(0, f"[Report]({runs}/{parent_id}/artifacts/report.html)")
    how = (
        "A sweep run by `lnt`. To run it again, download the artifact `sweep.yaml`: "
        f"`lnt run sweep.yaml`. To show the winners: `lnt best {sweep}`. To export the best one "
        f"with its weights: `lnt export {sweep} -o out/`."
    )
    return "\n\n".join(filter(None, (lead, " · ".join(links), how)))


def stage_1_note(rate: str, sweep: str, align_id: str) -> str:
    """Markdown description of the run of stage 1."""
    return (
        f"Stage 1 of the sweep `{sweep}`: the connector alone, at learning rate {rate}, for all "
        f"trials. It is kept as `align-{align_id}.pt` in the cache, and used by every sweep with "
        f"the same model, data and `align`; their runs have the tag `{tag.ALIGN_RUN}`."
    )


def trial_note(strategy: str, rate: str, sweep: str, trial_id: str) -> str:
    """Markdown description of a trial's run."""
    return (
        f"Strategy `{strategy}` at learning rate {rate}: trial {trial_id} of the sweep `{sweep}`. "
        "To run this trial alone, download the artifact `trial.yaml`: "
        "`python -m lnt_core.trial trial.yaml`."
    )
