"""The `lnt` command: parse, call, print. Torch and Ray are imported by what needs them."""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from cluster.errors import AuthenticationError, ClusterError
from lnt_core import __version__
from lnt_core.errors import AccessError, LntError
from sweeps.cli_arguments import (
    DEFAULT_TRACKING_URI,
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_NO_ACCESS,
    EXIT_REFUSED,
    name_argument,
    sweep_arguments,
    tracking_argument,
    tracking_uri,
)
from sweeps.cli_export import add_export_commands
from sweeps.cli_jobs import add_job_commands
from sweeps.cli_report import add_report_command
from sweeps.cli_trial import add_trial_commands
from sweeps.cli_watch import add_watch_command
from sweeps.settings import quiet_libraries, read_settings
from sweeps.storage.full_disk import DiskFullError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    args = _parser().parse_args(argv)
    quiet_libraries()
    try:
        code: int = args.command(args)
    except LntError as error:
        print(f"lnt: {error}", file=sys.stderr)
        if isinstance(error, DiskFullError):
            return EXIT_FAILED
        return EXIT_NO_ACCESS if isinstance(error, AccessError) else EXIT_REFUSED
    except ClusterError as error:
        print(f"lnt: {error}", file=sys.stderr)
        return EXIT_NO_ACCESS if isinstance(error, AuthenticationError) else EXIT_REFUSED
    except KeyboardInterrupt:
        print("lnt: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lnt", description="Hyperparameter search for tuning multi-modal LLMs."
    )
    parser.add_argument("--version", action="version", version=f"lnt {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=function)
        return sub

    plan = command("plan", _plan, "check a sweep and list its trials; start nothing")
    sweep_arguments(plan)
    plan.add_argument("--no-files", action="store_true", help="do not look for the files")
    plan.add_argument("--json", action="store_true", help="print one JSON object")
    run = command("run", _run, "run a sweep here, or on a running Ray")
    sweep_arguments(run)
    run.add_argument("--address", help="of a running Ray; left out, Ray is started here")
    run.add_argument("--resume", action="store_true", help="go on with the latest execution")
    run.add_argument(
        "--seeds",
        type=_num_seeds,
        default=1,
        metavar="N",
        help="run the two best points of each strategy with N seeds in all",
    )
    best = command("best", _best, "the winner of each strategy, from MLflow")
    name_argument(best)
    best.add_argument("--json", action="store_true", help="print one JSON object")
    add_export_commands(command)
    add_job_commands(command)
    add_report_command(command)
    add_watch_command(command)
    add_trial_commands(command)
    ui = command("ui", _ui, "the MLflow dashboard on the tracking store")
    ui.add_argument("--port", type=int, default=5000)
    tracking_argument(ui)
    return parser


def _num_seeds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"is {text!r}, but must be a whole number from 1 on")
    return int(text)


def _load(args: argparse.Namespace) -> Any:
    from sweeps.plan.load import load_sweep

    return load_sweep(args.sweep, tuple(args.overrides))


def _plan(args: argparse.Namespace) -> int:
    from rich.console import Console

    from sweeps.plan.checks import check_sweep
    from sweeps.plan.planned import plan
    from sweeps.plan_table import plan_json, print_plan

    sweep = _load(args)
    check_sweep(sweep, files=not args.no_files)
    with Console(stderr=True).status("Predicting from models without weights ..."):
        planned = plan(sweep, files=not args.no_files)
    if args.json:
        print(json.dumps(plan_json(sweep, planned)))
    else:
        print_plan(sweep, planned)
    return EXIT_DONE


def _run(args: argparse.Namespace) -> int:
    sweep = _load(args)  # before Ray is imported: a mistake is told at once

    from rich.console import Console

    from sweeps.driver.run import run_sweep
    from sweeps.tables import print_winners

    console = Console()
    outcome = run_sweep(
        sweep,
        read_settings(),
        console,
        address=args.address,
        resume=args.resume,
        num_seeds=args.seeds,
    )
    changed = [part for override in args.overrides for part in ("--set", override)]
    changed += ["--seeds", str(args.seeds)] if args.seeds > 1 else []
    again = shlex.join(["lnt", "run", args.sweep, *changed, "--resume"])
    if outcome.interrupted:
        console.print(f"Interrupted. Go on with: {again}", markup=False, soft_wrap=True)
        return EXIT_INTERRUPTED
    print_winners(console, outcome.sweep, outcome.compared)
    if outcome.notes:
        told = f"{len(outcome.notes)} trials were tried again (tag lnt.retried): {outcome.notes[0]}"
        console.print(told, highlight=False, markup=False, soft_wrap=True)
    if outcome.left_out:
        reasons = "; ".join(dict.fromkeys(outcome.left_out.values()))
        console.print(
            f"{len(outcome.left_out)} trials left out, for the budget ({reasons}): "
            f"{', '.join(outcome.left_out)}. Raise it and go on with: {again}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    console.print(f"Figure:    {outcome.execution.path / 'curve.png'}", soft_wrap=True)
    uri = (
        ""
        if sweep.tracking.uri == DEFAULT_TRACKING_URI
        else f" --tracking-uri {sweep.tracking.uri}"
    )
    console.print(f"Dashboard: lnt ui{uri}", highlight=False, soft_wrap=True)
    console.print(
        f"Export:    lnt export {sweep.name} -o out/{uri}", highlight=False, soft_wrap=True
    )
    if outcome.errors:
        console.print(
            f"{len(outcome.errors)} trials failed, the first with: {outcome.errors[0]}\n"
            f"(error.txt in their MLflow runs has the whole). Try them again with: {again}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        return EXIT_FAILED
    return EXIT_DONE


def _best(args: argparse.Namespace) -> int:
    from rich.console import Console

    from sweeps.best_json import as_json
    from sweeps.results.captions import captions_in_store
    from sweeps.results.comparison import compare_winners
    from sweeps.results.read import read_sweep
    from sweeps.tables import print_winners
    from sweeps.tracking.store import connect

    client = connect(tracking_uri(args))
    sweep = read_sweep(client, args.name)
    compared = compare_winners(sweep, captions_in_store(client))
    if args.json:
        print(json.dumps(as_json(sweep, compared)))
    else:
        print_winners(Console(), sweep, compared)
    return EXIT_DONE


def _ui(args: argparse.Namespace) -> int:
    uri = tracking_uri(args)
    if uri.startswith("http"):
        print(f"The dashboard is at {uri}")
        return EXIT_DONE
    from sweeps.tracking.store import connect

    connect(uri)
    print(f"MLflow at http://127.0.0.1:{args.port} (Ctrl-C ends it)", flush=True)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    command += ["--host", "127.0.0.1", "--port", str(args.port), "--workers", "1"]
    os.execv(sys.executable, command)  # in this one's place: what ends it ends the server


if __name__ == "__main__":
    sys.exit(main())
