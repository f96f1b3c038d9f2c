"""What `lnt` prints of winners."""

from collections import Counter
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from sweeps.plan.labels import short_rate, short_share
from sweeps.results.comparison import Comparison
from sweeps.results.selection import Sweep
from sweeps.results.summary import edge_advice, repeats, ties


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
