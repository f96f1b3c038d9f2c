"""Learning rates of parts, relative to the trial's."""

import pytest
import torch

from lnt_core.config import RateRatio, TuneConfig
from lnt_core.strategies import STRATEGIES, get_strategy
from lnt_core.strategies.base import in_base
from lnt_core.strategies.tuned import tuned_copy
from lnt_core.training.engines import PlainEngine
from lnt_core.training.optimizer import rate_groups

RATE = 1e-3
SLOW = RateRatio(connector=0.1, embedding=0.5)


def config(ratio: RateRatio) -> TuneConfig:
    return TuneConfig(
        max_steps=10,
        batch_size=2,
        micro_batch_size=2,
        warmup_ratio=0.0,
        gradient_checkpointing=False,
        rate_ratio=ratio,
    )


def tuned(base, name: str):
    strategy = get_strategy(name)
    torch.manual_seed(0)
    return tuned_copy(base, strategy, strategy.Config()), strategy


@pytest.mark.parametrize("name", STRATEGIES)
def test_without_ratios_there_is_one_group_as_ever(name, base) -> None:
    model, _ = tuned(base, name)
    trained = [p for p in model.parameters() if p.requires_grad]
    found = rate_groups(model, config(RateRatio()), RATE)
    assert [id(p) for p in found] == [id(p) for p in trained]


@pytest.mark.parametrize("tie", [False, True])
@pytest.mark.parametrize("name", STRATEGIES)
def test_each_parameter_has_the_rate_of_its_part(name, tie, base, tied_base) -> None:
    used = tied_base if tie else base
    model, _ = tuned(used, name)
    roles = used.roles
    groups = rate_groups(model, config(SLOW), RATE)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert sum(len(group["params"]) for group in groups) == len(trained) == len(rates)
    for parameter_name, parameter in trained.items():
        own = in_base(parameter_name)
        ratio = 0.1 if own.startswith(roles.connector) else 1.0
        ratio = 0.5 if own.startswith((roles.embedding, roles.head)) else ratio
        assert rates[id(parameter)] == RATE * ratio, parameter_name
    has_own = [group for group in groups if group["lr"] == RATE]
    assert not has_own or groups[0] is has_own[0]  # its rate is what `train/lr` shows


def test_a_step_moves_the_connector_by_its_ratio(base) -> None:
    """The first step of AdamW is the rate in the direction of each gradient."""
    moved = {}
    for ratio in (1.0, 0.1):
        model, strategy = tuned(base, "attn_qv")
        ratios = RateRatio(connector=ratio)
        engine = PlainEngine(model, strategy, config(ratios), learning_rate=RATE, total=10)
        before = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
        for number, parameter in enumerate(before):
            gradient = torch.Generator().manual_seed(number)
            shape = before[parameter].shape
            model.get_parameter(parameter).grad = torch.randn(shape, generator=gradient)
        engine.update(1)
        moved[ratio] = {n: model.get_parameter(n).detach() - p for n, p in before.items()}
        assert float(engine.state.schedule.get_last_lr()[0]) < RATE  # that of q and v
    for name, whole in moved[1.0].items():
        ratio = 0.1 if name.startswith(base.roles.connector) else 1.0
        assert torch.allclose(moved[0.1][name], ratio * whole, atol=1e-7), name
