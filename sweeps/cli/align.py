"""`lnt align`: trains stage 1 of a sweep alone, for every sweep that shares it."""

import argparse

from rich.console import Console

from sweeps import signals
from sweeps.cli.arguments import load, sweep_arguments
from sweeps.cli.exit_codes import EXIT_DONE
from sweeps.console import say
from sweeps.plan.checks import check_sweep
from sweeps.settings import read_settings


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the arguments of `lnt align`."""
    sweep_arguments(parser)
    parser.set_defaults(command=_align)


def _align(args: argparse.Namespace) -> int:
    console = Console()
    sweep = load(args)
    for note in check_sweep(sweep):
        say(console, note)

    from sweeps.driver.stage_1 import align

    signals.advise(f"{signals.advice()} It goes on from its last checkpoint.".lstrip())
    for saved in align(sweep, read_settings(), console):
        say(console, f"Connector: {saved}")
    return EXIT_DONE
