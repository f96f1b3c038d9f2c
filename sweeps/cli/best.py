"""`lnt best`: the winner of each strategy, as a table or as JSON."""

import argparse
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.box import HEAVY_HEAD
from rich.console import Console

from sweeps.cli.arguments import name_argument, tracking_uri
from sweeps.cli.exit_codes import EXIT_DONE
from sweeps.console import PlainTable, say
from sweeps.plan.labels import (
    benchmark_name,
    benchmark_score,
    counted,
    short_rate,
    short_share,
)
from sweeps.results.captions import captions_in_store
from sweeps.results.comparison import Comparison, compare_winners
from sweeps.results.pareto import AXES, pareto_front
from sweeps.results.read import read_sweep
from sweeps.results.selection import Sweep, Trial
from sweeps.results.summary import edge_advice, repeats, ties
from sweeps.storage.execution import TrialStatus
from sweeps.tracking.store import connect


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the arguments of `lnt best`."""
    name_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(command=_best)


def _best(args: argparse.Namespace) -> int:
    client = connect(tracking_uri(args))
    sweep = read_sweep(client, args.name)
    compared = compare_winners(sweep, captions_in_store(client))
    if args.json:
        print(json.dumps(as_json(sweep, compared)))
    else:
        print_winners(Console(), sweep, compared)
    return EXIT_DONE


def print_winners(
    console: Console, sweep: Sweep, compared: Mapping[str, Comparison] | None = None
) -> None:
    """Print each strategy's winner, the untuned base, ties, repeats, and unfinished trials.

    Winners at an end of the learning rates tried come with advice to extend the search.

    Args:
        console: The console to print to.
        sweep: The sweep whose winners are printed.
        compared: Comparison of each strategy's winner with other trials; without it no ties are
            printed.
    """
    found = sweep.winners
    reported = any(winner.trial.report_score is not None for winner in found)
    title = f"{sweep.name}: {sweep.objective.title}, {sweep.metric}"
    table = PlainTable(title=title, title_justify="left", box=HEAVY_HEAD)
    table.add_column("strategy", overflow="fold")  # a clone's text is long; numbers do not wrap
    further = ["mean ± sd (n)"] if sweep.repeated else []
    further += ["held out"] if reported else []
    for column in ("best lr", sweep.objective.label, *further, "trainable", "share"):
        table.add_column(column, justify="right", no_wrap=True)
    for winner in found:
        trial = winner.trial
        seeds = (
            [winner.seeds.shown(sweep.objective) if winner.seeds else ""] if sweep.repeated else []
        )
        held_out = [_held_out(trial)] if reported else []
        table.add_row(
            trial.variant,
            short_rate(trial.learning_rate) + (" (edge)" if winner.at_edge else ""),
            sweep.objective.shown(trial.score or 0.0),
            *seeds,
            *held_out,
            f"{trial.trainable_parameters:,}",
            short_share(trial.trainable_share),
        )
    if sweep.base_score is not None:
        table.add_row("untuned base", "", sweep.objective.shown(sweep.base_score), style="dim")
    console.print(table)
    if sweep.tasks_reported:
        console.print(_benchmarks(sweep))
    for line in ties(sweep, compared or {}):
        say(console, line)
    for line in repeats(sweep):
        say(console, line)
    others = Counter(t.status for t in sweep.trials if t.status != TrialStatus.FINISHED)
    if others:
        counts = ", ".join(f"{count} {status}" for status, count in sorted(others.items()))
        say(console, f"Of {counted(len(sweep.trials), 'trial')}: {counts}.")
    for advice in edge_advice(found):
        say(console, advice)


def _benchmarks(sweep: Sweep) -> PlainTable:
    """The winners and the untuned base by the tasks of `data.report`."""
    title = "data.report, which never chooses"
    table = PlainTable(title=title, title_justify="left", box=HEAVY_HEAD)
    table.add_column("strategy", overflow="fold")
    for name in sweep.tasks_reported:
        table.add_column(benchmark_name(name), justify="right", no_wrap=True)
    rows = [(winner.trial.variant, winner.trial.reported) for winner in sweep.winners]
    for strategy, scores in rows:
        table.add_row(strategy, *(benchmark_score(name, scores) for name in sweep.tasks_reported))
    base = (benchmark_score(name, sweep.base_reported) for name in sweep.tasks_reported)
    table.add_row("untuned base", *base, style="dim")
    return table


def _held_out(trial: Trial) -> str:
    return "-" if trial.report_score is None else f"{trial.report_score:.2f}"


def as_json(sweep: Sweep, compared: Mapping[str, Comparison] | None = None) -> dict[str, Any]:
    """The object that `lnt best --json` prints."""
    compared = compared or {}
    return {
        "sweep": sweep.name,
        "metric": sweep.metric,
        "base_score": sweep.base_score,
        "base_reported": dict(sweep.base_reported),
        "winners": [
            {
                "strategy": winner.trial.strategy,
                "options": winner.trial.options,
                "learning_rate": winner.trial.learning_rate,
                "score": winner.trial.score,
                "run_id": winner.trial.run_id,
                "at_edge": bool(winner.at_edge),
                "seeds": asdict(winner.seeds) if winner.seeds else None,
                "report_score": winner.trial.report_score,
                "reported": dict(winner.trial.reported),
                "trainable_parameters": winner.trial.trainable_parameters,
                "trainable_share": winner.trial.trainable_share,
                **_compared(compared.get(winner.trial.strategy)),
            }
            for winner in sweep.winners
        ],
        "repeated": [
            {
                "strategy": point.trial.strategy,
                "options": point.trial.options,
                "learning_rate": point.trial.learning_rate,
                "run_id": point.trial.run_id,
                **asdict(point.seeds),
            }
            for point in sweep.repeated
            if point.seeds
        ],
        "pareto_run_ids": {
            axis.name: [trial.run_id for trial in pareto_front(sweep.trials, axis.of)]
            for axis in AXES
        },
    }


def _compared(comparison: Comparison | None) -> dict[str, Any]:
    """The trials tied with a winner, and how far it is behind the best; null if not compared."""
    if comparison is None:
        return {"tied_run_ids": None, "behind_best_ci95": None}
    behind = comparison.behind_best
    return {
        "tied_run_ids": [trial.run_id for trial in comparison.tied],
        "behind_best_ci95": None if behind is None else [behind.low, behind.high],
    }
