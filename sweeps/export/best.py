"""`best.yaml`: the complete config of a trial, with its score and provenance."""

from pathlib import Path

import yaml
from pydantic import Field, ValidationError

from lnt_core.config import TrialConfig
from lnt_core.errors import ConfigError, all_problems
from lnt_core.files import read_yaml
from lnt_core.frozen import Frozen
from lnt_core.paths import is_file, shown
from sweeps.resources import ResourcesConfig
from sweeps.results import tags as tag
from sweeps.results.selection import Sweep, Trial
from sweeps.storage.execution import RAN, Execution
from sweeps.storage.format import FORMAT, check_format
from sweeps.storage.trials import read_trial
from sweeps.tracking.provenance import UNKNOWN, read_versions
from sweeps.validation import load_yaml, validation_problems

BEST = "best.yaml"


class BestConfig(Frozen):
    """The content of `best.yaml`."""

    format: int
    """Format number, ``sweeps.storage.format.FORMAT``."""
    sweep: str
    run_id: str
    """The trial's MLflow run."""
    metric: str
    score: float
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of the libraries that the trial ran with."""
    git_commit: str = UNKNOWN
    data_sha256: str = UNKNOWN
    """Hash of the annotations, and of the images' names and sizes."""
    resources: ResourcesConfig
    """CPU threads and devices that the trial ran on; the same ones reproduce the score exactly."""
    trial: TrialConfig
    """The trial's config, including its seed."""


def best_config(
    sweep: Sweep,
    trial: Trial,
    config: TrialConfig,
    resources: ResourcesConfig,
    tags: dict[str, str],
) -> BestConfig:
    """The content of `best.yaml` for a trial that has a score.

    Args:
        sweep: The sweep of the trial.
        trial: The trial, with its score.
        config: The config that the trial ran with.
        resources: The resources that the trial ran on.
        tags: Tags of the trial's MLflow run.
    """
    assert trial.score is not None
    return BestConfig(
        format=FORMAT,
        sweep=sweep.name,
        run_id=trial.run_id,
        metric=sweep.metric,
        score=trial.score,
        versions=read_versions(tags),
        git_commit=tags.get(tag.GIT_COMMIT, UNKNOWN),
        data_sha256=tags.get(tag.DATA_SHA256, UNKNOWN),
        resources=resources,
        trial=config,
    )


def config_that_ran(execution: Execution, trial_id: str) -> TrialConfig:
    """A trial's config, with the micro-batch size and checkpointing that it finally ran with."""
    ran = execution.trial(trial_id) / RAN
    if ran.exists():
        return TrialConfig.model_validate(read_yaml(ran))
    return read_trial(execution, trial_id).config


def write_best(best: BestConfig, path: Path) -> None:
    """Write `best.yaml` to ``path``."""
    path.write_text(yaml.safe_dump(best.model_dump(mode="json"), sort_keys=False), encoding="utf-8")


def load_best(path: Path) -> BestConfig:
    """Read a `best.yaml`.

    Raises:
        ConfigError: The file is missing, invalid, or of another format.
    """
    if not is_file(path):
        raise ConfigError(f"there is no file {shown(path)}; `lnt export NAME -o DIR` writes one")
    content = load_yaml(path)
    check_format(content.get("format"), str(path))
    try:
        return BestConfig.model_validate(content)
    except ValidationError as error:
        raise all_problems(str(path), validation_problems(error, BestConfig)) from None
