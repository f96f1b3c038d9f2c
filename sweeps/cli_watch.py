"""`lnt watch`: follows a sweep, wherever it runs, from MLflow alone."""

import argparse
import time
from typing import TYPE_CHECKING

from lnt_core.errors import LntError
from sweeps.cli_arguments import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    Command,
    name_argument,
    tracking_uri,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from rich.console import Console

    from sweeps.results.progress import Snapshot

EXITS = {"FINISHED": EXIT_DONE, "FAILED": EXIT_FAILED, "KILLED": EXIT_INTERRUPTED}
"""By MLflow's status of the parent run; a sweep that still runs has none."""


def add_watch_command(command: Command) -> None:
    """Add the command."""
    watch = command("watch", _watch, "follow a sweep")
    name_argument(watch)
    watch.add_argument("--interval-s", type=_seconds, default=5.0, metavar="S", help="default: 5")
    watch.add_argument("--once", action="store_true", help="print how it stands, and end")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"is {text!r}, but must be seconds above 0")
    return seconds


def _watch(args: argparse.Namespace) -> int:
    from rich.console import Console

    from sweeps.results.progress import read_snapshot, render
    from sweeps.tracking.store import connect

    console, client = Console(), connect(tracking_uri(args))
    snapshot = read_snapshot(client, args.name)
    if args.once:
        console.print(render(snapshot))
        return EXITS.get(snapshot.sweep.status, 0)
    follow = _live if console.is_terminal else _lines
    snapshot = follow(console, client, snapshot, args.interval_s)
    _print_winners(console, client, snapshot)
    return EXITS.get(snapshot.sweep.status, 1)


def _print_winners(console: "Console", client: "MlflowClient", snapshot: "Snapshot") -> None:
    from sweeps.results.captions import captions_in_store
    from sweeps.results.comparison import compare_winners
    from sweeps.tables import print_winners

    compared = compare_winners(snapshot.sweep, captions_in_store(client))
    print_winners(console, snapshot.sweep, compared)


def _live(
    console: "Console", client: "MlflowClient", snapshot: "Snapshot", interval_s: float
) -> "Snapshot":
    """A table that is drawn anew; returns how the sweep ended."""
    from rich.live import Live

    from sweeps.results.progress import render

    with Live(render(snapshot), console=console, auto_refresh=False) as live:
        while snapshot.sweep.status not in EXITS:
            time.sleep(interval_s)
            snapshot = _next(console, client, snapshot, interval_s)
            live.update(render(snapshot), refresh=True)
    return snapshot


def _lines(
    console: "Console", client: "MlflowClient", snapshot: "Snapshot", interval_s: float
) -> "Snapshot":
    """A line for each change; returns how the sweep ended."""
    from sweeps.results.progress import told_silence

    known: dict[str, str] = {}
    silent = False
    while True:
        for run_id, trial in snapshot.trials.items():
            if known.get(run_id) != trial.status:
                score = "" if trial.score is None else f", CIDEr {trial.score:.2f}"
                say(console, f"{trial.name}: {trial.status} at {trial.progress}{score}")
        statuses = {run_id: trial.status for run_id, trial in snapshot.trials.items()}
        changed, known = statuses != known, statuses
        if changed or snapshot.sweep.status in EXITS:
            say(console, snapshot.headline)
        if snapshot.sweep.status in EXITS:
            return snapshot
        silence = told_silence(snapshot)
        if silence and not silent:
            say(console, silence)
        silent = bool(silence)
        time.sleep(interval_s)
        snapshot = _next(console, client, snapshot, interval_s)


def _next(
    console: "Console", client: "MlflowClient", before: "Snapshot", interval_s: float
) -> "Snapshot":
    """As soon as MLflow answers: the same execution, also if another has begun since."""
    from sweeps.results.progress import read_snapshot

    away = False
    while True:
        try:
            snapshot = read_snapshot(client, before.sweep.name, before.sweep.run_id)
        except LntError:
            raise
        except Exception as error:  # noqa: BLE001  whatever a server that is away answers
            if not away:
                told = str(error).splitlines()[0][:120]
                say(console, f"MLflow does not answer ({told}); asking again")
            away = True
            time.sleep(interval_s)
            continue
        if away:
            say(console, "MLflow answers again")
        return snapshot


def say(console: "Console", line: str) -> None:
    """A line as it is, at once, whatever the width."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)
