"""Captions that trials generated, read from MLflow or from an execution's folder."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lnt_core import metrics as metric
from sweeps.results.read import read_artifact
from sweeps.results.selection import Trial
from sweeps.storage.execution import Execution

if TYPE_CHECKING:
    from mlflow import MlflowClient


CAPTIONS = "captions_select.jsonl"
"""File of a trial's captions: one JSON object per image."""
ANSWERS = "answers_select.jsonl"
"""File of a trial's answers, if it is not captions that choose: one JSON object per question."""


def file_of(trial: Trial) -> str:
    """The file of a trial's captions or answers."""
    return CAPTIONS if trial.objective.metric == metric.SELECT_CIDER else ANSWERS


@dataclass(frozen=True)
class Caption:
    """A caption or another answer, and its score."""

    text: str
    part: float
    """CIDEr x 100 of a caption; of another answer, what it adds to the trial's score, which is the
    mean of these."""


Captions = Mapping[str, Caption]
"""Captions of one trial by image name, or its other answers by the ids of their questions."""
CaptionsOf = Callable[[Trial], Captions | None]
"""Returns the captions of a trial, or None if they are not available."""


def read_captions(path: Path) -> Captions:
    """Read a file of captions."""
    # an answer may have other line breaks, which `splitlines` would split at
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    if rows and "cider" in rows[0]:
        return {row["image"]: Caption(row["caption"], row["cider"]) for row in rows}
    return {row["id"]: Caption(row.get("answer", ""), row["contribution"]) for row in rows}


def captions_on_disk(execution: Execution) -> CaptionsOf:
    """Captions of trials in an execution's folder."""

    def of(trial: Trial) -> Captions | None:
        path = execution.trial(trial.trial_id) / file_of(trial)
        return read_captions(path) if path.exists() else None

    return of


def captions_in_store(client: "MlflowClient") -> CaptionsOf:
    """Captions of trials in MLflow's artifacts, each downloaded once."""
    known: dict[str, Captions | None] = {}

    def of(trial: Trial) -> Captions | None:
        if trial.run_id not in known:
            known[trial.run_id] = read_artifact(client, trial.run_id, file_of(trial), read_captions)
        return known[trial.run_id]

    return of
