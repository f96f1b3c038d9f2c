"""Provenance of a result: the tags on every run of a sweep for its code, data and libraries."""

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import lnt_core
from lnt_core.config import DataConfig
from lnt_core.evaluation.tasks import objective_of
from lnt_core.identity import data_sha256
from sweeps.config import SweepConfig
from sweeps.results import tags as tag

LIBRARIES = ("torch", "transformers", "peft", "pycocoevalcap")
"""Libraries whose versions are recorded because a result depends on them."""
UNKNOWN = "unknown"


def provenance_tags(sweep: SweepConfig) -> dict[str, str]:
    """Tags of the parent run and of every trial: code, data, libraries, and the score's metric."""
    return {
        tag.SWEEP: sweep.name,
        tag.VERSION: lnt_core.__version__,
        tag.VERSIONS: json.dumps(_versions()),
        tag.GIT_COMMIT: _git_commit(),
        tag.DATA_SHA256: data_sha256(sweep.trial_data),
        tag.METRIC: f"{objective_of(sweep.trial_data).metric} on {_chosen_on(sweep.trial_data)}",
    }


def _chosen_on(data: DataConfig) -> str:
    """The data that chooses: ``flickr30k val``, ``pope``."""
    select = data.select
    if select is None:
        return "scenes val"
    split = getattr(select, "split", None)
    return f"{select.task} {split}" if split else select.task


def _git_commit() -> str:
    """The commit of the running code; ``UNKNOWN`` outside a git checkout."""
    folder = Path(__file__).parent
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN
    return done.stdout.strip()


def _versions() -> dict[str, str]:
    """Versions in the environment of this process, which is also that of the workers."""
    own = {"lnt": lnt_core.__version__, "python": sys.version.split()[0]}
    return own | {library: version(library) for library in LIBRARIES}


def read_versions(tags: Mapping[str, str]) -> dict[str, str]:
    """The versions in a run's tags; the versions in this environment if the tag is missing."""
    return dict(json.loads(tags[tag.VERSIONS])) if tag.VERSIONS in tags else _versions()
