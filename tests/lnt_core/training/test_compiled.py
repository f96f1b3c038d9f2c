"""More strategies than torch keeps compiled versions of a function are all compiled."""

import functools

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from lnt_core.training.compiled import compiled


@pytest.fixture(autouse=True)
def by_dynamo_alone(monkeypatch):
    """Compiled as far as the graph, which is what torch limits; no C++ is generated."""
    torch.compiler.reset()
    counters.clear()
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    yield
    torch.compiler.reset()
    counters.clear()


class Tuned(nn.Module):
    """A model whose code every strategy shares, with a part of the strategy's own."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.part(inputs) + 1


def graphs_of(model: nn.Module) -> int:
    """How many graphs are made when the model is run."""
    before = counters["stats"]["unique_graphs"]
    compiled(model)(torch.ones(2, 4))
    return counters["stats"]["unique_graphs"] - before


def test_of_twelve_strategies_each_is_compiled() -> None:
    parts = [nn.Sequential(*(nn.Linear(4, 4) for _ in range(depth))) for depth in range(1, 13)]
    assert [graphs_of(Tuned(part)) for part in parts] == [1] * 12


def test_another_learning_rate_of_a_strategy_needs_no_other_graph() -> None:
    assert graphs_of(Tuned(nn.Linear(4, 4))) == 1
    assert graphs_of(Tuned(nn.Linear(4, 4))) == 0
