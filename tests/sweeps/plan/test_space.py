"""The points of a search: strategies with options, learning rates, other values."""

import pytest

from sweeps.config import SweepConfig
from sweeps.driver.steps import rung_steps
from sweeps.plan.labels import label
from sweeps.plan.space import points
from sweeps.search_space import SearchConfig


def sweep(**search) -> SweepConfig:
    return SweepConfig.model_validate(
        {"name": "s", "model": {"tiny": True}, "search": {"strategy": ["full"]} | search}
    )


def test_a_list_as_an_options_value_means_each_of_them() -> None:
    given = sweep(
        strategy=["layernorm", {"name": "lora", "rank": [8, 32]}], learning_rate=[1e-3, 1e-4]
    )
    assert [label(*point) for point in points(given)] == [
        "layernorm lr=1e-3",
        "layernorm lr=1e-4",
        "lora rank=8 lr=1e-3",
        "lora rank=8 lr=1e-4",
        "lora lr=1e-3",
        "lora lr=1e-4",
    ]


def test_an_option_that_is_a_list_is_one_value_and_a_list_of_lists_is_many() -> None:
    chosen = [
        {"name": "layernorm", "target_modules": ["input_layernorm", "norm"]},
        {"name": "layernorm", "target_modules": [["input_layernorm"], ["norm"]]},
    ]
    given = sweep(strategy=chosen, learning_rate=[1e-3])
    assert [label(*point) for point in points(given)] == [
        "layernorm target_modules=input_layernorm,norm lr=1e-3",
        "layernorm target_modules=input_layernorm lr=1e-3",
        "layernorm target_modules=norm lr=1e-3",
    ]


def test_other_values_vary_in_every_combination() -> None:
    given = sweep(
        strategy=["full"],
        learning_rate=[1e-3, 1e-4],
        values={"train.weight_decay": [0.0, 0.1], "train.warmup_ratio": [0.03]},
    )
    assert [label(*point) for point in points(given)] == [
        "full train.weight_decay=0.0 train.warmup_ratio=0.03 lr=1e-3",
        "full train.weight_decay=0.0 train.warmup_ratio=0.03 lr=1e-4",
        "full train.weight_decay=0.1 train.warmup_ratio=0.03 lr=1e-3",
        "full train.weight_decay=0.1 train.warmup_ratio=0.03 lr=1e-4",
    ]


@pytest.mark.parametrize(
    ("total", "halts"), [(243, (25, 75, 225)), (10, (1, 3, 9)), (9, (1, 3)), (1, ())]
)
def test_asha_halts_at_grace_times_powers(total, halts) -> None:
    search = SearchConfig.model_validate({"strategy": ["full"], "scheduler": "asha"})
    assert rung_steps(search, total) == halts
