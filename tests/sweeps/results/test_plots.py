"""Figures of a sweep, including sweeps with diverged trials and scores of NaN."""

import math
import warnings
from dataclasses import replace

import pytest
from matplotlib.figure import Figure
from PIL import Image

from sweeps.results.pareto import AXES
from sweeps.results.plots import draw_curve, draw_pareto, plot_curve, plot_pareto
from sweeps.results.selection import Sweep, Trial
from tests.sweeps.results.trials import trial


def at(rate: float, score: float | None) -> Trial:
    return trial(rate=rate, score=score, status="diverged" if score is None else "finished")


def sweep_of(trials) -> Sweep:
    return Sweep("s", "r", "FINISHED", 0.5, "select/cider on x", tuple(trials))


def drawn_curve(trials, base: float | None = 0.5):
    axes = Figure().add_subplot()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_curve(axes, replace(sweep_of(trials), base_score=base))
    return axes


def lines(axes) -> dict[str, list[tuple[float, float]]]:
    """The lines that the legend names, with their points."""
    named = [line for line in axes.lines if not line.get_label().startswith("_")]
    return {line.get_label(): list(zip(*line.get_data(), strict=True)) for line in named}


def circles(axes) -> list[tuple[float, float]]:
    """The points that are circled."""
    found = [line for line in axes.lines if line.get_fillstyle() == "none"]
    return [point for line in found for point in zip(*line.get_data(), strict=True)]


@pytest.mark.parametrize(
    ("trials", "points"),
    [
        ((at(1e-3, 1.0),), [(1e-3, 1.0)]),
        ((at(1e-3, 1.0), replace(at(1e-3, 2.0), options="rank=8")), [(1e-3, 2.0)]),
        ((at(1e-2, None), at(1e-3, 0.0)), [(1e-3, 0.0)]),
        ((at(1e-3, 1.0), at(1e-4, 3.0)), [(1e-4, 3.0), (1e-3, 1.0)]),
    ],
    ids=["one trial", "one rate twice", "one diverged", "from the smallest rate on"],
)
def test_a_strategys_line_has_its_best_score_at_each_rate(trials, points) -> None:
    axes = drawn_curve(trials)
    assert lines(axes)["full"] == points
    assert circles(axes) == [max(points, key=lambda point: point[1])]


def test_a_score_that_is_no_number_is_never_circled() -> None:
    assert circles(drawn_curve((at(1e-3, math.nan), at(1e-4, 1.0)))) == [(1e-4, 1.0)]


def test_the_base_is_a_dashed_line_where_it_is_known() -> None:
    with_base, without = drawn_curve((at(1e-3, 1.0),)), drawn_curve((at(1e-3, 1.0),), None)
    (base,) = [line for line in with_base.lines if line.get_label() == "untuned base"]
    assert (list(base.get_ydata()), base.get_linestyle()) == ([0.5, 0.5], "--")
    assert list(lines(without)) == ["full"]
    assert (with_base.get_xscale(), with_base.get_xlabel()) == ("log", "learning rate")
    assert with_base.get_ylabel() == "CIDEr x 100 (select/cider on x)"


def test_strategies_differ_in_colour() -> None:
    trials = [trial(name, rate=1e-3) for name in ("full", "lora", "prefix")]
    axes = drawn_curve(trials)
    drawn = {
        line.get_color() for line in axes.lines if line.get_label() in ("full", "lora", "prefix")
    }
    assert len(drawn) == 3


COSTLY = [
    replace(trial(name, score=s, trainable=n), peak_memory_gib=m, trial_h=1.0)
    for name, s, n, m in (("full", 9.0, 900, 2.0), ("lora", 9.5, 90, 3.0))
]


@pytest.mark.parametrize(
    ("axis", "dots", "front"),
    [
        (0, [(900, 9.0), (90, 9.5)], [(90, 9.5)]),
        (1, [(2.0, 9.0), (3.0, 9.5)], [(2.0, 9.0), (3.0, 9.5)]),
    ],
    ids=["parameters", "memory"],
)
def test_a_panel_has_every_trial_and_circles_the_front(axis, dots, front) -> None:
    axes = Figure().add_subplot()
    plot_pareto(axes, sweep_of(COSTLY), AXES[axis])
    *by_strategy, circled = [c.get_offsets().tolist() for c in axes.collections]
    assert [tuple(point) for points in by_strategy for point in points] == dots
    assert [tuple(point) for point in circled] == front
    assert axes.get_xlabel() == AXES[axis].label


def test_both_are_written_as_png(tmp_path) -> None:
    draw_curve(sweep_of(COSTLY), tmp_path / "curve.png")
    draw_pareto(sweep_of(COSTLY), tmp_path / "pareto.png")
    sizes = [Image.open(tmp_path / name).size for name in ("curve.png", "pareto.png")]
    assert sizes == [(960, 600), (1560, 540)]
