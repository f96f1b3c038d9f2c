"""The trials of an execution on disk: each is written when it is planned, before it runs."""

import functools
import shutil
from pathlib import Path

import yaml

from lnt_core.config import TrialConfig
from sweeps.plan.trials import SweepTrial
from sweeps.storage.execution import TRIAL, Execution, read_json, write_json, write_text

ORIGIN = "origin.json"
"""Beside a trial's config: the varied values, and why the trial was added to the sweep."""


def add_trial(execution: Execution, trial: SweepTrial) -> None:
    """Write a planned trial, unless it has been written before."""
    folder = execution.trial(trial.id)
    if (folder / TRIAL).exists():
        return
    origin = {
        "values": trial.values,
        "added_by": trial.added_by,
        "cloned_from": trial.cloned_from,
        "request": trial.request,
    }
    write_json(folder / ORIGIN, origin)
    write_config(trial.config, folder / TRIAL)


def remove_trial(execution: Execution, trial_id: str) -> None:
    """Delete a planned trial that will not be run."""
    shutil.rmtree(execution.trial(trial_id))


def read_trial(execution: Execution, trial_id: str) -> SweepTrial:
    """Read the trial with this id; works on any node that sees the execution's folder."""
    return _read(execution.trial(trial_id))


def all_trials(execution: Execution) -> dict[str, SweepTrial]:
    """All trials by id, in the order in which they were planned."""
    found = [(path.stat().st_mtime_ns, path.parent) for path in execution.path.glob(_PATTERN)]
    return {folder.name: _read(folder) for _, folder in sorted(found)}


def write_config(config: TrialConfig, path: Path) -> None:
    """Write a trial's config as YAML, atomically."""
    write_text(path, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))


_PATTERN = f"trials/*/{TRIAL}"


@functools.lru_cache(maxsize=10_000)
def _read(folder: Path) -> SweepTrial:
    """Cached: a trial's id is a hash of its content, so a trial never changes."""
    origin = read_json(folder / ORIGIN)
    content = yaml.safe_load((folder / TRIAL).read_text(encoding="utf-8"))
    values = tuple(
        (key, tuple(value) if isinstance(value, list) else value)
        for key, value in origin.pop("values")
    )
    return SweepTrial(TrialConfig.model_validate(content), values, **origin)
