"""The Pareto front against its definition."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sweeps.cli.best import as_json
from sweeps.results.pareto import AXES, pareto_front
from sweeps.results.plots import draw_pareto
from sweeps.results.selection import Sweep
from tests.sweeps.test_selection import trial

POINTS = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), max_size=12)


def cost(one) -> float:
    return float(one.trainable_parameters)


@given(POINTS)
def test_nobody_on_it_is_beaten_and_everybody_else_is(points) -> None:
    trials = [
        replace(trial(score=float(score), trainable=c), run_id=str(i))
        for i, (c, score) in enumerate(points)
    ]
    front = pareto_front(trials, cost)
    for one in trials:
        better = [
            other
            for other in trials
            if cost(other) <= cost(one)
            and other.score >= one.score
            and (cost(other), other.score) != (cost(one), one.score)
        ]
        on_front = (cost(one), one.score) in [(cost(f), f.score) for f in front]
        assert on_front == (not better)


def test_it_goes_from_cheap_to_good() -> None:
    front = pareto_front(
        [trial(score=s, trainable=n) for n, s in ((5, 2.0), (1, 1.0), (9, 1.5))], cost
    )
    assert [(f.trainable_parameters, f.score) for f in front] == [(1, 1.0), (5, 2.0)]


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.label)
def test_what_failed_or_has_no_cost_is_left_out(axis) -> None:
    known = replace(trial(), peak_memory_gib=1.0, trial_h=1.0)
    unknown = replace(trial(trainable=0), peak_memory_gib=None, trial_h=None)
    failed = replace(known, score=None)
    assert pareto_front([unknown, known, failed], axis.of) == [known]


def test_the_figure_and_the_json_have_the_front(tmp_path) -> None:
    points = (("full", 9.0, 900, 2.0), ("lora", 9.5, 90, 3.0), ("norm", 2.0, 9, 1.0))
    trials = tuple(
        replace(trial(name, score=s, trainable=n), run_id=name, peak_memory_gib=m, trial_h=1.0)
        for name, s, n, m in points
    )
    sweep = Sweep("s", "r", "FINISHED", 1.0, "select/cider on x val", trials)
    assert as_json(sweep)["pareto_run_ids"] == {
        "trainable_parameters": ["norm", "lora"],
        "peak_memory_gib": ["norm", "full", "lora"],
        "trial_h": ["lora"],
    }
    draw_pareto(sweep, tmp_path / "pareto.png")
    with Image.open(tmp_path / "pareto.png") as picture:
        assert picture.size == (1560, 540)
