"""Submits a sweep as a Ray job: checks that it can run on the cluster, and ships what it needs."""

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
"""This project's packages, shipped with every job so that the cluster runs the same version."""
SWEEP_FILE = "sweep.yaml"
GRACE = {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": "600"}
"""How Ray stops the job: with SIGINT, as Ctrl-C does, and with time to save checkpoints."""
SERVERS = ("http://", "https://", "postgresql", "mysql", "mssql")
"""Prefixes of tracking URIs that name a server."""


def check_job(source: str, overrides: Sequence[str]) -> SweepConfig:
    """Load the sweep of a file or preset, and check that it can run as a job.

    Raises:
        ConfigError: The sweep is invalid, or names files that only this machine has.
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
        sweep: The sweep, as returned by :func:`check_job`.
        source: The sweep file or preset to ship.
        overrides: ``key.path=value`` items, applied to the sweep on the cluster.
        jobs: Client of the cluster's job server.
        environment: Environment variables of the job; anyone who can open the Ray dashboard can
            read them.
        resume: Resume the latest execution of this sweep in its storage.

    Raises:
        ClusterError: The cluster refuses the job.
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
    """One line per path of a sweep that its job, in its own folder on the cluster, cannot find."""
    problems = [
        f"{key} is {value!r}, relative to the sweep file; a job runs on the cluster: give an "
        "absolute path that exists on every node"
        for key, value in local_paths(content)
        if not Path(value).is_absolute()
    ]
    uri, storage = sweep.tracking.uri, sweep.tracking.storage
    if not uri.startswith(SERVERS) and not uri.startswith("sqlite:////"):
        problems.append(
            f"tracking.uri is {uri!r}, a file in the job's own folder; give a server "
            "(http://HOST:5000), or an absolute path on storage that every node can access "
            "(sqlite:////shared/...)"
        )
    if not Path(storage).is_absolute():
        problems.append(
            f"tracking.storage is {storage!r}, relative to the job's own folder; give an absolute "
            "path on storage that every node can access"
        )
    return problems


def _folder(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations)))
