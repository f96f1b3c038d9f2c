"""A sweep as a Ray Job: what is shipped, and what must already be where the cluster sees it."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cluster.jobs import Jobs
from lnt_core.errors import all_problems
from sweeps.config import SweepConfig
from sweeps.plan.checks import check_sweep
from sweeps.plan.load import load_sweep, local_paths, sweep_path
from sweeps.results import tags as tag
from sweeps.validation import load_yaml

PACKAGES = ("lnt_core", "sweeps", "cluster")
"""Ours, shipped with every job, so that the cluster runs this version of them."""
SWEEP_FILE = "sweep.yaml"
GRACE = {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": "600"}
"""How Ray stops our job: as Ctrl-C does, with time to keep what is trained."""
SERVERS = ("http://", "https://", "postgresql", "mysql", "mssql")


def check_job(source: str, overrides: Sequence[str]) -> SweepConfig:
    """The sweep of a file or preset, if it can run as a job.

    Raises:
        ConfigError: It is wrong, or names what only this machine has.
    """
    sweep = load_sweep(source, tuple(overrides))
    problems = job_problems(sweep, load_yaml(sweep_path(source)))
    if problems:
        raise all_problems(source, problems)
    check_sweep(sweep, files=False)
    return sweep


def submit_sweep(
    sweep: SweepConfig,
    source: str,
    overrides: Sequence[str],
    jobs: Jobs,
    *,
    environment: dict[str, str],
    resume: bool = False,
) -> str:
    """Submit a checked sweep; returns the job's id.

    Args:
        sweep: Of :func:`check_job`.
        source: The file or preset that is shipped.
        overrides: ``key.path=value``, applied to it on the cluster.
        jobs: Of the cluster.
        environment: Set in the job; whoever may read the dashboard can read it.
        resume: Go on with the latest execution of this sweep in its storage.

    Raises:
        ClusterError: The cluster does not take it.
    """
    given = [part for override in overrides for part in ("--set", override)]
    given += ["--resume"] if resume else []
    return jobs.submit(
        ["python", "-m", "sweeps.cli", "run", SWEEP_FILE, "--address", "auto", *given],
        files={SWEEP_FILE: sweep_path(source)},
        packages=[_folder(package) for package in PACKAGES],
        environment=GRACE | {"LNT_CACHE": f"{sweep.tracking.storage}/cache"} | environment,
        metadata={tag.SWEEP: sweep.name},
    )


def job_problems(sweep: SweepConfig, content: Any) -> list[str]:
    """What a job would not find: it runs on the cluster, in a folder of its own."""
    problems = [
        f"{key} is {value!r}, relative to your file; a job sees the cluster's files: give the "
        "absolute path that every node has"
        for key, value in local_paths(content)
        if not Path(value).is_absolute()
    ]
    uri, storage = sweep.tracking.uri, sweep.tracking.storage
    if not uri.startswith(SERVERS) and not uri.startswith("sqlite:////"):
        problems.append(
            f"tracking.uri is {uri!r}, a file of the job's own folder; name a server "
            "(http://HOST:5000), or an absolute path that every node sees (sqlite:////shared/...)"
        )
    if not Path(storage).is_absolute():
        problems.append(
            f"tracking.storage is {storage!r}, relative to the job's own folder; name an absolute "
            "path that every node sees"
        )
    return problems


def _folder(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations)))
