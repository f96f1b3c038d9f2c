"""What `lnt` prints of winners."""

from collections import Counter
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from sweeps.comparison import Comparison
from sweeps.plan.labels import short_rate, short_share
from sweeps.selection import Sweep, Trial, edge_advice

MAX_RATES = 4
"""More rates that tie with a winner are counted, not named."""


def print_winners(
    console: Console, sweep: Sweep, compared: Mapping[str, Comparison] | None = None
) -> None:
    """The winner of each strategy, the base, what did not finish, and advice at the grid's edge.

    Args:
        console: Where to.
        sweep: What is printed.
        compared: What the images cannot tell apart, by strategy.
    """
    found = sweep.winners
    reported = any(winner.trial.report_score is not None for winner in found)
    table = Table(title=f"{sweep.name}: CIDEr x 100, {sweep.metric}", title_justify="left")
    table.add_column("strategy", overflow="fold")  # a clone's is long; numbers stay whole
    further = ["mean ± sd (n)"] if sweep.repeated else []
    further += ["held out"] if reported else []
    for column in ("best lr", "CIDEr", *further, "trainable", "share"):
        table.add_column(column, justify="right", no_wrap=True)
    for winner in found:
        trial = winner.trial
        seeds = [str(winner.seeds or "")] if sweep.repeated else []
        held_out = [f"{trial.report_score:.2f}"] if trial.report_score is not None else []
        table.add_row(
            trial.variant,
            short_rate(trial.learning_rate) + (" (edge)" if winner.at_edge else ""),
            f"{trial.score:.2f}",
            *seeds,
            *held_out,
            f"{trial.trainable_parameters:,}",
            short_share(trial.trainable_share),
        )
    if sweep.base_score is not None:
        table.add_row("untuned base", "", f"{sweep.base_score:.2f}", style="dim")
    console.print(table)
    for line in ties(sweep, compared or {}):
        console.print(line, highlight=False, soft_wrap=True)
    for line in repeats(sweep):
        console.print(line, highlight=False, soft_wrap=True)
    others = Counter(t.status for t in sweep.trials if t.status != "finished")
    if others:
        told = ", ".join(f"{count} {status}" for status, count in sorted(others.items()))
        console.print(f"Of {len(sweep.trials)} trials: {told}.", highlight=False)
    for advice in edge_advice(found):
        console.print(advice, highlight=False, soft_wrap=True)


def repeats(sweep: Sweep) -> list[str]:
    """What repeated points scored over their seeds, a line a strategy."""
    lines: dict[str, list[str]] = {}
    for point in sweep.repeated:
        trial = point.trial
        name = f"{trial.options} {short_rate(trial.learning_rate)}".strip()
        lines.setdefault(trial.strategy, []).append(f"{name}: {point.seeds}")
    return [f"Over seeds, {strategy}: {'; '.join(points)}." for strategy, points in lines.items()]


def ties(sweep: Sweep, compared: Mapping[str, Comparison]) -> list[str]:
    """What the images cannot tell apart, in a line for strategies and one for rates."""
    found = [winner.trial for winner in sweep.winners if winner.trial.strategy in compared]
    known = [(trial, compared[trial.strategy]) for trial in found]
    strategies = [
        f"{trial.strategy} ({c.behind_best.low:+.1f} .. {c.behind_best.high:+.1f})"
        for trial, c in known
        if c.behind_best is not None and c.behind_best.tied
    ]
    rates = [f"{trial.strategy} {_tied(trial, c.tied)}" for trial, c in known if c.tied]
    lines = []
    if strategies:
        lines.append(
            f"Tied with {found[0].strategy}, which leads by (95 % interval, paired bootstrap over "
            f"images): {', '.join(strategies)}."
        )
    if rates:
        lines.append(f"Tied with the best of their strategy: {'; '.join(rates)}.")
    return lines


def _tied(winner: Trial, others: tuple[Trial, ...]) -> str:
    if len(others) > MAX_RATES:
        return f"{len(others)} others"
    return ", ".join(
        f"{trial.options if trial.options != winner.options else ''} "
        f"{short_rate(trial.learning_rate)}".strip()
        for trial in others
    )
