"""Score against what it costs: a panel a cost, the Pareto front drawn through it."""

from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.curve import colours
from sweeps.pareto import AXES, CostAxis, pareto_front
from sweeps.selection import Sweep, Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
