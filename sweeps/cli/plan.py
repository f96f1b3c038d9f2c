"""`lnt plan`: the trials of a sweep, the cost of each strategy, and what does not fit in memory."""

import argparse
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console

from lnt_core.accounting.predicted import StepCost
from sweeps.cli.arguments import load, sweep_arguments
from sweeps.cli.exit_codes import EXIT_DONE
from sweeps.config import SweepConfig
from sweeps.console import PlainTable, say
from sweeps.plan.checks import check_sweep
from sweeps.plan.labels import counted, short_rate, short_share
from sweeps.plan.makespan import makespans
from sweeps.plan.planned import Plan, PlannedTrial, plan
from sweeps.plan.stage_1 import PlannedStage1
from sweeps.search_space import MAX_EXTENSIONS

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


def print_plan(sweep: SweepConfig, planned: Plan, notes: list[str]) -> None:
    """Print a line per trial, a line per strategy, the total, and what the numbers assume.

    Stage 1 has a line of its own in both tables, before the trials.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)  # a pipe or file has no width of its own
    console.print(_trials(planned))
    console.print()
    console.print(_strategies(planned))
    for line in [
        _total(sweep, planned),
        *((planned.features.line(),) if planned.features else ()),
        *((planned.reports.line(),) if planned.reports else ()),
        *_may_grow(sweep),
        *_assumed(sweep),
        *_found_on_the_device(planned.trials),
        *(spans.lines(sweep) if (spans := makespans(sweep, planned)) else ()),
        *(f"(!) {line}" for line in planned.too_big()),
        *notes,
    ]:
        say(console, line)


def _table(left: tuple[str, ...], right: tuple[str, ...], title: str = "") -> PlainTable:
    table = PlainTable(title=title, title_justify="left")
    for column in left:
        table.add_column(column)
    for column in right:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _trials(planned: Plan) -> PlainTable:
    table = _table(("trial", "strategy"), ("lr", "trainable", "share", "memory", "GPU-hours"))
    for stage in planned.stages_1:
        table.add_row(
            stage.id,
            _name(stage),
            short_rate(stage.learning_rate),
            f"{stage.trainable_parameters:,}",
            short_share(stage.trainable_share),
            f"{stage.step.peak_gib:.3g} GiB" + (" (!)" if stage.too_big else ""),
            _hours(stage.gpu_hours),
        )
    for trial in planned.trials:
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


def _name(stage: PlannedStage1) -> str:
    by = f"by {stage.num_workers} workers" if stage.num_workers > 1 else ""
    return " ".join(filter(None, ("stage 1", stage.values, by)))


def _strategies(planned: Plan) -> PlainTable:
    memory = ("weights", "gradients", "optimizer", "activations")
    activations = ("checkpointed", "not checkpointed")
    right = ("micro-batch", "checkpointing", *memory, *activations, "captioning", "PFLOP")
    table = _table(("one trial, GiB",), right)

    def add(
        name: str,
        micro_batch: int | None,
        checkpointing: bool | None,
        step: StepCost,
        activations_gib: Mapping[str, float | None],
        captioning_gib: float | None,
        pflop: float,
    ) -> None:
        sizes = (
            *(step.weights_gib, step.gradients_gib, step.optimizer_gib, step.activations_gib),
            *(activations_gib["checkpointed"], activations_gib["whole"], captioning_gib),
        )
        texts = ("-" if size is None else f"{size:.3g}" for size in sizes)
        is_on = {True: "on", False: "off", None: "auto"}[checkpointing]
        table.add_row(name, str(micro_batch or "auto"), is_on, *texts, f"{pflop:.3g}")

    for s in planned.stages_1:
        sizes = (s.micro_batch_size, s.gradient_checkpointing)
        add(_name(s), *sizes, s.step, s.activations_gib, None, s.train_pflop)
    for t in {(t.strategy, t.options): t for t in planned.trials}.values():
        c, name = t.cost, f"{t.strategy} {t.options}".strip()
        captioning_gib = c.evaluation_gib - c.step.weights_gib
        found = (c.micro_batch_size, c.gradient_checkpointing)
        add(name, *found, c.step, c.activations_gib, captioning_gib, c.train_pflop)
    return table


def _hours(hours: float | None) -> str:
    return "-" if hours is None else f"{hours:.3g}"


def _total(sweep: SweepConfig, planned: Plan) -> str:
    trials = planned.trials
    drawn = trials[0].id == ""
    count = (sweep.search.num_trials or 0) if drawn else len(trials)
    num_strategies = len({trial.strategy for trial in trials})
    text = f"{counted(count, 'trial')} of {counted(num_strategies, 'strategy', 'strategies')}"
    if planned.stages_1:
        number = len(planned.stages_1)
        text = f"Stage 1{f' ({number} times)' if number > 1 else ''} and {text}"
    hours = [trial.cost.gpu_hours for trial in trials]
    known = [hour for hour in hours if hour is not None]
    if known:
        stage_1 = math.fsum(stage.gpu_hours or 0.0 for stage in planned.stages_1)
        total = stage_1 + math.fsum(known) / len(known) * count
        text += f", {total:,.4g} GPU-hours of training"
        text += f", {stage_1:,.4g} of them for stage 1" if stage_1 else ""
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
        "of a step on the longest conversations, or of captioning or the analysis of layers if "
        "that is higher, without the libraries' own memory; lengths are estimated. Activations: as "
        "configured, with gradient checkpointing, and without it."
    ]
    if resources.gpu_peak_tflops is not None:
        lines.append(
            f"GPU-hours: at {resources.mfu:.0%} of {resources.gpu_peak_tflops:g} TFLOP/s "
            "(resources.mfu, resources.gpu_peak_tflops), without captioning."
        )
    else:
        lines.append("Set resources.gpu_peak_tflops, the GPU's peak, to predict GPU-hours.")
    if resources.gpu_memory_gib is None:
        lines.append("Set resources.gpu_memory_gib to see which trials do not fit.")
    return lines


def _found_on_the_device(planned: list[PlannedTrial]) -> list[str]:
    lines = []
    if any(trial.cost.micro_batch_size is None for trial in planned):
        lines.append(
            "With train.micro_batch_size: auto each trial finds its micro-batch size on its "
            "device; the memory shown is for micro-batch size 1. With resources.gpu_memory_gib "
            "the size is predicted here, for trials on GPUs."
        )
    if any(trial.cost.gradient_checkpointing is None for trial in planned):
        lines.append(
            "With train.gradient_checkpointing: auto a trial checkpoints only if its step would "
            "not fit its device otherwise; the memory shown is without. With "
            "resources.gpu_memory_gib this is predicted here, for trials on GPUs."
        )
    return lines


def plan_json(sweep: SweepConfig, planned: Plan) -> dict[str, Any]:
    """The object that `lnt plan --json` prints; ``gpu_hours`` is null unless the peak is given."""
    spans = makespans(sweep, planned)
    return {
        "sweep": sweep.name,
        "makespans": None if spans is None else asdict(spans) | {"verdict": spans.verdict},
        "stages_1": [
            {
                **{key: value for key, value in asdict(stage).items() if key != "step"},
                "memory_gib": stage.step.peak_gib,
                "memory": asdict(stage.step),
                "too_big": stage.too_big or None,
            }
            for stage in planned.stages_1
        ],
        "features": None if planned.features is None else asdict(planned.features),
        "reports": None if planned.reports is None else asdict(planned.reports),
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
                "gradient_checkpointing": trial.cost.gradient_checkpointing,
                "memory_gib": trial.cost.memory_gib,
                "evaluation_gib": trial.cost.evaluation_gib,
                "analysis_gib": trial.cost.analysis_gib,
                "memory": asdict(trial.cost.step),
                "activations_gib": trial.cost.activations_gib,
                "train_pflop": trial.cost.train_pflop,
                "analysis_pflop": trial.cost.analysis_pflop,
                "gpu_hours": trial.cost.gpu_hours,
                "too_big": trial.cost.too_big or None,
            }
            for trial in planned.trials
        ],
    }
