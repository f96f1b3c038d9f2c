"""`lnt run`: runs a sweep and prints its winners."""

import argparse
import shlex
from typing import TYPE_CHECKING

from rich.console import Console

from sweeps import signals
from sweeps.cli.arguments import DEFAULT_TRACKING_URI, load, sweep_arguments
from sweeps.cli.best import print_winners
from sweeps.cli.exit_codes import EXIT_DONE, EXIT_FAILED
from sweeps.config import SweepConfig
from sweeps.console import say
from sweeps.passwords import redacted
from sweeps.plan.labels import counted
from sweeps.results import tags as tag
from sweeps.settings import read_settings

if TYPE_CHECKING:
    from sweeps.driver.finish import Outcome
MAX_SEEDS = 100


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
    resume = _command(args, resume=True)
    advice = f"Resume with: {redacted(resume)}"
    again = f"Nothing was started. Run again with: {redacted(_command(args, resume=False))}"
    signals.advise(advice if args.resume else again)
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
        begun=lambda: signals.advise(advice),
    )
    print_winners(console, outcome.sweep, outcome.compared)
    for line in _remarks(outcome, resume):
        say(console, line)
    for line in _what_next(outcome, sweep):
        say(console, line)
    for reason in outcome.not_logged:
        say(console, f"Not logged to MLflow: {reason}")
    if outcome.errors:
        say(
            console,
            f"{counted(len(outcome.errors), 'trial')} failed; first error: {outcome.errors[0]}\n"
            f"The full error is error.txt in the trial's MLflow run. Retry with: {resume}",
        )
    for reason in outcome.unreported:
        say(console, f"Not scored on data.report: {reason}. Retry with: {resume}")
    failed = outcome.errors or outcome.not_logged or outcome.unreported
    return EXIT_FAILED if failed else EXIT_DONE


def _command(args: argparse.Namespace, *, resume: bool) -> str:
    """The command that runs or resumes this sweep, on the same Ray cluster."""
    given = [part for override in args.overrides for part in ("--set", override)]
    given += ["--address", args.address] if args.address else []
    given += ["--seeds", str(args.seeds)] if args.seeds > 1 else []
    given += ["--resume"] if resume else []
    return shlex.join(["lnt", "run", args.sweep, *given])


def _remarks(outcome: "Outcome", resume: str) -> list[str]:
    """What happened besides: trials with a note, and those that the budget left out."""
    lines = []
    if outcome.notes:
        lines.append(
            f"{counted(len(outcome.notes), 'trial')} with a note (tag {tag.TRIAL_NOTE}); the "
            f"first: {outcome.notes[0]}"
        )
    if outcome.left_out:
        reasons = "; ".join(dict.fromkeys(outcome.left_out.values()))
        lines.append(
            f"{counted(len(outcome.left_out), 'trial')} left out because of the budget "
            f"({reasons}): {', '.join(outcome.left_out)}. Raise it and resume with: {resume}"
        )
    return lines


def _what_next(outcome: "Outcome", sweep: SweepConfig) -> list[str]:
    """Where the figure is, and the commands that show and export the outcome."""
    uri = sweep.tracking.uri
    where = "" if uri == DEFAULT_TRACKING_URI else f" --tracking-uri {uri}"
    lines = [f"Figure:    {outcome.execution.path / 'curve.png'}", f"Dashboard: lnt ui{where}"]
    if outcome.sweep.winners:
        lines.append(f"Export:    lnt export {sweep.name} -o out/{where}")
    return lines


def _num_seeds(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text[:9]) <= MAX_SEEDS:
        raise argparse.ArgumentTypeError(
            f"is {text!r}, but must be a whole number from 1 to {MAX_SEEDS}"
        )
    return int(text)
