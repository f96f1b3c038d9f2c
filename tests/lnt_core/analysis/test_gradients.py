"""Variance of early gradients, compared with a direct computation."""

import operator

import pytest
import torch
from torch import nn

from lnt_core.analysis.gradients import FIRST_STEPS, GradientVariance
from lnt_core.models.vlm import own_trainable
from lnt_core.strategies import get_strategy

GRADIENT = operator.attrgetter("grad")


def tuned(base, name: str) -> nn.Module:
    strategy = get_strategy(name)
    model = strategy.apply(base.trial_copy(), base.roles, strategy.Config())
    own_trainable(model)
    return model


def with_gradients(base, name: str) -> nn.Module:
    model = tuned(base, name)
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.randn_like(parameter)
    return model


def test_variance_is_that_of_all_gradients_of_a_block(base, tmp_path) -> None:
    model = with_gradients(base, "full")
    watch = GradientVariance(model, base.roles, tmp_path / "g.json")
    watch(1, GRADIENT)
    for group, chosen in (("all", ""), ("norms", "norm")):
        for index, variance in enumerate(watch.by_block(group)):
            gradients = [
                p.grad.flatten()
                for n, p in model.named_parameters()
                if f".layers.{index}." in n and chosen in n
            ]
            assert variance == pytest.approx(float(torch.cat(gradients).var(unbiased=False)))


@pytest.mark.parametrize(
    ("name", "in_blocks", "in_norms"),
    [
        ("layernorm", True, True),
        ("lora", True, False),
        ("adapter_serial", True, False),
        ("connector", False, False),
        ("prompt", False, False),
    ],
)
def test_a_block_in_which_nothing_trains_has_none(
    name, in_blocks, in_norms, base, tmp_path
) -> None:
    watch = GradientVariance(with_gradients(base, name), base.roles, tmp_path / "g.json")
    watch(1, GRADIENT)
    assert [v is not None for v in watch.by_block("all")] == [in_blocks] * 2
    assert [v is not None for v in watch.by_block("norms")] == [in_norms] * 2


def test_what_it_saw_survives_a_kill_and_later_steps_do_not_count(base, tmp_path) -> None:
    model, file = with_gradients(base, "layernorm"), tmp_path / "g.json"
    watch = GradientVariance(model, base.roles, file)
    for step in range(1, FIRST_STEPS + 1):
        watch(step, GRADIENT)
    seen = watch.by_block("all")
    resumed = GradientVariance(model, base.roles, file)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad *= 2
    resumed(FIRST_STEPS + 1, GRADIENT)
    assert resumed.by_block("all") == seen
