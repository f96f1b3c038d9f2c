"""Sentences about the results of a sweep: ties, repeats, winners at the edge of the rates."""

from collections.abc import Mapping, Sequence

from sweeps.plan.labels import short_rate
from sweeps.results.comparison import Comparison
from sweeps.results.selection import Sweep, Trial, Winner

MAX_RATES = 4
"""If more trials are tied with a winner, their number is given instead of their names."""


def edge_advice(found: Sequence[Winner]) -> list[str]:
    """Advice on winners at the lowest or highest rate tried, one line for each end."""
    advice = []
    for edge, beyond in (("highest", "Larger"), ("lowest", "Smaller")):
        names = [winner.trial.strategy for winner in found if winner.at_edge == edge]
        if names:
            advice.append(
                f"Best at the {edge} rate tried: {', '.join(names)}. {beyond} rates may be better: "
                "extend search.learning_rate."
            )
    return advice


def repeats(sweep: Sweep) -> list[str]:
    """The scores of points with several seeds, one line per strategy."""
    lines: dict[str, list[str]] = {}
    for point in sweep.repeated:
        trial = point.trial
        assert point.seeds is not None  # `repeated` has no others
        name = f"{trial.options} {short_rate(trial.learning_rate)}".strip()
        lines.setdefault(trial.strategy, []).append(f"{name}: {point.seeds.shown(trial.objective)}")
    head = "Mean ± sd over seeds (number of seeds)"
    return [f"{head}, {strategy}: {'; '.join(points)}." for strategy, points in lines.items()]


def ties(sweep: Sweep, compared: Mapping[str, Comparison]) -> list[str]:
    """Trials that do not differ significantly from a winner.

    Args:
        sweep: The sweep.
        compared: The comparison of each strategy's winner.

    Returns:
        At most one line about strategies, and one about trials within a strategy.
    """
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
            f"Tied with {found[0].strategy} (95 % interval of its lead, paired bootstrap over "
            f"images): {', '.join(strategies)}."
        )
    if rates:
        lines.append(f"Tied with the winner of their strategy: {'; '.join(rates)}.")
    return lines


def _tied(winner: Trial, others: tuple[Trial, ...]) -> str:
    if len(others) > MAX_RATES:
        return f"{len(others)} others"
    return ", ".join(
        f"{trial.options if trial.options != winner.options else ''} "
        f"{short_rate(trial.learning_rate)}".strip()
        for trial in others
    )
