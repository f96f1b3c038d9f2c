"""What a sweep may spend, with a clock of the test's own."""

import pytest

from lnt_core.strategies import STRATEGIES
from sweeps.config import BudgetConfig, SweepConfig
from sweeps.driver.budget import HOUR_S, Budget


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def pass_h(self, hours: float) -> None:
        self.now_s += hours * HOUR_S


def budget(gpus: float = 1, **limits) -> tuple[Budget, Clock]:
    clock = Clock()
    return Budget(BudgetConfig(**limits), dict.fromkeys(STRATEGIES, gpus), clock), clock


def test_so_many_trials_start_and_no_more() -> None:
    asked, _ = budget(trials=2)
    assert [asked.refusal(name, "full") for name in "abc"] == ["", "", "budget.trials is 2"]


def test_a_trial_that_is_tried_again_counts_once() -> None:
    asked, _ = budget(trials=1)
    assert asked.refusal("a", "full") == ""
    assert asked.refusal("a", "full") == ""


def test_trials_before_a_resume_count() -> None:
    asked, _ = budget(trials=3, gpu_hours=10)
    asked.spent_before([("full", 4 * HOUR_S, 0.0), ("full", 4 * HOUR_S, 0.0)])
    assert asked.refusal("c", "full") == (
        "the total would be 12 GPU-hours, but budget.gpu_hours is 10"
    )
    few, _ = budget(trials=3)
    few.spent_before([("full", 1.0, 0.0), ("full", 1.0, 0.0)])
    assert [few.refusal(name, "full") for name in "cd"] == ["", "budget.trials is 3"]


def test_a_trial_must_end_within_the_time_if_it_is_as_long_as_the_longest() -> None:
    asked, clock = budget(wall_clock_h=4)
    assert asked.refusal("a", "full") == ""
    clock.pass_h(2)
    assert asked.ended("a") == 2 * HOUR_S
    assert asked.refusal("b", "full") == ""
    clock.pass_h(1)
    asked.ended("b")
    said = "the trial would end after 5 h, but budget.wall_clock_h is 4"
    assert asked.refusal("c", "full") == said
    assert asked.refusal("d", "lora") == said  # nothing is known of it: as long as the longest


def test_a_short_strategy_may_still_start_where_a_long_one_may_not() -> None:
    asked, clock = budget(wall_clock_h=5)
    for name, strategy, hours in (("a", "full", 2.0), ("b", "lora", 0.5)):
        assert asked.refusal(name, strategy) == ""
        clock.pass_h(hours)
        asked.ended(name)
    clock.pass_h(1.5)
    assert asked.refusal("c", "full") != ""
    assert asked.refusal("d", "lora") == ""


def test_what_runs_is_counted_to_its_expected_end() -> None:
    asked, clock = budget(gpus=2, gpu_hours=10)
    asked.refusal("a", "full")
    clock.pass_h(1)
    asked.ended("a")  # 2 GPU-hours
    assert [asked.refusal(name, "full") for name in "bcd"] == ["", "", ""]
    assert asked.refusal("e", "full") == ""  # 2 + 3 x 2 + 2 = 10
    assert (
        asked.refusal("f", "full") == "the total would be 12 GPU-hours, but budget.gpu_hours is 10"
    )
    clock.pass_h(4)  # they take longer than thought
    assert asked.refusal("g", "full").startswith("the total would be 36 GPU-hours")


def test_each_trial_counts_with_the_gpus_of_its_own_strategy() -> None:
    clock = Clock()
    asked = Budget(BudgetConfig(gpu_hours=10), {"full": 4, "lora": 1}, clock)
    assert [asked.refusal("a", "full"), asked.refusal("b", "lora")] == ["", ""]
    clock.pass_h(1)
    asked.ended("a")  # 4 GPU-hours; `b` has run for 1
    assert asked.refusal("c", "full") == ""  # 4 + 1 + 4 = 9
    assert asked.refusal("d", "full").startswith("the total would be 13 GPU-hours")
    assert asked.refusal("e", "lora") == ""  # 4 + 1 + 4 + 1 = 10
    assert asked.refusal("f", "lora").startswith("the total would be 11 GPU-hours")


def test_stage_1_is_spent_but_no_trial_is_expected_to_take_as_long() -> None:
    asked, clock = budget(gpu_hours=10)
    asked.spent_on_stage_1(3 * HOUR_S)
    asked.spent_before([("full", 2 * HOUR_S, HOUR_S)])  # one hour of it was its own
    assert asked.refusal("a", "full") == ""  # 3 + 2 + 1 = 6
    clock.pass_h(3)
    asked.ended("a", align_s=2 * HOUR_S)  # 8
    assert asked.refusal("b", "full") == ""
    assert asked.refusal("c", "full") == ""  # 8 + 1 + 1 = 10
    assert asked.refusal("d", "full").startswith("the total would be 11 GPU-hours")


def test_gpu_hours_without_a_gpu_are_refused() -> None:
    content = {"name": "s", "model": {"tiny": True}, "search": {"strategy": ["full"]}}
    with pytest.raises(ValueError, match="trials use no GPU; limit"):
        SweepConfig.model_validate(content | {"budget": {"gpu_hours": 1}})
