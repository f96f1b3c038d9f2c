"""The figure, also of sweeps that went badly."""

import math
import warnings

import pytest
from PIL import Image

from sweeps.results.plots import draw_curve
from sweeps.results.selection import Sweep, Trial


def trial(rate: float, score: float | None) -> Trial:
    status = "diverged" if score is None else "finished"
    return Trial("r", "t", "full", rate, status, score, None, 5, 0.5)


@pytest.mark.parametrize(
    "trials",
    [
        (trial(1e-3, 1.0),),
        (trial(1e-3, 1.0), trial(1e-3, 2.0)),
        (trial(1e-2, None), trial(1e-3, 0.0)),
        (trial(1e-3, math.nan), trial(1e-4, 1.0)),
    ],
    ids=["one trial", "one rate twice", "one diverged", "one without a number"],
)
def test_a_figure_is_drawn_without_a_word(trials, tmp_path) -> None:
    sweep = Sweep("s", "r", "FINISHED", None, "select/cider on x", trials)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_curve(sweep, tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as image:
        assert (image.format, image.size) == ("PNG", (960, 600))
