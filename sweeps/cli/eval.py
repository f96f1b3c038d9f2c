"""`lnt eval`: scores an export or a whole checkpoint on any tasks, without a sweep."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from rich.console import Console

from sweeps.cli.exit_codes import EXIT_DONE
from sweeps.settings import quiet_transformers, read_settings

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from sweeps.export.evaluate import Scored


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the arguments of `lnt eval`."""
    from lnt_core.config import Precision

    parser.add_argument(
        "model",
        metavar="MODEL",
        help="folder written by `lnt export`; or a whole checkpoint, merged ones included: a "
        "folder, or a name on the Hugging Face Hub",
    )
    parser.add_argument(
        "--tasks",
        type=Path,
        metavar="FILE",
        help="YAML file with a list `tasks`, each as in data.report (default: the tasks of the "
        "sweep that MODEL was exported from)",
    )
    parser.add_argument(
        "--sweep-tasks", action="store_true", help="with --tasks: score on the sweep's tasks, too"
    )
    parser.add_argument(
        "-o",
        dest="out",
        type=Path,
        required=True,
        metavar="DIR",
        help="output folder; one that an interrupted `lnt eval` left is completed",
    )
    parser.add_argument(
        "--limit",
        type=_limit,
        metavar="N",
        help="use only the first N questions of each task (of each file of POPE, subtask of MME)",
    )
    parser.add_argument(
        "--precision",
        choices=get_args(Precision),
        help="number format of a whole checkpoint (default: fp32); an export has its own",
    )
    parser.add_argument(
        "--tracking-uri",
        help="also log to this MLflow tracking store (default: MLFLOW_TRACKING_URI, if set)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(command=_eval)


def _eval(args: argparse.Namespace) -> int:
    from sweeps.export.evaluate import asked, score

    given = asked(
        args.model,
        tasks=args.tasks,
        with_sweeps=args.sweep_tasks,
        precision=args.precision,
        limit=args.limit,
    )
    uri = args.tracking_uri or read_settings().tracking_uri
    client = None
    if uri:
        from sweeps.tracking.store import connect

        client = connect(uri)
    quiet_transformers()
    from lnt_core.devices.chosen import default_device

    with _progress() as bars:
        scored = score(
            given,
            args.out,
            cache=read_settings().cache.resolve(),
            device=default_device(),
            told=Bars(bars),
        )
    if client is not None:
        from sweeps.tracking.evaluations import log_evaluation

        log_evaluation(client, scored.sweep or "eval", scored.name, scored.scores, args.out)
    _print(scored, args.out, as_json=args.json)
    return EXIT_DONE


def _print(scored: "Scored", out: Path, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"model": scored.name, "scores": scored.scores}))
        return
    for name, value in scored.scores.items():
        print(f"{name}: {value:.6g}")
    print(f"Answers with their scores, and {out / 'summary.json'}: {out}")


def _progress() -> "Progress":
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


class Bars:
    """A progress bar for each task."""

    def __init__(self, progress: "Progress") -> None:
        self._progress = progress
        self._of: dict[str, TaskID] = {}

    def __call__(self, task: str, done: int, total: int) -> None:
        """Show how many questions of a task are answered."""
        if task not in self._of:
            self._of[task] = self._progress.add_task(task, total=total)
        self._progress.update(self._of[task], completed=done)


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text[:9]) < 2:
        raise argparse.ArgumentTypeError(f"is {text!r}, but must be a whole number from 2 on")
    return int(text[:9])
