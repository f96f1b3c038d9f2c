"""Captions that trials generated, read from MLflow or from an execution's folder."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.results.read import read_artifact
from sweeps.results.selection import Trial
from sweeps.storage.execution import Execution

if TYPE_CHECKING:
    from mlflow import MlflowClient


CAPTIONS = "captions_select.jsonl"
"""File of a trial's captions: one JSON object per image."""


@dataclass(frozen=True)
class Caption:
    """A caption and its CIDEr x 100."""

    text: str
    cider: float


Captions = Mapping[str, Caption]
"""Captions of one trial, by image name."""
CaptionsOf = Callable[[Trial], Captions | None]
"""Returns the captions of a trial, or None if they are not available."""


def read_captions(path: Path) -> Captions:
    """Read a file of captions."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["image"]: Caption(row["caption"], row["cider"]) for row in rows}


def captions_on_disk(execution: Execution) -> CaptionsOf:
    """Captions of trials in an execution's folder."""

    def of(trial: Trial) -> Captions | None:
        path = execution.trial(trial.trial_id) / CAPTIONS
        return read_captions(path) if path.exists() else None

    return of


def captions_in_store(client: "MlflowClient") -> CaptionsOf:
    """Captions of trials in MLflow's artifacts, each downloaded once."""
    known: dict[str, Captions | None] = {}

    def of(trial: Trial) -> Captions | None:
        if trial.run_id not in known:
            known[trial.run_id] = read_artifact(client, trial.run_id, CAPTIONS, read_captions)
        return known[trial.run_id]

    return of
