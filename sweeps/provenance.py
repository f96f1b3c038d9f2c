"""Where a result comes from: the tags that every run of a sweep carries."""

import subprocess
from pathlib import Path

import lnt_core
from lnt_core.identity import data_sha256
from sweeps.config import SweepConfig
from sweeps.selection import METRIC


def provenance_tags(sweep: SweepConfig) -> dict[str, str]:
    """Tags of the parent run and of every trial: which code, which data, which score."""
    select = sweep.trial_data.select
    on = f"{select.task} {select.split}" if select else "scenes val"
    return {
        "lnt.sweep": sweep.name,
        "lnt.version": lnt_core.__version__,
        "lnt.git_commit": _git_commit(),
        "lnt.data_sha256": data_sha256(sweep.trial_data),
        "lnt.metric": f"{METRIC} on {on}",
    }


def _git_commit() -> str:
    """Of the code that runs, if it runs from a checkout."""
    folder = Path(__file__).parent
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
