"""Where a result comes from: the tags that every run of a sweep carries."""

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
"""Whose versions a result depends on."""
UNKNOWN = "unknown"


def provenance_tags(sweep: SweepConfig) -> dict[str, str]:
    """Tags of the parent run and of every trial: which code, which data, which score."""
    select = sweep.trial_data.select
    on = f"{select.task} {select.split}" if select else "scenes val"
    return {
        tag.SWEEP: sweep.name,
        tag.VERSION: lnt_core.__version__,
        tag.VERSIONS: json.dumps(_versions()),
        tag.GIT_COMMIT: _git_commit(),
        tag.DATA_SHA256: data_sha256(sweep.trial_data),
        tag.METRIC: f"{metric.SELECT_CIDER} on {on}",
    }


def _git_commit() -> str:
    """Of the code that runs, if it runs from a checkout."""
    folder = Path(__file__).parent
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN
    return done.stdout.strip()


def _versions() -> dict[str, str]:
    """Of the libraries here; the environment of the workers is the driver's."""
    own = {"lnt": lnt_core.__version__, "python": sys.version.split()[0]}
    return own | {library: version(library) for library in LIBRARIES}


def read_versions(tags: Mapping[str, str]) -> dict[str, str]:
    """Of the libraries that a run was made with; those here if it does not say."""
    return dict(json.loads(tags[tag.VERSIONS])) if tag.VERSIONS in tags else _versions()
