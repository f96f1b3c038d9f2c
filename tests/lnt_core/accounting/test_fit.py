"""Smaller configurations that fit the memory when a step does not."""

from dataclasses import replace

import pytest

from lnt_core.accounting.fit import Fit, sharded_gib, what_would_fit
from lnt_core.accounting.predicted import StepCost
from lnt_core.config import TrainConfig


def cost(micro: int) -> StepCost:
    return StepCost(
        weights_gib=10.0,
        frozen_gib=8.0,
        gradients_gib=4.0,
        optimizer_gib=8.0,
        activations_gib=1.0 * micro,
        flops=1.0,
        originals_gib=2.0,
    )


@pytest.mark.parametrize(
    ("memory_gib", "fit", "said"),
    [
        (30.0, Fit(8, None, None, 30.0), "micro_batch_size 8 would (30.0 GiB)"),
        (29.9, Fit(4, None, None, 26.0), "micro_batch_size 4 would (26.0 GiB)"),
        (23.5, Fit(1, None, None, 23.0), "micro_batch_size 1 would (23.0 GiB)"),
        (
            21.0,
            Fit(1, 1, 2, 21.0),
            "micro_batch_size 1 with ZeRO stage 1 on 2 GPUs would (21.0 GiB)",
        ),
        (13.0, Fit(1, 3, 2, 13.0), "micro_batch_size 1 with ZeRO stage 3 on 2 GPUs would"),
        (2.0, Fit(), "nothing tried fits, not even ZeRO stage 3 on 8 GPUs"),
    ],
)
def test_what_would_fit(memory_gib, fit, said) -> None:
    train = TrainConfig(batch_size=16, micro_batch_size=16)
    found = what_would_fit(cost, train, memory_gib=memory_gib)
    assert found == fit
    assert str(found).startswith(said)


def test_zero_shards_in_its_order() -> None:
    """All keep the trained weights once more, in parts; stage 3 needs no originals of them."""
    one = cost(1)
    assert [sharded_gib(one, stage=stage, num_gpus=4) for stage in (1, 2, 3)] == [18.0, 15.0, 7.0]


def test_the_tower_is_whole_on_each_gpu() -> None:
    with_tower = replace(cost(1), tower_gib=2.0)
    assert [sharded_gib(with_tower, stage=stage, num_gpus=4) for stage in (2, 3)] == [15.0, 8.5]
