"""Rates beyond the ends of a grid, while the best of a strategy lies there."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from sweeps.config import MAX_EXTENSIONS
from sweeps.results.selection import Trial, winners

LIMIT = 1.0
"""A rate stays below it."""


def next_rate(rates: Iterable[float], *, edge: str) -> float | None:
    """The rate beyond an end, in the ratio of the last two there; None if there is none.

    Rounded to 12 digits, so that it can be read and typed.

    Args:
        rates: Those tried.
        edge: ``lowest`` or ``highest``.

    Example:
        >>> next_rate([1e-3, 2e-3], edge="highest"), next_rate([1e-6, 1e-7], edge="lowest")
        (0.004, 1e-08)
    """
    ordered = sorted(set(rates), reverse=edge == "lowest")
    if len(ordered) < 2:
        return None
    before, last = ordered[-2:]
    rate = float(f"{last * last / before:.12g}")
    return rate if 0.0 < rate < LIMIT else None


def beyond_edges(trials: Sequence[Trial], grid: Sequence[float]) -> list[tuple[Trial, float]]:
    """For each strategy with its options whose best rate is at an end: it, and the next rate.

    Args:
        trials: All that have ended. One that failed or diverged was tried; one that the budget
            left out was not.
        grid: The rates that the sweep file gives.
    """
    by_variant: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        if trial.status != "left_out" and not trial.is_repeat:
            by_variant[trial.variant].append(trial)
    found = []
    for of_variant in by_variant.values():
        rates = {trial.learning_rate for trial in of_variant}
        for winner in winners(of_variant):
            beyond = {
                "highest": sum(rate > max(grid) for rate in rates),
                "lowest": sum(rate < min(grid) for rate in rates),
            }
            if winner.at_edge and beyond[winner.at_edge] < MAX_EXTENSIONS:
                rate = next_rate(rates, edge=winner.at_edge)
                if rate is not None:
                    found.append((winner.trial, rate))
    return found
