"""The `lnt` command: runs one command, and turns errors into messages and exit codes."""

import argparse
import atexit
import gc
import importlib
import shlex
import signal
import sys
from collections.abc import Sequence

from cluster.errors import AuthenticationError, ClusterError
from lnt_core import __version__
from lnt_core.errors import AccessError, LntError
from sweeps import signals
from sweeps.cli.exit_codes import EXIT_BY_SIGNAL, EXIT_FAILED, EXIT_NO_ACCESS, EXIT_REFUSED
from sweeps.passwords import redact_output, redacted
from sweeps.settings import quiet_libraries
from sweeps.storage.full_disk import DiskFullError, is_disk_full

COMMANDS = {
    "plan": ("sweeps.cli.plan", "check a sweep and list its trials and costs; start nothing"),
    "align": ("sweeps.cli.align", "train stage 1 of a sweep alone, on this machine"),
    "run": ("sweeps.cli.run", "run a sweep on this machine, or on a running Ray cluster"),
    "doctor": ("sweeps.cli.doctor", "check that every node has what a sweep needs; train nothing"),
    "best": ("sweeps.cli.best", "show the winner of each strategy"),
    "export": (
        "sweeps.cli.export",
        "write best.yaml, the tuned weights, a model card, and files for other trainers",
    ),
    "train": ("sweeps.cli.export", "train again from an exported best.yaml"),
    "caption": ("sweeps.cli.export", "caption images with exported weights"),
    "eval": ("sweeps.cli.eval", "score an export or a whole checkpoint on any tasks"),
    "submit": ("sweeps.cli.jobs", "run a sweep as a job on a Ray cluster"),
    "jobs": ("sweeps.cli.jobs", "list the jobs of a Ray cluster"),
    "status": ("sweeps.cli.jobs", "show the status of a job"),
    "logs": ("sweeps.cli.jobs", "show what a job printed"),
    "stop": ("sweeps.cli.jobs", "stop a job; the sweep can be resumed"),
    "report": (
        "sweeps.cli.report",
        "write a sweep's report: an HTML page, Markdown or a LaTeX table",
    ),
    "watch": ("sweeps.cli.watch", "follow a running sweep"),
    "trial": ("sweeps.cli.trial", "stop or clone a trial of a running sweep"),
    "ui": ("sweeps.cli.ui", "start the MLflow dashboard on the tracking store"),
}
"""Module and help text of each command. Only the module of the command that was typed is imported,
which keeps `lnt --help` fast. Its ``add_arguments(parser, name)`` adds the command's arguments and
sets ``command``, a function of the parsed arguments that returns the exit code."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    if argv is None:  # this process is the command's own
        signals.watch()
        atexit.register(_leave_memory_alone)  # first, and so called last
    given = sys.argv[1:] if argv is None else list(argv)
    signals.advise(f"Run again with: {redacted(shlex.join(['lnt', *given]))}")
    try:
        code = _run(given)
        signals.closing()
    except BaseException as error:
        signals.closing()
        # After a signal, whatever is raised is its consequence.
        number = signals.received()
        if number is None and isinstance(error, KeyboardInterrupt):
            number = signal.SIGINT
        if number is None or isinstance(error, SystemExit):
            raise
        print(f"lnt: interrupted by {number.name}. {signals.advice()}".rstrip(), file=sys.stderr)
        return EXIT_BY_SIGNAL[number]
    return code


def _run(argv: Sequence[str]) -> int:
    """Run one command, and turn errors meant for users into messages."""
    redact_output()
    quiet_libraries()  # before a command imports them
    args = _parser(argv).parse_args(argv)
    try:
        code: int = args.command(args)
    except (LntError, ClusterError) as error:
        if signals.received() is not None:
            raise
        print(f"lnt: {redacted(str(error))}", file=sys.stderr)
        return _exit_code(error)
    except Exception as error:
        if signals.received() is not None or not is_disk_full(error):
            raise
        told = f"{redacted(str(error))}: the disk is full. Free some space. {signals.advice()}"
        print(f"lnt: {told}".rstrip(), file=sys.stderr)
        return EXIT_FAILED
    return code


def _leave_memory_alone() -> None:
    """Spare the interpreter its last garbage collections, of memory that the system frees anyway.

    With torch, Ray and MLflow loaded they would take a second or two.
    """
    gc.disable()
    gc.freeze()


def _exit_code(error: LntError | ClusterError) -> int:
    if isinstance(error, DiskFullError):
        return EXIT_FAILED
    no_access = isinstance(error, AccessError | AuthenticationError)
    return EXIT_NO_ACCESS if no_access else EXIT_REFUSED


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """A parser with every command's name, and the arguments of the command in ``argv``."""
    parser = argparse.ArgumentParser(
        prog="lnt", description="Hyperparameter search for tuning multi-modal LLMs."
    )
    parser.add_argument("--version", action="version", version=f"lnt {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    typed = next((argument for argument in argv if not argument.startswith("-")), None)
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name == typed:
            importlib.import_module(module).add_arguments(command, name)
    return parser
