"""Score against what it costs: a panel a cost, the Pareto front drawn through it."""

from pathlib import Path

from sweeps.pareto import AXES, CostAxis, pareto_front
from sweeps.selection import Sweep, Trial

COLOURS, NUM_COLOURS = "tab20", 20


def draw_pareto(sweep: Sweep, path: Path) -> None:
    """Write the figure as PNG; every finished trial is a dot, the front is ringed and joined."""
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(AXES), sharey=True)
    names = [winner.trial.strategy for winner in sweep.winners]
    colours = dict(zip(names, map(colormaps[COLOURS], range(NUM_COLOURS)), strict=False))
    for axes, axis in zip(panels, AXES, strict=True):
        for name in names:
            x, y = _points(
                [t for t in sweep.trials if t.strategy == name and not t.is_repeat], axis
            )
            axes.scatter(x, y, s=14, color=colours.get(name, "gray"), label=name)
        x, y = _points(pareto_front(sweep.trials, axis.of), axis)
        axes.step(x, y, where="post", color="black", linewidth=1, zorder=0)
        axes.scatter(x, y, s=70, facecolors="none", edgecolors="black")
        if axis.log:
            axes.set_xscale("log")
        axes.set_xlabel(axis.label)
        axes.grid(visible=True, alpha=0.3)
    panels[0].set_ylabel(f"CIDEr x 100 ({sweep.metric})")
    panels[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.suptitle(f"{sweep.name}: nobody scores more at less than the ringed trials")
    figure.savefig(path)


def _points(trials: list[Trial], axis: CostAxis) -> tuple[list[float], list[float]]:
    known = [(c, t.score) for t in trials if t.score is not None and (c := axis.of(t)) is not None]
    return [cost for cost, _ in known], [score for _, score in known]
