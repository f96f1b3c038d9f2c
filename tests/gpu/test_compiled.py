"""``train.compile``: every strategy is compiled in one process, and trains as without it."""

from functools import partial

import pytest
import torch
from torch._dynamo.utils import counters

from lnt_core.strategies import STRATEGIES
from tests.gpu.shapes import chosen

pytestmark = pytest.mark.gpu
SHAPE = chosen()
SMALL = {"hidden_size": 256, "intermediate_size": 704, "num_attention_heads": 4}


@pytest.mark.parametrize("name", STRATEGIES if SHAPE.on_gpu else ["lora"])
def test_compiled(name, bench, model, row, monkeypatch) -> None:
    """Every strategy with train.compile"""
    if not SHAPE.on_gpu:  # to the graph: C++ would take minutes
        monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    usual = bench.trial(bench.config(name, model=model))
    before = counters["stats"]["unique_graphs"]
    compiled = bench.trial(bench.config(name, model=model, compile=True))
    graphs = counters["stats"]["unique_graphs"] - before
    row("train.compile: is compiled", graphs > 0, "all", graphs > 0, name)
    off = max(abs(a / b - 1) for a, b in zip(compiled.losses, usual.losses, strict=True))
    row("train.compile: losses off the uncompiled", off, "< 0.001", off < 1e-3, name)


@pytest.fixture(scope="module")
def model(bench):
    """Two layers: it is compiled twelve times."""
    return bench.parts(SMALL if SHAPE.on_gpu else {})
