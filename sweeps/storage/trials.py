"""The trials of an execution on disk: each is written when it is planned, before it runs.

A trial that was added while the sweep ran is written nowhere else. So there are two copies of it.
"""

import functools
import shutil
import time
from pathlib import Path
from typing import Any

from lnt_core.config import TrialConfig
from lnt_core.errors import DamagedError
from lnt_core.files import read_json, write_json, write_yaml
from sweeps.plan.trials import SweepTrial
from sweeps.storage.execution import TRIAL, Execution

ORIGIN = "origin.json"
"""The whole trial: its config, the varied values, and when and why it was added to the sweep."""
COPY = "origin.copy.json"
"""The same once more, in case one of them is damaged."""


def add_trial(execution: Execution, trial: SweepTrial) -> None:
    """Write a planned trial, unless it has been written before."""
    folder = execution.trial(trial.id)
    if not (folder / TRIAL).exists():
        write_trial(folder, trial, planned_ns=time.time_ns())


def write_trial(folder: Path, trial: SweepTrial, *, planned_ns: int) -> None:
    """Write a trial to its folder; ``planned_ns``: Unix time at which it was planned."""
    content = {
        "planned_ns": planned_ns,
        "values": trial.values,
        "added_by": trial.added_by,
        "cloned_from": trial.cloned_from,
        "request": trial.request,
        "config": trial.config.model_dump(mode="json"),
    }
    for name in (ORIGIN, COPY):
        write_json(folder / name, content)
    write_config(trial.config, folder / TRIAL)  # last: the trial is there


def remove_trial(execution: Execution, trial_id: str) -> None:
    """Delete a planned trial that will not be run."""
    shutil.rmtree(execution.trial(trial_id))


def read_trial(execution: Execution, trial_id: str) -> SweepTrial:
    """Read the trial with this id; works on any node that sees the execution's folder.

    Raises:
        DamagedError: Both copies are damaged.
    """
    return _read(execution.trial(trial_id))[1]


def all_trials(execution: Execution) -> dict[str, SweepTrial]:
    """All trials by id, in the order in which they were planned."""
    folders = [path.parent for path in execution.path.glob(f"trials/*/{TRIAL}")]
    found = {folder.name: _read(folder) for folder in folders}
    return {name: found[name][1] for name in sorted(found, key=lambda name: (found[name][0], name))}


def write_config(config: TrialConfig, path: Path) -> None:
    """Write a trial's config as YAML, atomically."""
    write_yaml(path, config.model_dump(mode="json"))


@functools.lru_cache(maxsize=10_000)
def _read(folder: Path) -> tuple[int, SweepTrial]:
    """When a trial was planned, and the trial.

    Cached: a trial's id is a hash of its content, so a trial never changes.
    """
    try:
        return read_copy(folder / ORIGIN)
    except DamagedError:
        return read_copy(folder / COPY)


def read_copy(path: Path) -> tuple[int, SweepTrial]:
    """When a trial was planned, and the trial, from one of its two copies.

    Raises:
        DamagedError: This copy is damaged.
    """
    content: dict[str, Any] = read_json(path)
    planned_ns, config = content.pop("planned_ns"), content.pop("config")
    values = tuple(
        (key, tuple(value) if isinstance(value, list) else value)
        for key, value in content.pop("values")
    )
    return planned_ns, SweepTrial(TrialConfig.model_validate(config), values, **content)
