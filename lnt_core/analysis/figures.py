"""Figures of the analyses: of one trial, and of all winners side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lnt_core.analysis.similarity import mean_similarity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


Analysis = dict[str, Any]
"""The content of a trial's ``analysis.json``."""
ANNOTATED = 8
"""Largest number of blocks for which the cells of the similarity matrix are annotated."""
BOXED: dict[str, Any] = {"bbox": {"facecolor": "white", "alpha": 0.7, "edgecolor": "none"}}
"""Text style of these annotations."""
VARIANCE = "gradient variance, first 10 steps"


def draw_layers(analysis: Analysis, title: str, path: Path) -> None:
    """Write the figure of one trial as PNG."""
    layers_figure(analysis, title).savefig(path)


def draw_winners(found: Sequence[tuple[str, Analysis]], path: Path) -> None:
    """Write the figure of all winners as PNG."""
    winners_figure(found).savefig(path)


def layers_figure(analysis: Analysis, title: str) -> "Figure":
    """One trial: the similarity of its layers, and the variance of each block's gradients.

    Args:
        analysis: The trial's analysis.
        title: Title of the figure.
    """
    figure = _figure((9, 4))
    heat, lines = figure.subplots(1, 2)
    matrix = analysis["layer_similarity"]
    picture = heat.imshow(matrix, vmax=1, origin="lower")
    if len(matrix) <= ANNOTATED:
        for row, values in enumerate(matrix):
            for column, value in enumerate(values):
                heat.text(column, row, f"{value:.2f}", ha="center", va="center", **BOXED)
    figure.colorbar(picture, ax=heat, label="cosine similarity")
    _layer_ticks(heat, len(matrix))
    heat.set_title(f"similarity of layer outputs, mean {mean_similarity(matrix):.3f}")
    variance = analysis.get("gradient_variance", {})
    _plot_blocks(lines, variance.get("all", []), "all trained parameters")
    _plot_blocks(lines, variance.get("norms", []), "norms", linestyle="--")
    _finish_lines(lines)
    figure.suptitle(title)
    return figure


def winners_figure(found: Sequence[tuple[str, Analysis]]) -> "Figure":
    """Winners side by side: mean similarity of layers, and gradient variance by block.

    Args:
        found: Name and analysis of each; the untuned base may be among them.
    """
    figure = _figure((12, 5))
    bars, lines = figure.subplots(1, 2)
    names = [name for name, _ in found]
    values = [mean_similarity(analysis["layer_similarity"]) for _, analysis in found]
    drawn = bars.barh(names, values, color="tab:blue")
    bars.bar_label(drawn, fmt="%.3f", padding=3)
    bars.set_xlim(right=max(values) * 1.15)
    bars.invert_yaxis()
    bars.set_xlabel("mean cosine similarity of layer outputs")
    for name, analysis in found:
        _plot_blocks(lines, analysis.get("gradient_variance", {}).get("all", []), name)
    _finish_lines(lines)
    figure.suptitle("Analyses of the winners")
    return figure


def _figure(size: tuple[float, float]) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _plot_blocks(
    axes: "Axes", values: Sequence[float | None], label: str, linestyle: str = "-"
) -> None:
    known = [(index, value) for index, value in enumerate(values, 1) if value]
    if known:
        axes.plot(
            *zip(*known, strict=True), marker="o", markersize=4, linestyle=linestyle, label=label
        )


def _finish_lines(axes: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("block")
    axes.set_ylabel(VARIANCE)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if axes.lines:
        axes.set_yscale("log")
        axes.legend(frameon=False, fontsize="small")
        axes.grid(visible=True, alpha=0.3)
    else:
        axes.text(
            0.5, 0.5, "no trained parameters in the blocks", ha="center", transform=axes.transAxes
        )


def _layer_ticks(axes: "Axes", count: int) -> None:
    step = max(1, count // 8)
    ticks = range(0, count, step)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(list(ticks), [str(tick + 1) for tick in ticks])
    axes.set_xlabel("block")
    axes.set_ylabel("block")
