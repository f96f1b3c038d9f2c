"""The Pareto front against its definition."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnt_core.metrics import OBJECTIVES
from sweeps.results.pareto import AXES, pareto_front
from tests.sweeps.results.trials import seeds, trial

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


def test_a_lucky_repeat_is_not_on_it() -> None:
    front = pareto_front(seeds(1e-3, 5.0, 99.0), AXES[0].of)
    assert [one.score for one in front] == [5.0]


def test_of_losses_the_lower_are_the_better() -> None:
    loss = OBJECTIVES["select/loss"]
    trials = [
        replace(trial(score=s, trainable=n), objective=loss)
        for n, s in ((5, 1.0), (1, 2.0), (9, 1.5))
    ]
    assert [one.score for one in pareto_front(trials, cost)] == [2.0, 1.0]
