"""`lnt run`: runs a sweep and prints its winners."""

import argparse
import shlex

from rich.console import Console

from sweeps.cli.arguments import DEFAULT_TRACKING_URI, load, sweep_arguments
from sweeps.cli.best import print_winners
from sweeps.cli.exit_codes import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED
from sweeps.plan.labels import counted
from sweeps.settings import read_settings


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the arguments of `lnt run`."""
    sweep_arguments(parser)
    parser.add_argument(
        "--address", help="address of a running Ray cluster (default: start Ray on this machine)"
    )
    parser.add_argument("--resume", action="store_true", help="resume the latest execution")
    parser.add_argument(
        "--seeds",
        type=_num_seeds,
        default=1,
        metavar="N",
        help="run the two best points of each strategy with N seeds, the sweep's own included",
    )
    parser.set_defaults(command=_run)


def _run(args: argparse.Namespace) -> int:
    sweep = load(args)  # before Ray is imported, so that a mistake is reported at once

    from sweeps.driver.run import run_sweep

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
        console.print(f"Interrupted. Resume with: {again}", markup=False, soft_wrap=True)
        return EXIT_INTERRUPTED
    print_winners(console, outcome.sweep, outcome.compared)
    if outcome.notes:
        console.print(
            f"{counted(len(outcome.notes), 'trial')} retried with a smaller micro-batch (tag "
            f"lnt.retried); first note: {outcome.notes[0]}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    if outcome.left_out:
        reasons = "; ".join(dict.fromkeys(outcome.left_out.values()))
        console.print(
            f"{counted(len(outcome.left_out), 'trial')} left out because of the budget "
            f"({reasons}): {', '.join(outcome.left_out)}. Raise it and resume with: {again}",
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
            f"{counted(len(outcome.errors), 'trial')} failed; first error: {outcome.errors[0]}\n"
            f"The full error is error.txt in the trial's MLflow run. Retry with: {again}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        return EXIT_FAILED
    return EXIT_DONE


def _num_seeds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"is {text!r}, but must be a whole number of at least 1")
    return int(text)
