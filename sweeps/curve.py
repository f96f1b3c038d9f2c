"""The sweep in one figure: CIDEr against learning rate, a line a strategy."""

from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.selection import Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS, NUM_COLOURS = "tab20", 20
"""Of matplotlib; the strong ones first."""
DASHED_FROM = 10
"""Strategies from this one on are dotted."""


def colours(sweep: Sweep) -> dict[str, tuple[float, float, float]]:
    """A colour for each strategy with a winner, the same in every figure."""
    from matplotlib import colormaps

    strong_first = [*range(0, NUM_COLOURS, 2), *range(1, NUM_COLOURS, 2)]
    names = sorted(winner.trial.strategy for winner in sweep.winners)
    palette = colormaps[COLOURS].colors  # type: ignore[attr-defined]
    return {n: palette[strong_first[i % NUM_COLOURS]] for i, n in enumerate(names)}


def draw_curve(sweep: Sweep, path: Path) -> None:
    """Write the figure as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    plot_curve(axes, sweep)
    axes.set_title(f"{sweep.name}: the best rate of each strategy is ringed")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.savefig(path)


def plot_curve(axes: "Axes", sweep: Sweep) -> None:
    """A line a strategy; winners are ringed, the untuned base is the dashed line."""
    palette = colours(sweep)
    for number, winner in enumerate(sweep.winners):
        strategy = winner.trial.strategy
        points = best_by_rate(sweep, strategy)
        dotted = sorted(palette).index(strategy) >= DASHED_FROM
        axes.plot(
            list(points),
            list(points.values()),
            marker="s" if dotted else "o",
            linestyle=":" if dotted else "-",
            markersize=4,
            label=strategy,
            color=palette[strategy],
        )
        assert winner.trial.score is not None
        axes.plot(
            winner.trial.learning_rate,
            winner.trial.score,
            marker="o",
            markersize=11,
            fillstyle="none",
            markeredgewidth=2,
            color=palette[strategy],
            zorder=10 + number,
        )
    if sweep.base_score is not None:
        axes.axhline(sweep.base_score, color="gray", linestyle="--", label="untuned base")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel(f"CIDEr x 100 ({sweep.metric})")
    axes.grid(visible=True, alpha=0.3)


def best_by_rate(sweep: Sweep, strategy: str) -> dict[float, float]:
    """The best score of a strategy at each rate, from the smallest rate on."""
    points: dict[float, float] = {}
    for trial in sweep.trials:
        if trial.strategy == strategy and trial.score is not None and not trial.is_repeat:
            best = points.get(trial.learning_rate, trial.score)
            points[trial.learning_rate] = max(best, trial.score)
    return dict(sorted(points.items()))
