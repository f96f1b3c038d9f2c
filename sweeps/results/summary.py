"""What a sweep found, in sentences: ties, repeats, winners at an edge."""

from collections.abc import Mapping, Sequence

from sweeps.plan.labels import short_rate
from sweeps.results.comparison import Comparison
from sweeps.results.selection import Sweep, Trial, Winner

MAX_RATES = 4
"""More rates that tie with a winner are counted, not named."""


def edge_advice(found: Sequence[Winner]) -> list[str]:
    """What to do about winners at an end of the rates tried; a line an end."""
    advice = []
    for edge, beyond in (("highest", "larger"), ("lowest", "smaller")):
        names = [winner.trial.strategy for winner in found if winner.at_edge == edge]
        if names:
            advice.append(
                f"Best at the {edge} rate tried: {', '.join(names)}. The best may lie beyond: "
                f"extend search.learning_rate to {beyond} values."
            )
    return advice


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
