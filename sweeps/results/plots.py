"""Figures of a sweep on matplotlib axes: score by learning rate, and by cost."""

from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.results.pareto import AXES, CostAxis, pareto_front
from sweeps.results.selection import Sweep, Trial

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


def draw_pareto(sweep: Sweep, path: Path) -> None:
    """Write the figure as PNG: a panel a cost."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(AXES), sharey=True)
    for axes, axis in zip(panels, AXES, strict=True):
        plot_pareto(axes, sweep, axis)
    panels[0].set_ylabel(f"CIDEr x 100 ({sweep.metric})")
    panels[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.suptitle(f"{sweep.name}: nobody scores more at less than the ringed trials")
    figure.savefig(path)


def plot_pareto(axes: "Axes", sweep: Sweep, axis: CostAxis, *, ink: str = "black") -> None:
    """Every finished trial is a dot; the front is ringed and joined.

    Args:
        axes: Where to.
        sweep: Whose trials.
        axis: What they cost.
        ink: Colour of the front.
    """
    for name, colour in colours(sweep).items():
        x, y = _points([t for t in sweep.trials if t.strategy == name and not t.is_repeat], axis)
        axes.scatter(x, y, s=14, color=colour, label=name)
    x, y = _points(pareto_front(sweep.trials, axis.of), axis)
    axes.step(x, y, where="post", color=ink, linewidth=1, zorder=0)
    axes.scatter(x, y, s=70, facecolors="none", edgecolors=ink)
    if axis.log and x:  # a logarithm of nothing is an error
        axes.set_xscale("log")
    axes.set_xlabel(axis.label)
    axes.grid(visible=True, alpha=0.3)


def _points(trials: list[Trial], axis: CostAxis) -> tuple[list[float], list[float]]:
    known = [(c, t.score) for t in trials if t.score is not None and (c := axis.of(t)) is not None]
    return [cost for cost, _ in known], [score for _, score in known]
