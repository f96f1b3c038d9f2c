"""The report's figures as SVG in the page's font and text color, light or dark."""

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sweeps.results.pareto import AXES
from sweeps.results.plots import best_by_rate, colours, plot_curve, plot_pareto
from sweeps.results.report.content import Content

if TYPE_CHECKING:
    from matplotlib.axes import Axes


INK = "#123457"
"""Placeholder color, replaced by CSS's `currentColor`: the text color of the page."""
STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}
WIDE, SMALL = (8.0, 4.2), (4.0, 2.8)
"""Figure sizes in inches; they determine the size of the text relative to the figure."""


def curve_figure(content: Content) -> str:
    """The figure of score against learning rate, with all strategies."""

    def plot(axes: "Axes") -> None:
        plot_curve(axes, content.sweep)
        axes.set_ylabel(content.sweep.objective.title)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))

    return _svg(
        f"{content.sweep.objective.label} against learning rate, one line per strategy", WIDE, plot
    )


def band_figures(content: Content) -> list[str]:
    """A figure per strategy of score against learning rate, with confidence intervals."""
    ends = [end for band in content.bands.values() for end in (band.low, band.high)]
    limits = (min(ends), max(ends)) if ends else (None, None)
    return [_band_figure(content, w.trial.strategy, limits) for w in content.sweep.winners]


def _band_figure(content: Content, strategy: str, limits: tuple[float | None, float | None]) -> str:
    objective, colour = content.sweep.objective, colours(content.sweep)[strategy]
    best = best_by_rate(content.sweep, strategy)
    bands = {
        trial.learning_rate: content.bands[trial.run_id]
        for trial in content.sweep.trials
        if trial.strategy == strategy
        and trial.run_id in content.bands
        and trial.score == best[trial.learning_rate]
    }

    def plot(axes: "Axes") -> None:
        rates = sorted(bands)
        low, high = ([getattr(bands[rate], end) for rate in rates] for end in ("low", "high"))
        axes.fill_between(rates, low, high, color=colour, alpha=0.25, linewidth=0)
        axes.plot(list(best), list(best.values()), color=colour, marker="o", markersize=4)
        if content.sweep.base_score is not None:
            axes.axhline(content.sweep.base_score, color="gray", linestyle="--")
        axes.set_ylim(*limits)
        axes.set_xscale("log")
        axes.set_title(strategy)
        axes.grid(visible=True, alpha=0.2)

    return _svg(
        f"{objective.label} of {strategy} against learning rate, with confidence bands",
        SMALL,
        plot,
    )


def loss_figure(content: Content) -> str:
    """The figure of the winners' training loss."""

    def plot(axes: "Axes") -> None:
        for strategy, colour in colours(content.sweep).items():
            steps_and_losses = list(zip(*content.losses.get(strategy, ()), strict=True))
            if steps_and_losses:
                axes.plot(*steps_and_losses, color=colour, label=strategy, linewidth=1.2)
        axes.set_xlabel("optimizer step")
        axes.set_ylabel("loss, nats per answer token")
        axes.grid(visible=True, alpha=0.2)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))

    return _svg("Training loss of the winners", WIDE, plot)


def pareto_figures(content: Content) -> list[str]:
    """A figure of score against cost for each cost."""

    def plot(axis_number: int) -> Callable[["Axes"], None]:
        return lambda axes: plot_pareto(axes, content.sweep, AXES[axis_number], ink=INK)

    return [
        _svg(f"{content.sweep.objective.label} against {axis.label}", SMALL, plot(number))
        for number, axis in enumerate(AXES)
    ]


def _svg(label: str, size: tuple[float, float], plot: Callable[["Axes"], None]) -> str:
    """An `<svg>` element that scales with the page."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # with this salt, ids differ between the figures of a page but are the same in every report
    with rc_context(STYLE | {"svg.hashsalt": label}):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        plot(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "inherit", text)
    head, body = text.split(">", 1)
    head = re.sub(r' (width|height|version)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{label}">{body}'
