"""Provenance of a result: the tags on every run of a sweep for its code, data and libraries."""

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import lnt_core
from lnt_core import metrics as metric
from lnt_core.identity import data_sha256
from sweeps.config import SweepConfig
from sweeps.results import tags as tag

LIBRARIES = ("torch", "transformers", "peft", "pycocoevalcap")
"""Libraries whose versions are recorded because a result depends on them."""
UNKNOWN = "unknown"


def provenance_tags(sweep: SweepConfig) -> dict[str, str]:
    """Tags of the parent run and of every trial: code, data, libraries, and the score's metric."""
    select = sweep.trial_data.select
    split = f"{select.task} {select.split}" if select else "scenes val"
    return {
        tag.SWEEP: sweep.name,
        tag.VERSION: lnt_core.__version__,
        tag.VERSIONS: json.dumps(_versions()),
        tag.GIT_COMMIT: _git_commit(),
        tag.DATA_SHA256: data_sha256(sweep.trial_data),
        tag.METRIC: f"{metric.SELECT_CIDER} on {split}",
    }


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
