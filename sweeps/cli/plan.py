"""`lnt plan`: the trials of a sweep, the cost of each strategy, and what does not fit in memory."""

import argparse
import json
import math
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from sweeps.cli.arguments import load, sweep_arguments
from sweeps.cli.exit_codes import EXIT_DONE
from sweeps.config import MAX_EXTENSIONS, SweepConfig
from sweeps.plan.checks import check_sweep
from sweeps.plan.labels import counted, short_rate, short_share
from sweeps.plan.makespan import makespans
from sweeps.plan.planned import PlannedTrial, plan, too_big

PIPE_WIDTH = 160


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the arguments of `lnt plan`."""
    sweep_arguments(parser)
    parser.add_argument(
        "--no-files", action="store_true", help="do not check or read model and data files"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(command=_plan)


def _plan(args: argparse.Namespace) -> int:
    sweep = load(args)
    notes = check_sweep(sweep, files=not args.no_files)
    with Console(stderr=True).status("Predicting from models without weights ..."):
        planned = plan(sweep, files=not args.no_files)
    if args.json:
        print(json.dumps(plan_json(sweep, planned) | {"left_out": notes}))
    else:
        print_plan(sweep, planned, notes)
    return EXIT_DONE


def print_plan(sweep: SweepConfig, planned: list[PlannedTrial], notes: list[str]) -> None:
    """Print a line per trial, a line per strategy, the total, and what the numbers assume."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)  # a pipe or file has no width of its own
    console.print(_trials(planned))
    of_strategies = list({(t.strategy, t.options): t for t in planned}.values())
    console.print()
    console.print(_strategies(of_strategies))
    for line in [
        _total(sweep, planned),
        *_may_grow(sweep),
        *_assumed(sweep),
        *_found_on_the_device(planned),
        *(spans.lines(sweep) if (spans := makespans(sweep, planned)) else ()),
        *(f"(!) {line}" for line in too_big(planned)),
        *notes,
    ]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _table(left: tuple[str, ...], right: tuple[str, ...], title: str = "") -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), title=title, title_justify="left")
    for column in left:
        table.add_column(column)
    for column in right:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _trials(planned: list[PlannedTrial]) -> Table:
    table = _table(("trial", "strategy"), ("lr", "trainable", "share", "memory", "GPU-hours"))
    for trial in planned:
        cost = trial.cost
        table.add_row(
            trial.id or "-",
            f"{trial.strategy} {trial.options}".strip(),
            short_rate(trial.learning_rate) if trial.id else "drawn",
            f"{cost.trainable_parameters:,}",
            short_share(cost.trainable_share),
            f"{cost.memory_gib:.3g} GiB" + (" (!)" if cost.too_big else ""),
            _hours(cost.gpu_hours),
        )
    return table


def _strategies(planned: list[PlannedTrial]) -> Table:
    memory = ("weights", "gradients", "optimizer", "activations")
    right = ("micro-batch", *memory, "checkpointed", "not checkpointed", "captioning", "PFLOP")
    table = _table(("one trial, GiB",), right)
    for trial in planned:
        cost, step = trial.cost, trial.cost.step
        sizes = (
            *(step.weights_gib, step.gradients_gib, step.optimizer_gib, step.activations_gib),
            *(cost.activations_gib["checkpointed"], cost.activations_gib["whole"]),
            cost.evaluation_gib - step.weights_gib,
        )
        table.add_row(
            f"{trial.strategy} {trial.options}".strip(),
            str(cost.micro_batch_size or "auto"),
            *("-" if size is None else f"{size:.3g}" for size in sizes),
            f"{cost.train_pflop:.3g}",
        )
    return table


def _hours(hours: float | None) -> str:
    return "-" if hours is None else f"{hours:.3g}"


def _total(sweep: SweepConfig, planned: list[PlannedTrial]) -> str:
    drawn = planned[0].id == ""
    count = (sweep.search.num_trials or 0) if drawn else len(planned)
    num_strategies = len({trial.strategy for trial in planned})
    text = f"{counted(count, 'trial')} of {counted(num_strategies, 'strategy', 'strategies')}"
    hours = [trial.cost.gpu_hours for trial in planned]
    known = [hour for hour in hours if hour is not None]
    if known:
        total = math.fsum(known) / len(known) * count
        text += f", {total:,.4g} GPU-hours of training"
    return text + "."


def _may_grow(sweep: SweepConfig) -> list[str]:
    if not sweep.search.extend_at_edge:
        return []
    return [
        "The sweep may grow: search.extend_at_edge adds learning rates beyond an end of the grid, "
        f"up to {MAX_EXTENSIONS} per end, while the best rate of a strategy with its options is at "
        "that end."
    ]


def _assumed(sweep: SweepConfig) -> list[str]:
    resources = sweep.resources
    lines = [
        "Share: trainable parameters among all, the vision tower included. Memory: predicted peak "
        "of a step on the longest conversations, or of captioning if that is higher, without the "
        "libraries' own memory; lengths are estimated. Activations: as configured, with gradient "
        "checkpointing, and without it."
    ]
    if resources.gpu_peak_tflops is not None:
        lines.append(
            f"GPU-hours: at {resources.mfu:.0%} of {resources.gpu_peak_tflops:g} TFLOP/s "
            "(resources.mfu, resources.gpu_peak_tflops), without evaluation."
        )
    else:
        lines.append("Set resources.gpu_peak_tflops, the GPU's peak, to predict GPU-hours.")
    if resources.gpu_memory_gib is None:
        lines.append("Set resources.gpu_memory_gib to see which trials do not fit.")
    return lines


def _found_on_the_device(planned: list[PlannedTrial]) -> list[str]:
    if all(trial.cost.micro_batch_size is not None for trial in planned):
        return []
    return [
        "With train.micro_batch_size: auto each trial finds its micro-batch size on its device; "
        "the memory shown is for micro-batch size 1. With resources.gpu_memory_gib the size is "
        "predicted here, for trials on GPUs."
    ]


def plan_json(sweep: SweepConfig, planned: list[PlannedTrial]) -> dict[str, Any]:
    """The object that `lnt plan --json` prints; ``gpu_hours`` is null unless the peak is given."""
    spans = makespans(sweep, planned)
    return {
        "sweep": sweep.name,
        "makespans": None if spans is None else asdict(spans) | {"verdict": spans.verdict},
        "trials": [
            {
                "id": trial.id,
                "strategy": trial.strategy,
                "options": trial.options,
                "learning_rate": trial.learning_rate if trial.id else None,
                "trainable_parameters": trial.cost.trainable_parameters,
                "trainable_share": trial.cost.trainable_share,
                "trainable_by_role": trial.cost.trainable_by_role,
                "micro_batch_size": trial.cost.micro_batch_size,
                "memory_gib": trial.cost.memory_gib,
                "evaluation_gib": trial.cost.evaluation_gib,
                "memory": asdict(trial.cost.step),
                "activations_gib": trial.cost.activations_gib,
                "train_pflop": trial.cost.train_pflop,
                "gpu_hours": trial.cost.gpu_hours,
                "too_big": trial.cost.too_big or None,
            }
            for trial in planned
        ],
    }
