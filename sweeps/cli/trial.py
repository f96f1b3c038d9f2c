"""`lnt trial`: stops and clones trials of a running sweep, through MLflow."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from lnt_core.errors import ConfigError, all_problems
from sweeps.cli.arguments import name_argument, tracking_uri
from sweeps.cli.exit_codes import EXIT_DONE, EXIT_FAILED
from sweeps.results import tags as tag
from sweeps.storage.execution import TrialStatus

if TYPE_CHECKING:
    from mlflow.entities import Run

    from sweeps.tracking.requests import Request


TIMEOUT_S = 120.0


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Add `lnt trial stop` and `lnt trial clone`."""
    kinds = parser.add_subparsers(required=True, metavar="stop|clone")
    stop = kinds.add_parser("stop", help="stop a trial; the next one takes its place")
    clone = kinds.add_parser("clone", help="run a copy of a trial with some values changed")
    for kind, function in ((stop, _stop), (clone, _clone)):
        kind.set_defaults(command=function)
        name_argument(kind)
        kind.add_argument(
            "trial", metavar="TRIAL", help="the trial's id or a prefix of it, run name or run id"
        )
    clone.add_argument(
        "changes",
        nargs="*",
        metavar="key=value",
        help="new value of learning_rate, train.KEY, or an option of the trial's strategy",
    )
    clone.add_argument(
        "--from-checkpoint", action="store_true", help="start from the trial's latest checkpoint"
    )
    for kind in (stop, clone):
        kind.add_argument(
            "--timeout-s",
            type=float,
            default=TIMEOUT_S,
            metavar="S",
            help="seconds to wait for the driver's answer (default: 120)",
        )


def find_trial(runs: "list[Run]", given: str) -> "Run":
    """The run of a trial, by its id or a prefix of it, its run name or its run id.

    Raises:
        ConfigError: No trial matches, or several do.
    """
    exact = [
        run
        for run in runs
        if given in (run.info.run_id, run.info.run_name, run.data.tags[tag.TRIAL_ID])
    ]
    found = exact or [run for run in runs if run.data.tags[tag.TRIAL_ID].startswith(given)]
    if len(found) == 1:
        return found[0]
    names = [f"{run.data.tags[tag.TRIAL_ID]} ({run.info.run_name})" for run in found or runs]
    listed = ", ".join(sorted(names)) or "none yet"
    if found:
        raise ConfigError(f"TRIAL is {given!r}, which matches several trials: {listed}")
    raise ConfigError(f"TRIAL is {given!r}, but the trials that have started are: {listed}")


def _trial(args: argparse.Namespace) -> "tuple[Any, Run, Run]":
    """The store's client, the parent run of the running sweep, and the trial's run."""
    from sweeps.results.read import read_runs
    from sweeps.tracking.store import connect

    client = connect(tracking_uri(args))
    parent, runs = read_runs(client, args.name)
    if parent.info.status != "RUNNING":
        raise ConfigError(
            f"the sweep {args.name!r} is {parent.info.status}, but must be running; resume it with "
            "`lnt run SWEEP --resume`"
        )
    return client, parent, find_trial(runs, args.trial)


def _stop(args: argparse.Namespace) -> int:
    from sweeps.tracking.requests import Request

    client, parent, run = _trial(args)
    status = run.data.tags[tag.STATUS]
    if status != TrialStatus.RUNNING:
        raise ConfigError(f"the trial {run.info.run_name!r} is {status}, but must be running")
    return _ask(args, client, parent, Request(kind="stop", trial=run.data.tags[tag.TRIAL_ID]))


def _clone(args: argparse.Namespace) -> int:
    from sweeps.driver.clones import change_problems, parse_changes, tunable_of
    from sweeps.tracking.requests import Request

    changes, problems = parse_changes(args.changes)
    client, parent, run = _trial(args)
    if changes or not problems:
        problems += change_problems(
            tunable_of(run.data.params),
            changes,
            from_checkpoint=args.from_checkpoint,
            scheduler=parent.data.params.get("search.scheduler", "none"),
        )
    if problems:
        raise all_problems(f"a clone of {run.info.run_name}", problems)
    request = Request(
        kind="clone",
        trial=run.data.tags[tag.TRIAL_ID],
        changes=changes,
        from_checkpoint=args.from_checkpoint,
    )
    return _ask(args, client, parent, request)


def _ask(args: argparse.Namespace, client: Any, parent: "Run", request: "Request") -> int:
    from sweeps.tracking.requests import ask

    answer = ask(client, parent.info.run_id, request, timeout_s=args.timeout_s)
    if answer is None:
        print(
            f"lnt: no answer within {args.timeout_s:g} s; the request is withdrawn. Is the sweep's "
            "driver running? `lnt watch` warns if it has stopped writing",
            file=sys.stderr,
        )
        return EXIT_FAILED
    if not answer.ok:
        raise ConfigError(answer.text)
    print(answer.text)
    return EXIT_DONE
