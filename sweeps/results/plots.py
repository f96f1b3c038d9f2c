"""Matplotlib figures of a sweep: score against learning rate, and against cost."""

from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.results.pareto import AXES, CostAxis, pareto_front
from sweeps.results.selection import Sweep, Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes


COLOURS, NUM_COLOURS = "tab20", 20
"""Matplotlib colormap that alternates strong and light colors, and its size."""
DASHED_FROM = 10
"""Index of the first strategy with a dotted line, as the strong colors are used up."""


def colours(sweep: Sweep) -> dict[str, tuple[float, float, float]]:
    """The color of each strategy that has a winner, the same in every figure."""
    from matplotlib import colormaps

    strong_first = [*range(0, NUM_COLOURS, 2), *range(1, NUM_COLOURS, 2)]
    names = sorted(winner.trial.strategy for winner in sweep.winners)
    palette = colormaps[COLOURS].colors  # type: ignore[attr-defined]
    return {n: palette[strong_first[i % NUM_COLOURS]] for i, n in enumerate(names)}


def draw_curve(sweep: Sweep, path: Path) -> None:
    """Write the figure of score against learning rate as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    plot_curve(axes, sweep)
    axes.set_title(f"{sweep.name}: the winner of each strategy is circled")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.savefig(path)


def plot_curve(axes: "Axes", sweep: Sweep) -> None:
    """Plot score against learning rate: a line per strategy, a circle around each winner.

    The dashed line is the untuned base.
    """
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
    axes.set_ylabel(f"{sweep.objective.title} ({sweep.metric})")
    axes.grid(visible=True, alpha=0.3)


def best_by_rate(sweep: Sweep, strategy: str) -> dict[float, float]:
    """The best score of a strategy at each learning rate, in ascending order of the rate."""
    points: dict[float, float] = {}
    for trial in sweep.trials:
        if trial.strategy == strategy and trial.score is not None and not trial.is_repeat:
            best = points.get(trial.learning_rate, trial.score)
            better = max(best, trial.score, key=trial.objective.merit)
            points[trial.learning_rate] = better
    return dict(sorted(points.items()))


def draw_pareto(sweep: Sweep, path: Path) -> None:
    """Write the figure of score against cost as PNG, one panel per cost."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(AXES), sharey=True)
    for axes, axis in zip(panels, AXES, strict=True):
        plot_pareto(axes, sweep, axis)
    panels[0].set_ylabel(f"{sweep.objective.title} ({sweep.metric})")
    panels[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.suptitle(f"{sweep.name}: no trial scores as well as a circled one at a lower cost")
    figure.savefig(path)


def plot_pareto(axes: "Axes", sweep: Sweep, axis: CostAxis, *, ink: str = "black") -> None:
    """Plot score against a cost: a dot per finished trial, the Pareto front circled and joined.

    Args:
        axes: The axes to draw on.
        sweep: The sweep whose trials are drawn.
        axis: The cost.
        ink: Color of the front.
    """
    for name, colour in colours(sweep).items():
        x, y = _points([t for t in sweep.trials if t.strategy == name and not t.is_repeat], axis)
        axes.scatter(x, y, s=14, color=colour, label=name)
    x, y = _points(pareto_front(sweep.trials, axis.of), axis)
    axes.step(x, y, where="post", color=ink, linewidth=1, zorder=0)
    axes.scatter(x, y, s=70, facecolors="none", edgecolors=ink)
    if axis.log and x:  # a logarithmic axis without points raises an error
        axes.set_xscale("log")
    axes.set_xlabel(axis.label)
    axes.grid(visible=True, alpha=0.3)


def _points(trials: list[Trial], axis: CostAxis) -> tuple[list[float], list[float]]:
    known = [(c, t.score) for t in trials if t.score is not None and (c := axis.of(t)) is not None]
    return [cost for cost, _ in known], [score for _, score in known]
