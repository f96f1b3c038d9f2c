"""`lnt watch`: follows a sweep through MLflow, wherever it runs."""

import argparse
import time
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from lnt_core.errors import LntError
from sweeps.cli.arguments import name_argument, tracking_uri
from sweeps.cli.best import print_winners
from sweeps.cli.exit_codes import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED
from sweeps.console import PlainTable, say
from sweeps.plan.labels import short_rate
from sweeps.results.captions import captions_in_store
from sweeps.results.comparison import compare_winners
from sweeps.results.progress import Snapshot, clock, read_snapshot
from sweeps.storage.execution import TrialStatus
from sweeps.tracking.store import connect

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXITS = {"FINISHED": EXIT_DONE, "FAILED": EXIT_FAILED, "KILLED": EXIT_INTERRUPTED}
"""Exit code by MLflow status of the parent run; a running sweep has none."""
SILENCE_S = 300.0
"""Seconds without anything written after which a running sweep gets a warning."""


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the arguments of `lnt watch`."""
    name_argument(parser)
    parser.add_argument(
        "--interval-s",
        type=_seconds,
        default=5.0,
        metavar="S",
        help="seconds between updates (default: 5)",
    )
    parser.add_argument("--once", action="store_true", help="print the current state and exit")
    parser.set_defaults(command=_watch)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"is {text!r}, but must be a number of seconds above 0")
    return seconds


def _watch(args: argparse.Namespace) -> int:
    console, client = Console(), connect(tracking_uri(args))
    snapshot = read_snapshot(client, args.name)
    if args.once:
        console.print(render(snapshot))
        return EXITS.get(snapshot.sweep.status, EXIT_DONE)
    follow = _live if console.is_terminal else _lines
    snapshot = follow(console, client, snapshot, args.interval_s)
    _print_winners(console, client, snapshot)
    return EXITS.get(snapshot.sweep.status, EXIT_FAILED)


def _print_winners(console: Console, client: "MlflowClient", snapshot: Snapshot) -> None:
    compared = compare_winners(snapshot.sweep, captions_in_store(client))
    print_winners(console, snapshot.sweep, compared)


def _live(
    console: Console, client: "MlflowClient", snapshot: Snapshot, interval_s: float
) -> Snapshot:
    """Redraw the tables until the sweep ends; returns the last snapshot."""
    with Live(render(snapshot), console=console, auto_refresh=False) as live:
        while snapshot.sweep.status not in EXITS:
            time.sleep(interval_s)
            snapshot = _next(console, client, snapshot, interval_s)
            live.update(render(snapshot), refresh=True)
    return snapshot


def _lines(
    console: Console, client: "MlflowClient", snapshot: Snapshot, interval_s: float
) -> Snapshot:
    """Print a line per change until the sweep ends; returns the last snapshot."""
    known: dict[str, TrialStatus] = {}
    silent = False
    while True:
        told = snapshot.sweep.objective
        for run_id, trial in snapshot.trials.items():
            if known.get(run_id) != trial.status:
                score = "" if trial.score is None else f", {told.label} {told.shown(trial.score)}"
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
    console: Console, client: "MlflowClient", before: Snapshot, interval_s: float
) -> Snapshot:
    """The next snapshot of the same execution, as soon as MLflow answers."""
    away = False
    while True:
        try:
            snapshot = read_snapshot(client, before.sweep.name, before.sweep.run_id)
        except LntError:
            raise
        except Exception as error:  # noqa: BLE001  an unreachable server may raise anything
            if not away:
                reason = str(error).splitlines()[0][:120]
                say(console, f"MLflow does not answer ({reason}); retrying")
            away = True
            time.sleep(interval_s)
            continue
        if away:
            say(console, "MLflow answers again")
        return snapshot


def render(snapshot: Snapshot) -> RenderableType:
    """Tables of the running trials and of each strategy's best trial so far."""
    running = PlainTable()
    for column in ("running", "step", "loss"):
        running.add_column(column, justify="left" if column == "running" else "right")
    for trial in snapshot.running:
        loss = "-" if trial.loss is None else f"{trial.loss:.3f}"
        running.add_row(trial.name, trial.progress, loss)
    objective = snapshot.sweep.objective
    best = PlainTable()
    for column in ("best so far", "lr", objective.label):
        best.add_column(column, justify="left" if column == "best so far" else "right")
    for winner in snapshot.sweep.winners:
        found = winner.trial
        score = objective.shown(found.score or 0.0)
        best.add_row(found.variant, short_rate(found.learning_rate), score)
    parts: list[RenderableType] = [Text(snapshot.headline, style="bold")]
    if snapshot.running:
        parts.append(running)
    if snapshot.sweep.winners:
        parts.append(best)
    if silence := told_silence(snapshot):
        parts.append(Text(silence, style="yellow"))
    return Group(*parts)


def told_silence(snapshot: Snapshot) -> str:
    """A warning that the driver may have died; empty if there is no sign of it."""
    if snapshot.sweep.status != "RUNNING" or snapshot.silent_s < SILENCE_S:
        return ""
    return (
        f"Nothing has been written for {clock(snapshot.silent_s)}; if the driver has died, resume "
        "with `lnt run SWEEP --resume`."
    )
