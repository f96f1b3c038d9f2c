"""The sweep in one figure: CIDEr against learning rate, a line a strategy."""

from pathlib import Path

from sweeps.selection import Sweep

NUM_COLOURS = 10
"""Of matplotlib's cycle; further strategies are dotted."""


def draw_curve(sweep: Sweep, path: Path) -> None:
    """Write the figure as PNG; winners are ringed, the untuned base is the dashed line."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, winner in enumerate(sweep.winners):
        strategy = winner.trial.strategy
        points: dict[float, float] = {}
        for trial in sweep.trials:
            if trial.strategy == strategy and trial.score is not None and not trial.is_repeat:
                best = points.get(trial.learning_rate, trial.score)
                points[trial.learning_rate] = max(best, trial.score)
        rates = sorted(points)
        (line,) = axes.plot(
            rates,
            [points[rate] for rate in rates],
            marker="o" if number < NUM_COLOURS else "s",
            linestyle="-" if number < NUM_COLOURS else ":",
            markersize=4,
            label=strategy,
        )
        assert winner.trial.score is not None
        axes.plot(
            winner.trial.learning_rate,
            winner.trial.score,
            marker="o",
            markersize=11,
            fillstyle="none",
            markeredgewidth=2,
            color=line.get_color(),
            zorder=10 + number,
        )
    if sweep.base_score is not None:
        axes.axhline(sweep.base_score, color="gray", linestyle="--", label="untuned base")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel(f"CIDEr x 100 ({sweep.metric})")
    axes.set_title(f"{sweep.name}: the best rate of each strategy is ringed")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.savefig(path)
