"""`best.yaml`: a whole trial with where it comes from."""

from pathlib import Path

import yaml
from pydantic import Field, ValidationError

from lnt_core.config import TrialConfig
from lnt_core.errors import ConfigError, all_problems
from lnt_core.frozen import Frozen
from sweeps.resources import ResourcesConfig
from sweeps.results import tags as tag
from sweeps.results.selection import Sweep, Trial
from sweeps.storage.execution import RAN, TRIAL, Execution
from sweeps.storage.format import FORMAT, check_format
from sweeps.tracking.provenance import UNKNOWN, read_versions
from sweeps.validation import load_yaml, validation_problems

BEST = "best.yaml"


class BestConfig(Frozen):
    """The content of the file."""

    format: int
    """Number of the format, ``sweeps.storage.format.FORMAT``."""
    sweep: str
    run_id: str
    """MLflow's."""
    metric: str
    score: float
    versions: dict[str, str] = Field(default_factory=dict)
    """Of the libraries it ran with."""
    git_commit: str = UNKNOWN
    data_sha256: str = UNKNOWN
    """Of annotations, and of the images' names and sizes."""
    resources: ResourcesConfig
    """The threads and device it ran on; the same give the same score to the last digit."""
    trial: TrialConfig
    """With its seed."""


def best_config(
    sweep: Sweep,
    trial: Trial,
    config: TrialConfig,
    resources: ResourcesConfig,
    tags: dict[str, str],
) -> BestConfig:
    """Of a trial that has a score; ``tags`` are those of its run."""
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
    """A trial's config, with the micro batch that it ended with."""
    folder = execution.trial(trial_id)
    path = folder / (RAN if (folder / RAN).exists() else TRIAL)
    return TrialConfig.model_validate(load_yaml(path))


def write_best(best: BestConfig, path: Path) -> None:
    """Write the file."""
    path.write_text(yaml.safe_dump(best.model_dump(mode="json"), sort_keys=False), encoding="utf-8")


def load_best(path: Path) -> BestConfig:
    """Read the file.

    Raises:
        ConfigError: It is not there, or not such a file.
    """
    if not path.is_file():
        raise ConfigError(f"there is no file {path}; `lnt export NAME -o DIR` writes one")
    content = load_yaml(path)
    check_format(content.get("format"), str(path))
    try:
        return BestConfig.model_validate(content)
    except ValidationError as error:
        raise all_problems(str(path), validation_problems(error, BestConfig)) from None
