"""The commands for jobs on a Ray cluster: submit, jobs, status, logs, stop."""

import argparse
import sys
import time
from typing import TYPE_CHECKING

from lnt_core.errors import ConfigError
from sweeps.cli.arguments import sweep_arguments
from sweeps.cli.exit_codes import EXIT_DONE
from sweeps.passwords import has_password, place_of_password, redacted
from sweeps.results import tags as tag
from sweeps.settings import environment_of, read_settings

if TYPE_CHECKING:
    from cluster.jobs import Job, Jobs


STOP_TIMEOUT_S = 660.0
"""Longer than the time that Ray gives a job to stop (``sweeps.cli.submit.GRACE``)."""
OPEN_ADVICE = (
    "the Ray cluster at {address} accepts jobs from anyone who can reach it; start it with "
    "RAY_AUTH_MODE=token (see cluster/README.md)"
)


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the arguments of `lnt submit`, `jobs`, `status`, `logs` or `stop`."""
    commands = {
        "submit": _submit,
        "jobs": _jobs,
        "status": _status,
        "logs": _logs,
        "stop": _stop,
    }
    if name == "submit":
        _submit_arguments(parser)
    elif name != "jobs":
        parser.add_argument("job", metavar="JOB", help="id of the job")
    if name == "logs":
        parser.add_argument("--follow", action="store_true", help="print until the job ends")
    _address(parser)
    parser.set_defaults(command=commands[name])


def _submit_arguments(parser: argparse.ArgumentParser) -> None:
    sweep_arguments(parser)
    parser.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME",
        help="pass this environment variable to the job (repeatable); anyone who can open the Ray "
        "dashboard can read it",
    )
    parser.add_argument(
        "--resume", action="store_true", help="resume the sweep's latest execution in its storage"
    )


def _address(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--address",
        default=read_settings().ray_address,
        metavar="URL",
        help="URL of the Ray dashboard, http://HEAD:8265 (default: RAY_API_SERVER_ADDRESS)",
    )


def _of(args: argparse.Namespace) -> "Jobs":
    from cluster.jobs import Jobs

    if not args.address:
        raise ConfigError(
            "no cluster is given: use --address http://HEAD:8265, or set RAY_API_SERVER_ADDRESS"
        )
    return Jobs(args.address, read_settings().ray_token)


def _submit(args: argparse.Namespace) -> int:
    from sweeps.cli.submit import check_job, submit_sweep

    environment = environment_of(args.env)
    for name, value in environment.items():
        if has_password(value):
            raise ConfigError(
                f"--env {name}: {redacted(value)!r} contains a password, which everyone who can "
                f"open the Ray dashboard could read; remove it and {place_of_password(value)}"
            )
    sweep = check_job(args.sweep, args.overrides)  # before the cluster is contacted
    jobs = _of(args)
    if jobs.is_open():
        print(f"Warning: {OPEN_ADVICE.format(address=args.address)}", file=sys.stderr)
    job = submit_sweep(
        sweep, args.sweep, args.overrides, jobs, environment=environment, resume=args.resume
    )
    print(job)
    print(f"Follow it with: lnt logs {job} --address {args.address} --follow", file=sys.stderr)
    return EXIT_DONE


def _jobs(args: argparse.Namespace) -> int:
    from rich.console import Console

    from sweeps.console import PlainTable

    table = PlainTable()
    for column in ("job", "sweep", "status", "submitted", "took"):
        table.add_column(column, no_wrap=column == "job")
    for job in _of(args).list():
        sweep = job.metadata.get(tag.SWEEP, "-")
        table.add_row(job.id, sweep, job.status, _when(job.submitted_at_s), _took(job))
    Console().print(table)
    return EXIT_DONE


def _status(args: argparse.Namespace) -> int:
    job = _of(args).status(args.job)
    print(f"{job.status}  {job.message}".rstrip())
    return EXIT_DONE


def _logs(args: argparse.Namespace) -> int:
    jobs = _of(args)
    for text in jobs.follow(args.job) if args.follow else [jobs.logs(args.job)]:
        print(text, end="", flush=True)
    return EXIT_DONE


def _stop(args: argparse.Namespace) -> int:
    print("Waiting for the trials to save checkpoints ...", file=sys.stderr)
    _of(args).stop(args.job, timeout_s=STOP_TIMEOUT_S)
    return _status(args)


def _when(at_s: float | None) -> str:
    return "-" if at_s is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_s))


def _took(job: "Job") -> str:
    if job.submitted_at_s is None:
        return "-"
    seconds = int((job.ended_at_s or time.time()) - job.submitted_at_s)
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
