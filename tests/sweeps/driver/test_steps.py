"""ASHA in Ray halts where a trial is scored, and nowhere else before its end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.config import SweepConfig
from sweeps.driver.search import asha
from sweeps.driver.steps import rung_steps
from sweeps.search_space import SearchConfig


def search(factor: int, grace: float) -> SearchConfig:
    return SearchConfig(
        strategy=["full"], scheduler="asha", reduction_factor=factor, grace_ratio=grace
    )


@pytest.mark.parametrize("total", [10, 27, 28, 100, 243, 244])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_ray_halts_where_trials_are_scored(total, factor) -> None:
    halts = rung_steps(search(factor, 0.1), total)
    sweep = SweepConfig.model_validate(
        {
            "name": "s",
            "model": {"tiny": True},
            "search": search(factor, 0.1),
            "train": {"max_steps": total, "evaluate_at_steps": halts},
        }
    )
    (bracket,) = asha(sweep)._brackets
    milestones = sorted(milestone for milestone, _ in bracket._rungs)
    assert [m for m in milestones if m < total] == list(halts)


@given(st.integers(2, 5), st.integers(1, 8))
def test_a_length_that_is_a_power_has_a_halt_for_each_power_below(factor, power) -> None:
    total = factor**power
    halts = rung_steps(search(factor, 0.5 / total), total)
    assert halts == tuple(factor**k for k in range(power))
