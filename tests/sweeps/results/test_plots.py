"""Figures of a sweep, including sweeps with diverged trials and scores of NaN."""

import math
import warnings
from dataclasses import replace

import pytest
from PIL import Image

from sweeps.results.plots import draw_curve, draw_pareto
from sweeps.results.selection import Sweep, Trial
from tests.sweeps.results.trials import trial


def at(rate: float, score: float | None) -> Trial:
    return trial(rate=rate, score=score, status="diverged" if score is None else "finished")


def sweep_of(trials) -> Sweep:
    return Sweep("s", "r", "FINISHED", 0.5, "select/cider on x", tuple(trials))


@pytest.mark.parametrize(
    "trials",
    [
        (at(1e-3, 1.0),),
        (at(1e-3, 1.0), at(1e-3, 2.0)),
        (at(1e-2, None), at(1e-3, 0.0)),
        (at(1e-3, math.nan), at(1e-4, 1.0)),
    ],
    ids=["one trial", "one rate twice", "one diverged", "one without a number"],
)
def test_a_curve_is_drawn_without_a_warning(trials, tmp_path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_curve(sweep_of(trials), tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as image:
        assert (image.format, image.size) == ("PNG", (960, 600))
        assert len(image.convert("RGB").getcolors(maxcolors=2**20)) > 50


def test_every_cost_has_a_panel(tmp_path) -> None:
    trials = [
        replace(trial(name, score=s, trainable=n), peak_memory_gib=m, trial_h=1.0)
        for name, s, n, m in (("full", 9.0, 900, 2.0), ("lora", 9.5, 90, 3.0))
    ]
    draw_pareto(sweep_of(trials), tmp_path / "pareto.png")
    with Image.open(tmp_path / "pareto.png") as image:
        assert image.size == (1560, 540)
